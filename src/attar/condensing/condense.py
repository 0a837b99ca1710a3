"""`attar.condense`: from a request and data to an artefact."""

from __future__ import annotations

import contextlib
import dataclasses
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Unpack

from attar import threads
from attar.artefact.artefact import Artefact
from attar.artefact.loading import load
from attar.compute import PRECISIONS
from attar.condensing import checkpoint, compiling
from attar.condensing.clustered import Clustered
from attar.condensing.continuing import goes_on
from attar.condensing.crew import Crew, hired
from attar.condensing.finished import finished
from attar.condensing.keywords import CondenseOptions
from attar.condensing.paths import Paths
from attar.condensing.plan import Plan
from attar.condensing.planning import make_plan
from attar.condensing.ranked import Ranks, follow
from attar.condensing.request import Request
from attar.condensing.session import Session
from attar.condensing.shares import shares_of
from attar.condensing.showing import shown
from attar.condensing.telling import Callback
from attar.coresets.spread import spread
from attar.data import LabelledImages, Splits, as_splits
from attar.errors import BadRequest
from attar.files import check_writable
from attar.locking import sole_writer
from attar.networks import check_name
from attar.options import Kept, request_and_reading
from attar.parallel.ranks import Meeting
from attar.renaming import keywords
from attar.teachers.finding import check_named
from attar.teachers.kept import keeping
from attar.wording import KEYWORDS


@keywords(listener="callback", **KEYWORDS)
def condense(
    data: Any,
    labels: Any = None,
    *,
    request: Request | None = None,
    callback: Callback | None = None,
    progress: bool | None = None,
    **options: Unpack[CondenseOptions],
) -> Artefact:
    """Condense a labelled image set.

    Args:
        data: images, beside ``labels``; or a source by name (``digits``, ``folder:DIR``,
            ``npz:FILE``), a ``torch.utils.data.Dataset``, ``datasets.Dataset`` or ``DataLoader``, a
            list of (image, label), a pair (train, test) of these, or `LabelledImages`. Images are
            arrays or tensors (N×H×W, N×H×W×C, N×C×H×W), uint8, or floats in 0…1 or 0…255, or lists
            of Pillow images. Objects are taken whole, but for the images held out to select an
            iterate (``validation``); of a source without a test part 20 % are held out as test,
            as on the command line, unless ``test_share`` says otherwise.
        labels: of the images, whole numbers 0…K−1 or names. An `attar.Request` is taken here, too.
        request: the options as one value, in place of those below but for reading the data.
        callback: told how it goes.
        progress: show the plan, a bar and what was chosen where no budget was given, on standard
            error; None shows the bar in terminals and notebooks alone.
        **options: the fields of `attar.Request`, such as ``method="lodm", ipc=10``, and
            those of reading the data: ``resize``, ``classes``, ``per_class``, ``test_share``,
            ``data_dir``, … (see `attar.load_source`), and ``name="cifar10"``, which says what an
            object is.

    Returns:
        The artefact: the iterate selected on held-out training images, or the last one. With
        ``output`` it is also written there.

    Raises:
        BadRequest: something about the request or the data; nothing was started.
        RunFailed: the run diverged, was interrupted, or a file could not be written.

    Example:
        >>> attar.condense(X, y, ipc=1, iterations=100)  # doctest: +SKIP
        Artefact(lodm: 10 classes × 2 images of 1×8×8, 2560 bytes)
    """
    data, request = images_and_request(data, labels, request)
    asked, reading = request_and_reading(Request, options, request)
    with threads.among(asked.workers), shown(asked, callback, progress) as told:
        return carry_out(asked, data, told, **reading)


def images_and_request(
    data: Any, labels: Any, request: Request | None
) -> tuple[Any, Request | None]:
    """Return what is read, images with labels as a pair, and the request that stands for them."""
    if isinstance(labels, Request) and request is None:
        return data, labels
    if labels is None:
        return data, request
    if isinstance(labels, Mapping) or isinstance(data, str | Path | Splits | LabelledImages):
        raise BadRequest(
            "what stands behind the data are labels of images, or else an attar.Request is needed; "
            "give options by name, such as ipc=1"
        )
    return (data, labels), request


