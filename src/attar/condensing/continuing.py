"""Whether a complete run goes on, because more of it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attar.artefact.header import LENGTH
from attar.condensing import checkpoint
from attar.condensing.paths import Paths
from attar.errors import BadRequest


def goes_on(saved: Mapping[str, Any], wanted: Mapping[str, Any], paths: Paths) -> bool:
    """Tell whether a complete run is to go on, being asked for with a greater length.

    Args:
        saved: settings of the run that is complete.
        wanted: settings asked for.
        paths: of both.

    Raises:
        BadRequest: something but the length differs, or it is less, or the end of the run is not
            there to go on from.
    """
    lengths = [[settings.get(name) for name in LENGTH] for settings in (saved, wanted)]
    kept = {**saved, **{name: wanted.get(name) for name in LENGTH}}
    checkpoint.compare_identity(kept, wanted, paths.output)
    if lengths[0] == lengths[1]:
        return False
    if any(is_less(asked, done) for done, asked in zip(*lengths, strict=True)):
        said = " and ".join(
            f"--{name} {n}" for name, n in zip(LENGTH, lengths[0], strict=True) if n
        )
        raise BadRequest(
            f"--resume: the run of {paths.output} is complete with {said}; give more, or "
            "--overwrite to start again"
        )
    if any(lengths[0]) and not paths.end.exists():
        raise BadRequest(
            f"--resume: the run of {paths.output} is complete, and {paths.end.name}, from which it "
            f"could go on, is not there; --init {paths.output} with another -o starts from its "
            "images"
        )
    return True


def is_less(asked: float | None, done: float | None) -> bool:
    """Whether a length is less than another in the same unit."""
    return asked is not None and done is not None and asked < done
