"""Checkpoints: all that a run needs to go on to the same result."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from pydantic import BaseModel, Field, ValidationError
from torch import Tensor

from attar.compute import Compute
from attar.errors import ArtefactError, BadRequest
from attar.stored import Damaged, Stored, advising, is_of, open_stored
from attar.tensors import dotted, flatten, read_header, save_tensors, unflatten

FORMAT = "attar.checkpoint"
FORMAT_VERSION = 2
_ADVICE = "--overwrite starts again"
_BEST, _BEST_LEARNED = "best/", "best_learned/"
# of an identity, what files of earlier releases do not tell
_LATER = frozenset({"selection"})
# and what is told only where it is on
_OFF = {"bounded": False}
# what a state that is odd, though whole, comes to
_UNFIT = (ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError)


class Resumable(Protocol):
    """What goes on from where it was left: a `attar.condensing.engine.Run`, or its like.

    Its state is a tree with the parts of a run's; those that it has not are empty.
    """

    @property
    def compute(self) -> Compute:
        """How its arithmetic is done."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of all that the next step depends on."""
        ...

    def load_state_dict(self, tree: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        ...

    def finite(self) -> bool:
        """Whether every learnt value is a number."""
        ...

    def learned_kept(self) -> dict[str, Tensor]:
        """Return what is learnt beside the set."""
        ...


class _Header(BaseModel):
    """What a checkpoint's header must tell."""

    identity: dict[str, Any]
    rest: dict[str, Any]
    seconds: float = Field(ge=0)
    validations_done: int = Field(ge=0, strict=True)
    best_step: int = Field(strict=True)
    best_accuracy: float
    last_accuracy: float | None
    # in files of earlier releases, which kept no tensors of these
    best_values: dict[str, float] = Field(default_factory=dict)
    balanced: bool = Field(default=False, strict=True)
    opened: float = Field(default=0.0, ge=0)
    validations: int | None = Field(default=None, ge=0, strict=True)
    validation_epochs: int | None = Field(default=None, ge=1, strict=True)


@dataclass
class Progress:
    """What a session keeps beside the run itself; written to every checkpoint."""

    # of all commands of the run so far, from their start
    seconds: float = 0.0
    validations_done: int = 0
    best_step: int = -1
    best_accuracy: float = -1.0
    last_accuracy: float | None = None
    best: dict[str, Tensor] = field(default_factory=dict)
    best_learned: dict[str, Tensor] = field(default_factory=dict)
    # whether iterates are judged by balanced accuracy; a run goes on as it began
    balanced: bool = False
    # wall seconds that were gone when the updates began
    opened: float = 0.0
    # validations in all and the epochs of each, where the clock decided; else as asked for
    validations: int | None = None
    validation_epochs: int | None = None


def save(path: Path, run: Resumable, progress: Progress, identity: Mapping[str, Any]) -> None:
    """Write a checkpoint, atomically.

    Args:
        path: the file.
        run: at the end of a step.
        progress: what the session keeps beside it.
        identity: what a run that goes on from here must share.
    """
    tensors, rest = flatten(run.state_dict())
    best = {_BEST + name: tensor for name, tensor in progress.best.items()}
    best |= {_BEST_LEARNED + name: one for name, one in progress.best_learned.items()}
    header = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "identity": identity,
        "rest": rest,
        "seconds": progress.seconds,
        "validations_done": progress.validations_done,
        "best_step": progress.best_step,
        "best_accuracy": progress.best_accuracy,
        "last_accuracy": progress.last_accuracy,
        "balanced": progress.balanced,
        "opened": progress.opened,
        "validations": progress.validations,
        "validation_epochs": progress.validation_epochs,
        "threads": run.compute.record().get("threads"),
    }
    save_tensors(path, tensors | best, header)


def restore(path: Path, run: Resumable, identity: Mapping[str, Any]) -> Progress:
    """Bring a run to where a checkpoint left it.

    Raises:
        ArtefactError: the file is no checkpoint, or damaged.
        BadRequest: it was made with other settings.
    """
    with advising(_ADVICE), open_stored(path) as stored:
        told = _told(stored)
        compare_identity(told.identity, identity, path)
        tensors = stored.all()
        best, learned = _taken(tensors, _BEST), _taken(tensors, _BEST_LEARNED)
        learned |= {name: torch.tensor(value) for name, value in told.best_values.items()}
        try:
            tree = unflatten(tensors, told.rest)
            _refuse_unlike(run.state_dict(), tree, best)
            _refuse_other_tensors(run.learned_kept() if learned else {}, learned)
            run.load_state_dict(tree)
        except _UNFIT as error:
            raise Damaged(path, f"it does not hold what this run needs: {error}") from error
        if not run.finite():
            raise Damaged(path, "stored values are NaN or Inf")
    if not stored.checked:
        warnings.warn(
            f"{path} is of an older Attar and has no checksums, so damage cannot be noticed",
            stacklevel=2,
        )
    plain = told.model_dump(exclude={"identity", "rest", "best_values"})
    return Progress(**plain, best=best, best_learned=learned)