def carry_out(
    request: Request,
    data: Any,
    callback: Callback,
    began: float | None = None,
    there: Meeting | None = None,
    **reading: Any,
) -> Artefact:
    """Do what `condense` does, from a request.

    Args:
        request: the options.
        data: as `condense` takes it.
        callback: told how it goes.
        began: when the command began, by ``time.perf_counter``; None for now.
        there: ranks that a launcher has started, as many as the request asks for workers, of which
            this process is the first; None where it was started alone.
        **reading: how the data are read.
    """
    began = time.perf_counter() if began is None else began
    with threads.using(request.threads):
        return _carry_out(request, data, callback, began, there, reading)


def _carry_out(
    request: Request,
    data: Any,
    callback: Callback,
    began: float,
    there: Meeting | None,
    reading: Mapping[str, Any],
) -> Artefact:
    # an unknown one is refused before anything is written
    _ = request.chosen
    for logger in request.loggers():
        logger.check()
    study = None if request.output is None else Paths(request.output).study
    with writing(request), keeping(study, resume=request.resume), _spread(request, there):
        # the test part is not needed, and the plan holds the training images: keep no other
        splits = _read(request, data, callback, reading)
        plan = make_plan(request, splits, reading, watch=callback.reading, done=finished(request))
        made = complete(plan, callback, began, there)
    _warn_of_minutes(request, plan, time.perf_counter() - began)
    return made


def _spread(request: Request, there: Meeting | None) -> contextlib.AbstractContextManager[None]:
    """Let the workers that a request asks for choose real images; ranks share updates alone."""
    return contextlib.nullcontext() if there else spread(request.workers, request.ray)


def _warn_of_minutes(request: Request, plan: Plan, seconds: float) -> None:
    """Tell of minutes that were taken as a guide alone, and did not hold what came of it."""
    if request.minutes is None or plan.request.minutes is not None:
        return
    if seconds > 60 * request.minutes:
        warnings.warn(
            f"--minutes {request.minutes:g}: the command took {seconds / 60:.2g}, since "
            f"{request.chosen.name} sizes the training of a network, and coding, by what one free "
            "core does; the set is whole. Less is taken with a lower --minutes or fewer --bytes",
            stacklevel=2,
        )


def drafted(request: Request, data: Any, callback: Callback, **reading: Any) -> Plan:
    """Return what a request would do with the data, for a look at it.

    Nothing is chosen among the real images, and nothing is written: how many images coded to fit
    are in it is guessed by random ones.

    Args:
        request: the options.
        data: as `condense` takes it.
        callback: told how far the reading is, and the choosing.
        **reading: how the data are read.

    Raises:
        BadRequest: the request cannot be carried out.
    """
    _ = request.chosen
    with threads.using(request.threads), spread(request.workers, request.ray):
        plan = _draft(request, data, callback, reading, experts_later=True)
        plan.check()
        if request.workers > 1 and not plan.request.chosen.coreset:
            shares_of(plan, request.workers)
        return plan


def accompany(request: Request, data: Any, there: Meeting, **reading: Any) -> None:
    """Do a share of a run as rank 0 asks for it; for all ranks but the first.

    Args:
        request: the options.
        data: as `condense` takes it.
        there: the ranks.
        **reading: how the data are read.

    Raises:
        RunFailed: rank 0 ended before the run did.
    """
    with threads.using(request.threads):
        follow(there, lambda: _draft(request, data, Callback(), reading, experts_later=False))


def _draft(
    request: Request,
    data: Any,
    callback: Callback,
    reading: Mapping[str, Any],
    *,
    experts_later: bool,
) -> Plan:
    splits = _read(request, data, callback, reading)
    return make_plan(
        request, splits, reading, experts_later=experts_later, draft=True, watch=callback.reading
    )


