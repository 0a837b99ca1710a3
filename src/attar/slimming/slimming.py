"""`attar.slim`: a smaller artefact from an artefact alone."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from attar import threads
from attar.artefact.artefact import Artefact
from attar.artefact.coding import check_alone
from attar.artefact.loading import load
from attar.condensing.condense import complete, writing
from attar.condensing.telling import Callback
from attar.errors import BadRequest, unknown
from attar.methods import METHODS
from attar.options import request_of
from attar.renaming import keywords
from attar.slimming.keeping import keep
from attar.slimming.keywords import SlimOptions
from attar.slimming.plans import plan_for, refuse_experts, slimmable_methods
from attar.slimming.request import SlimRequest
from attar.slimming.sizes import check_equal, check_smaller
from attar.training import card as find_card

# as text where an artefact was given as an object
_UNNAMED = "artefact"


@dataclass(frozen=True)
class Slimmed:
    """One smaller set.

    Args:
        ipc: its memory in images per class.
        artefact: the set.
        seconds: what making it took.
    """

    ipc: int
    artefact: Artefact
    seconds: float


@keywords(listener="callback", set="settings", compile="torch_compile")
def slim(
    source: str | Path | Artefact,
    ipc: int | Sequence[int],
    *,
    callback: Callback | None = None,
    **options: Unpack[SlimOptions],
) -> Artefact | list[Artefact]:
    """Shrink a condensed set without the data that it was made from.

    Args:
        source: an artefact or its file, whatever method made it.
        ipc: memory in full float32 images per class, less than it has; several falling ones
            are made one after another, each from the one before.
        callback: told how it goes; silent by default.
        **options: the fields of `attar.slimming.request.SlimRequest`, such as
            ``learning_free=True`` or ``iterations=500``.

    Returns:
        The smaller set, or a list of them where ``ipc`` is a sequence.

    Raises:
        BadRequest: a size that is not smaller, or an option that cannot be carried out.
        ArtefactError: the file is no artefact.
        RunFailed: the run diverged, was interrupted, or a file could not be written.

    Example:
        >>> attar.slim("set.safetensors", 5, learning_free=True)  # doctest: +SKIP
        Artefact(slimmable: 10 classes × 5 images of 3×32×32, 614520 bytes)
    """
    request = request_of(SlimRequest, {"ipc": ipc, **options})
    made = carry_out(source, request, lambda size: callback or Callback())
    found = [one.artefact for one in made]
    return found if isinstance(ipc, Sequence) else found[0]


def carry_out(
    source: str | Path | Artefact,
    request: SlimRequest,
    callback: Callable[[int], Callback],
    done: Callable[[Slimmed], None] = lambda one: None,
    began: float | None = None,
) -> list[Slimmed]:
    """Do what `slim` does, from a request.

    Args:
        source: an artefact or its file.
        request: the options.
        callback: from a size to what is told how its run goes.
        done: told of every set when it is there.
        began: when the command began, by ``time.perf_counter``; None for now. It counts for the
            first size.
    """
    if request.method not in slimmable_methods():
        if getattr(METHODS.get(request.method), "coreset", False):
            raise BadRequest(
                f"--method {request.method}: it chooses real images; to keep images of the "
                "artefact, use --random"
            )
        raise unknown("method", request.method, slimmable_methods())
    refuse_experts(request.method)
    artefact = source if isinstance(source, Artefact) else load(source)
    name = _UNNAMED if isinstance(source, Artefact) else Path(source).name
    check_alone(artefact.carried, "slim", "condense it anew with --teacher-storage none")
    check_equal(artefact)
    check_smaller(artefact, request.sizes())
    if request.card is not None:
        find_card(request.card)
    made = []
    with contextlib.ExitStack() as stack:
        for size in request.sizes():
            _refuse_source(request.output_of(size), source)
            stack.enter_context(writing(request.run_of(size, artefact.header.storage)))
        stack.enter_context(threads.using(request.threads))
        for size in request.sizes():
            begin = time.perf_counter()
            artefact = _smaller(
                artefact, name, request, size, lambda size=size: callback(size), began or begin
            )
            began = None
            made.append(Slimmed(size, artefact, time.perf_counter() - begin))
            done(made[-1])
            output = request.output_of(size)
            name = output.name if output is not None else name
    return made


def _refuse_source(output: Path | None, source: str | Path | Artefact) -> None:
    """Refuse to write over the artefact that is slimmed."""
    if output is None or isinstance(source, Artefact):
        return
    if output.exists() and output.samefile(source):
        raise BadRequest(f"-o {output}: that is the artefact to be slimmed; choose another")


def _smaller(
    artefact: Artefact,
    name: str,
    request: SlimRequest,
    size: int,
    callback: Callable[[], Callback],
    began: float,
) -> Artefact:
    """Return the next smaller set of an artefact called ``name``."""
    run = request.run_of(size, artefact.header.storage)
    command, told = request.command(name, size), _told(artefact, name, request)
    if not request.trains:
        return keep(artefact, run, request, command, told)
    plan = plan_for(artefact, run, request)
    plan = dataclasses.replace(plan, made_by=command, provenance={"slimmed": told})
    return complete(plan, callback(), began)


def _told(artefact: Artefact, name: str, request: SlimRequest) -> dict[str, Any]:
    """Return what a smaller set tells of the one that it is made from."""
    header = artefact.header
    how = "random" if request.random else request.method
    told: dict[str, Any] = {
        "from": name,
        "images_per_class": header.images_per_class,
        "method": header.method,
        "command": header.provenance.get("command"),
        "by": how if request.trains or request.random else "learning-free",
    }
    before = header.provenance.get("slimmed")
    return {**told, "before": before} if before else told