def _taken(tensors: dict[str, Tensor], beginning: str) -> dict[str, Tensor]:
    names = [name for name in tensors if name.startswith(beginning)]
    return {name.removeprefix(beginning): tensors.pop(name) for name in names}


def _told(stored: Stored) -> _Header:
    if not is_of(stored.header, FORMAT, FORMAT_VERSION):
        raise ArtefactError(f"{stored.path} is no checkpoint that this version reads")
    try:
        return _Header.model_validate(stored.header)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise Damaged(stored.path, f"header field {where!r}: {first['msg']}") from error


def _refuse_unlike(
    ours: Mapping[str, Any], tree: Mapping[str, Any], best: Mapping[str, Tensor]
) -> None:
    """Refuse a state of other parts or shapes than the run has at its start.

    Raises:
        ValueError: names the first.
    """
    if type(step := tree["step"]) is not int or step < 0:
        raise ValueError(f"step {step!r}")
    if odd := sorted(ours.keys() ^ tree.keys()):
        raise ValueError(f"{', '.join(map(repr, odd))} is missing or does not belong")
    for part in ("synthetic", "averaged", "learned"):
        _refuse_other_tensors(dotted(ours[part]), dotted(tree[part]))
    if best:
        iterate = ours["averaged"] or ours["synthetic"]
        _refuse_other_tensors(dotted(iterate), best)
    # an objective and an optimiser keep more as they go on, of the shapes that are there
    own, saved = ({n: one[n] for n in ("state", "optimisers")} for one in (ours, tree))
    wanted, found = dotted(own), dotted(saved)
    _refuse_other_tensors(wanted, {name: found[name] for name in wanted})
    shapes = {tuple(tensor.shape) for tensor in flatten(ours)[0].values()} | {()}
    for name, tensor in found.items():
        if tuple(tensor.shape) not in shapes:
            raise ValueError(f"{name} is {tuple(tensor.shape)}")
    for name, value in ours["state"].items():
        if type(tree["state"].get(name)) is not type(value):
            raise ValueError(f"state {name} {tree['state'].get(name)!r}")


def _refuse_other_tensors(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> None:
    if odd := sorted(wanted.keys() ^ found.keys()):
        raise ValueError(f"tensors {', '.join(odd)} are missing or do not belong")
    for name, tensor in wanted.items():
        one = found[name]
        if (one.shape, one.dtype) != (tensor.shape, tensor.dtype):
            raise ValueError(f"{name} is {tuple(one.shape)} of {one.dtype}")


def threads_of(path: Path) -> int | None:
    """Return the number of threads that the run of a checkpoint was made with; None if unknown."""
    try:
        found = read_header(path).get("threads") if path.exists() else None
    except ArtefactError:
        # whoever goes on from it says what is wrong with it
        return None
    return found if type(found) is int else None


def settings_of(path: Path) -> Mapping[str, Any]:
    """Return what the run of a checkpoint, or of an artefact, depends on; or nothing."""
    try:
        header = read_header(path) if path.exists() else {}
    except ArtefactError:
        # whoever goes on from it says what is wrong with it
        return {}
    found = header.get("identity", header.get("settings"))
    return found if isinstance(found, Mapping) else {}


def compute_of(path: Path) -> Mapping[str, Any]:
    """Return how the arithmetic of a checkpoint's run, or of an artefact, was done; or nothing."""
    compute = settings_of(path).get("compute")
    return compute if isinstance(compute, Mapping) else {}


def compare_identity(saved: Mapping[str, Any], wanted: Mapping[str, Any], path: Path) -> None:
    """Refuse to continue a run whose settings are other than those asked for."""
    wanted = _OFF | json.loads(json.dumps(wanted))
    saved = _OFF | dict(saved)
    told = [name for name in wanted if name in saved or name not in _LATER]
    different = [name for name in told if saved.get(name) != wanted[name]]
    if different:
        name = different[0]
        raise BadRequest(
            f"--resume: {path} was made with another {', '.join(different)} ({name}: "
            f"{saved.get(name)!r} there, {wanted[name]!r} asked for); give the same options, or "
            "--overwrite to start again"
        )
