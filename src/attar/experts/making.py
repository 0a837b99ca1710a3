"""`attar.train_experts`: networks trained on real data, their parameters kept after every epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack

from attar.data import as_splits
from attar.errors import Interrupted
from attar.experts.folder import folder_of, refuse_taken, settle_folder
from attar.experts.groups import train_here
from attar.experts.keywords import ExpertsOptions
from attar.experts.plan import Plan
from attar.experts.planning import make_plan
from attar.experts.request import ExpertsRequest
from attar.experts.store import ExpertStore, numbers
from attar.experts.telling import ExpertCallback
from attar.experts.unfinished import clear_unfinished
from attar.options import request_and_reading
from attar.renaming import keywords


@keywords(listener="callback", compile="torch_compile")
def train_experts(
    data: Any, *, callback: ExpertCallback | None = None, **options: Unpack[ExpertsOptions]
) -> ExpertStore:
    """Train experts on real data, and keep their parameters after every epoch in a folder.

    Experts that are there already, of the same settings, are kept; unfinished ones go on. Expert
    i depends on the seed and on i, not on how many are trained, in which order, by how many
    processes, or after which interruptions; several in one step (``together``), another device
    and compilation change the last bits of rounding.

    Args:
        data: whatever `attar.condense` takes.
        callback: told how it goes; silent by default.
        **options: the fields of `attar.experts.request.ExpertsRequest`, such as ``count=20,
            epochs=7, output="experts"``, and those of reading the data: ``resize``, ``classes``,
            ``per_class``, ``test_share`` and ``data_dir`` (see `attar.load_source`).

    Returns:
        The experts in the folder, to be read piece by piece.

    Raises:
        BadRequest: something about the request, the data or the folder; nothing was started.
        ArtefactError: what is in the folder is damaged.
        RunFailed: the training diverged, was interrupted, or a file could not be written.

    Example:
        >>> attar.train_experts("digits", count=2, epochs=3, output="experts")  # doctest: +SKIP
        ExpertStore(folder=PosixPath('experts'), ...)
    """
    request, reading = request_and_reading(ExpertsRequest, options)
    return carry_out(request, data, callback or ExpertCallback(), **reading)


def carry_out(
    request: ExpertsRequest, data: Any, callback: ExpertCallback, **reading: Any
) -> ExpertStore:
    """Do what `train_experts` does, from a request."""
    folder_of(request)
    splits = as_splits(data, zca=request.zca, watch=callback.reading, **reading)
    plan = settle_folder(make_plan(request, splits, reading))
    work = plan.work
    missing = work.missing()
    if missing:
        _train(plan, missing, callback)
        refuse_taken(work)
    clear_unfinished(work.folder)
    return ExpertStore(work.folder, work.header, numbers(work.folder))


def _train(plan: Plan, missing: Sequence[int], callback: ExpertCallback) -> None:
    work, request = plan.work, plan.request
    groups = sum(any(expert in missing for expert in group) for group in work.groups())
    jobs = min(request.jobs or 1, groups)
    try:
        if request.ray is not None:
            from attar.experts.cluster import train_on_cluster

            train_on_cluster(plan, missing, callback)
        elif jobs > 1:
            from attar.experts.processes import train_in_processes

            callback.started(plan, missing, jobs)
            train_in_processes(work, jobs, callback)
        else:
            callback.started(plan, missing, 1)
            train_here(work, callback)
    except KeyboardInterrupt:
        done = work.count - len(work.missing())
        raise Interrupted(
            f"interrupted; {done} of {work.count} experts are in {work.folder}. The same command "
            "goes on."
        ) from None
