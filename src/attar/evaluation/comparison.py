"""`attar.evaluate`: an artefact beside its baselines, on real test images."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Unpack

from attar import compute as computing
from attar.artefact.artefact import Artefact
from attar.data.dividing import joined
from attar.errors import BadRequest
from attar.evaluation.baselines import RANDOM, WHOLE, wanted_baselines
from attar.evaluation.comparing import Asked, Comparison
from attar.evaluation.given import (
    asked_networks,
    refuse_other_steps,
    refuse_single,
    told_apart,
    with_last,
)
from attar.evaluation.label_plan import label_plan
from attar.evaluation.measuring import Measurer
from attar.evaluation.real import read_real
from attar.evaluation.request import EvaluateOptions, EvaluationRequest
from attar.evaluation.results import training_effort
from attar.evaluation.rows import Row
from attar.evaluation.teaching import refuse_deaf, teacher_of
from attar.evaluation.telling import EvaluationCallback, hears_of_time, settled
from attar.evaluation.tuning import Tuning
from attar.kernels import infinite
from attar.kinds import check_arguments
from attar.networks import Own, make_for
from attar.options import request_and_reading
from attar.renaming import keywords
from attar.teachers.carried import teacher_under
from attar.training import card as find_card
from attar.training.beginning import evaluation_key
from attar.training.fitting import fitted

__all__ = ["Row", "evaluate"]


@keywords(compile="torch_compile")
def evaluate(
    artefact: Artefact | str | Path,
    data: Any = None,
    *,
    ipc: int | None = None,
    networks: Sequence[str | Own] | str | Own | None = None,
    repeats: int = 5,
    card: str | None = None,
    baselines: bool | str | Sequence[str] = False,
    callback: EvaluationCallback | None = None,
    **options: Unpack[EvaluateOptions],
) -> list[Row]:
    """Train fresh networks on an artefact and test them on real images.

    Args:
        artefact: or the path of one.
        data: the real images, as `attar.condense` takes them; by default the source that the
            artefact was made from. Of a pair (train, test), or a source with both parts, the
            test part is tested on, and the baselines are of the training part. Data in one
            piece are test images, all of them, where the artefact was condensed from all of its
            data; where its run cut a share off as a test part (``test_share``), the same cut is
            made again.
        ipc: read the path at this smaller memory in images per class, as `attar.load` does.
        networks: names of networks, or own modules as `attar.condense` takes them; by default
            the one it was made with.
        repeats: how many of each.
        card: name of the evaluation card; by default the artefact's own.
        baselines: what to set beside it: ``random`` real images of the same bytes, real images
            of the same bytes that a coreset method (``herding``, ``forgetting``, ``kcenter``)
            selects, ``coded`` real images in a picture codec, as many as these bytes hold, and the
            ``whole`` training set; True for random and whole.
        callback: told how it goes; silent by default.
        **options: the fields of `attar.evaluation.request.EvaluationRequest`, such as ``epochs``,
            ``ceiling=True``, ``scores=True`` or ``seed``, and those of reading the data:
            ``resize``, ``classes``, ``per_class``, ``test_share``, ``data_dir``, … (see
            `attar.load_source`). Without ``data``, these are by default those of the artefact.

    Returns:
        A row for the artefact, one under hard labels where it has learnt ones, one for the last
        iterate where the file of another one lies beside it, and one for each baseline.

    Raises:
        BadRequest: no artefact, no data, classes or image sizes that do not fit, an unknown
            card, network or baseline, no test images but those that the artefact was made from,
            or baselines without training images.

    Example:
        >>> attar.evaluate("digits.safetensors", repeats=3)[0].results[0].mean  # doctest: +SKIP
        93.1
    """
    check_arguments(evaluate, {"ipc": ipc, "repeats": repeats, "card": card})
    given: dict[str, Any] = {**options}
    told = settled(callback, given)
    asked, reading = request_and_reading(EvaluationRequest, given)
    wanted = _all_wanted(baselines, asked.ceiling or asked.ceiling_epochs is not None, asked.scores)
    if repeats < 1:
        raise BadRequest(f"--repeats {repeats}: at least one network is needed")
    artefact, last = with_last(artefact, ipc)
    refuse_single(artefact.header.class_names)
    if asked.scores and not artefact.modality.augments:
        raise BadRequest(
            f"--scores: they compare trainings with and without augmentation, and there is none of "
            f"{artefact.modality.name}; leave it out"
        )
    chosen = find_card(card or artefact.header.card, asked.epochs, asked.updates)
    lengths = {"--epochs": asked.epochs, "--updates": asked.updates, "--tune": asked.tune or None}
    refuse_other_steps(chosen, lengths)
    for option, value in (("--teacher", asked.teacher), ("--labels", asked.labels)):
        if value is not None:
            refuse_deaf(chosen, f"{option} {value}")
    labels = label_plan(asked, artefact, chosen)
    if artefact.carried is not None and chosen.loss == "kl":
        _refuse_carried(asked, artefact.carried.described.network)
    if chosen.kernel and (asked.tune or asked.scores):
        option = "--tune" if asked.tune else "--scores"
        raise BadRequest(
            f"{option}: under the card {chosen.name!r} no network is trained; leave it out"
        )
    named = asked_networks(artefact, networks or chosen.network_for(artefact.header.shape[1:]))
    classes = len(artefact.header.class_names)
    # refused before the data are read, which may take long
    built = told_apart([make_for(each, artefact.header.shape, classes) for each in named])
    kernels = [infinite(each) for each in built] if chosen.kernel else []
    with labels.kept_alone() if labels else contextlib.nullcontext():
        real = read_real(artefact, data, watch=told.reading, **reading)
        train, test = real.train, real.test
        if train is None:
            _refuse_without_training_images(wanted, asked.tune)
        for kernel in kernels:
            whole = train is not None and WHOLE in wanted
            most = len(train) if train is not None and whole else len(artefact)
            fewer = f"leave {WHOLE!r} out of --baselines, or " if whole else ""
            kernel.check(most, most, f"{fewer}train networks, such as under --card kip")
        told.said(f"tested on {len(test):,} images of {real.name} ({joined(real.note, test.told)})")
        dataset = artefact.header.provenance.get("dataset", real.name)
        chosen = fitted(chosen, artefact, dataset)
        # one choice for all rows, so that they differ in nothing but the images
        compute = computing.choose(
            asked.device,
            asked.precision,
            asked.torch_compile,
            pixels=training_effort(len(artefact), chosen, repeats, built),
        )
        note = ""
        if asked.tune and train is not None:
            tuning = Tuning(dataset, built, compute, asked.seed, asked.vectorized, told.said)
            found = tuning.tuned(chosen, artefact, train, real.validation)
            chosen, note = found.card, found.note
        key = evaluation_key(asked.seed)
        measurer = Measurer(
            test, built, repeats, dataset, compute, key, asked.vectorized, told.trained
        )
        what = Asked(
            wanted,
            chosen,
            asked.ceiling_epochs,
            asked.seed,
            asked.scores,
            reading.get("data_dir"),
            note,
            teacher_of(asked.teacher, artefact, real, compute),
            labels,
            teacher_under(chosen, artefact, compute),
        )
        run = Comparison(artefact, last, train, what, measurer, hears_of_time(told))
        return run.rows()


def _refuse_carried(asked: EvaluationRequest, network: str) -> None:
    """Refuse what compares or tunes by the classes of a set whose labels come from its teacher.

    Raises:
        BadRequest: that is asked for.
    """
    for option, given in (("--scores", asked.scores), ("--tune", asked.tune)):
        if given:
            raise BadRequest(
                f"{option}: under this card networks learn from what {network}, which the set "
                "carries, says of every batch, and random images and trials have no such labels; "
                "leave it out, or give --card dsa-1000 for its images and their classes"
            )


def _refuse_without_training_images(wanted: Sequence[str], tune: bool) -> None:
    """Refuse what needs real training images.

    Raises:
        BadRequest: any of it is wanted.
    """
    if not wanted and not tune:
        return
    what = f"--baselines {','.join(wanted)}" if wanted else "--tune"
    raise BadRequest(
        f"{what}: needs real training images, and the data are test images alone; give a source "
        "with both parts, or from Python a pair (train, test)"
    )


def _all_wanted(
    baselines: bool | str | Sequence[str], ceiling: bool, scores: bool
) -> tuple[str, ...]:
    """Return the baselines asked for and those that other options need, in their order."""
    names = wanted_baselines(baselines)
    if scores and RANDOM not in names:
        names = (RANDOM, *names)
    if (ceiling or scores) and WHOLE not in names:
        names = (*names, WHOLE)
    return tuple(name for name in names if name != WHOLE) + (WHOLE,) * (WHOLE in names)
