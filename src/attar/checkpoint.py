"""Checkpoints: all that a run needs to go on to the same result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from attar.engine import Run
from attar.errors import ArtefactError, BadRequest
from attar.tensors import flatten, read_header, read_tensors, save_tensors, unflatten

FORMAT = "attar.checkpoint"
FORMAT_VERSION = 1
_BEST = "best/"


@dataclass
class Progress:
    """What a session keeps beside the run itself; written to every checkpoint."""

    seconds: float = 0.0
    validations_done: int = 0
    best_step: int = -1
    best_accuracy: float = -1.0
    last_accuracy: float | None = None
    best: dict[str, Tensor] = field(default_factory=dict)
    best_values: dict[str, float] = field(default_factory=dict)
    # whether iterates are judged by balanced accuracy; a run goes on as it began
    balanced: bool = False


def save(path: Path, run: Run, progress: Progress, identity: Mapping[str, Any]) -> None:
    """Write a checkpoint, atomically.

    Args:
        path: the file.
        run: at the end of a step.
        progress: what the session keeps beside it.
        identity: what a run that goes on from here must share.
    """
    tensors, rest = flatten(run.state_dict())
    best = {_BEST + name: tensor for name, tensor in progress.best.items()}
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
        "best_values": progress.best_values,
        "balanced": progress.balanced,
        "threads": run.problem.compute.record().get("threads"),
    }
    save_tensors(path, tensors | best, header)


def restore(path: Path, run: Run, identity: Mapping[str, Any]) -> Progress:
    """Bring a run to where a checkpoint left it.

    Raises:
        ArtefactError: the file is no checkpoint, or damaged.
        BadRequest: it was made with other settings.
    """
    header = read_header(path)
    if header.get("format") != FORMAT or header.get("version") != FORMAT_VERSION:
        raise ArtefactError(f"{path} is no checkpoint of this version; use --overwrite")
    compare_identity(header["identity"], identity, path)
    tensors = read_tensors(path)
    best = {
        name.removeprefix(_BEST): tensors.pop(name)
        for name in list(tensors)
        if name.startswith(_BEST)
    }
    run.load_state_dict(unflatten(tensors, header["rest"]))
    return Progress(
        header["seconds"],
        header["validations_done"],
        header["best_step"],
        header["best_accuracy"],
        header["last_accuracy"],
        best,
        header.get("best_values", {}),
        header.get("balanced", False),
    )


def threads_of(path: Path) -> int | None:
    """Return the number of threads that the run of a checkpoint was made with; None if unknown."""
    try:
        found = read_header(path).get("threads") if path.exists() else None
    except ArtefactError:
        # whoever goes on from it says what is wrong with it
        return None
    return found if type(found) is int else None


def compare_identity(saved: Mapping[str, Any], wanted: Mapping[str, Any], path: Path) -> None:
    """Refuse to continue a run whose settings are other than those asked for."""
    wanted = json.loads(json.dumps(wanted))
    different = [name for name in wanted if saved.get(name) != wanted[name]]
    if different:
        name = different[0]
        raise BadRequest(
            f"--resume: {path} was made with another {', '.join(different)} ({name}: "
            f"{saved.get(name)!r} there, {wanted[name]!r} asked for); give the same options, or "
            "--overwrite to start again"
        )