def _read(request: Request, data: Any, callback: Callback, reading: Mapping[str, Any]) -> Splits:
    # whitening alone may take minutes
    if request.teacher is not None:
        check_named(str(request.teacher))
    if isinstance(request.network, str):
        check_name(request.network)
    # what the method fixes depends on the data set's own name, which reading tells
    zca = request.zca or (lambda name: request.chosen.zca(name, request.ipc or 1))
    return as_splits(data, zca=zca, watch=callback.reading, **reading)


@contextlib.contextmanager
def writing(request: Kept) -> Iterator[None]:
    """Keep other runs from the output of a request, until the block ends.

    Raises:
        BadRequest: another run writes it, earlier work is there, or it could not be written.
    """
    if request.output is None:
        yield
        return
    check_writable(request.output, beside=Paths(request.output).beside)
    with sole_writer(request.output):
        _refuse_earlier_work(request, Paths(request.output))
        yield


def complete(
    plan: Plan,
    callback: Callback,
    began: float | None = None,
    there: Meeting | None = None,
) -> Artefact:
    """Carry out a plan, or return what it has made already where it is to be resumed.

    Args:
        plan: every setting.
        callback: told how it goes.
        began: when the command began, by ``time.perf_counter``; None for now.
        there: ranks that carry it out with this process; None for none.

    Raises:
        BadRequest: what is there was made otherwise.
        RunFailed: the run diverged, was interrupted, or a file could not be written.
    """
    request = plan.request
    began = time.perf_counter() if began is None else began
    paths = Paths(request.output) if request.output is not None else None
    begun = paths and request.resume and (paths.begun or (paths.output.exists() and paths.output))
    if begun:
        plan = _as_begun(plan, begun)
    elif request.minutes is not None and request.workers == 1:
        plan = compiling.settled(plan, 60 * request.minutes - (time.perf_counter() - began))
    if request.resume and paths and paths.output.exists() and not paths.checkpoint.exists():
        done = load(paths.output)
        if goes_on(done.header.settings, plan.settings, paths):
            return _carried(plan, paths, callback, began, there)
        if request.snapshots is not None and not paths.snapshots.exists():
            raise BadRequest(
                f"--snapshots: the run of {paths.output} is complete and kept none; --overwrite "
                "does it again"
            )
        return done
    return _carried(plan, paths, callback, began, there)


def _carried(
    plan: Plan, paths: Paths | None, callback: Callback, began: float, there: Meeting | None
) -> Artefact:
    """Carry a plan out, by the workers that it asks for."""
    with _hired(plan, there) as crew:
        return Session(plan, paths, callback, began, crew).complete()


@contextlib.contextmanager
def _hired(plan: Plan, there: Meeting | None) -> Iterator[Crew | None]:
    """Let workers of a cluster, of a launcher or of this machine carry out the plan in the block.

    None where it asks for none, or makes no updates: what is chosen is spread over them.
    """
    if there is not None:
        yield Ranks(there, plan)
    elif plan.request.chosen.coreset:
        yield None
    elif plan.request.ray is not None:
        with contextlib.closing(Clustered(plan.request.ray, plan)) as crew:
            yield crew
    else:
        with hired(plan) as crew:
            yield crew


def _as_begun(plan: Plan, path: Path) -> Plan:
    """Return a plan that computes as an earlier part of its run did, where it is free to."""
    kept, request, changes = checkpoint.compute_of(path), plan.request, dict[str, Any]()
    if request.torch_compile == "auto" and type(kept.get("compile")) is bool:
        changes["compile"] = kept["compile"]
    if request.precision == "auto" and kept.get("precision") in PRECISIONS:
        changes["precision"] = kept["precision"]
    return dataclasses.replace(plan, compute=dataclasses.replace(plan.compute, **changes))


def _refuse_earlier_work(request: Kept, paths: Paths) -> None:
    """Refuse to write over earlier work."""
    if request.overwrite or request.resume:
        paths.clear_leftovers()
        return
    unfinished, done = paths.unfinished, paths.output.exists()
    if unfinished or done:
        what = "an unfinished run" if unfinished else "an artefact"
        raise BadRequest(
            f"-o {paths.output}: {what} is already there; --resume continues it, --overwrite "
            "starts again, or choose another name"
        )
