"""A network trained to look at real images, kept beside the output until its run is complete.

A run that was killed meanwhile finds it there when it is resumed, and does not train it again.
"""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from torch import Tensor

from attar.errors import ArtefactError, BadRequest
from attar.stored import is_of, open_stored
from attar.tensors import all_finite, save_tensors

FORMAT = "attar.study"
FORMAT_VERSION = 2
# the record of the training, beside what the network consists of
_CORRECT = "correct"
_FILE: ContextVar[Path | None] = ContextVar("the file of a run's trained network", default=None)


@contextlib.contextmanager
def keeping(path: Path | None, *, resume: bool) -> Iterator[None]:
    """Keep in a file what is trained in the block, until that ends well.

    Args:
        path: of the file; None keeps nothing.
        resume: whether one that an earlier process left is read.
    """
    if path is None:
        yield
        return
    if not resume:
        path.unlink(missing_ok=True)
    left = path.exists()
    mark = _FILE.set(path)
    try:
        yield
    except BadRequest:
        # nothing was started
        if not left:
            path.unlink(missing_ok=True)
        raise
    finally:
        _FILE.reset(mark)
    path.unlink(missing_ok=True)


def is_keeping() -> bool:
    """Whether what is trained now is to be kept."""
    return _FILE.get() is not None


def keep(identity: Mapping[str, Any], tensors: Mapping[str, Tensor], correct: Tensor) -> None:
    """Write a trained network and its record, atomically, where one is to be kept.

    Args:
        identity: what a training must share to come to the same.
        tensors: of the network, by name.
        correct: the record of the training.
    """
    path = _FILE.get()
    if path is not None:
        header = {"format": FORMAT, "version": FORMAT_VERSION, "identity": identity}
        save_tensors(path, {**tensors, _CORRECT: correct}, header)


def kept(
    identity: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
) -> tuple[dict[str, Tensor], Tensor] | None:
    """Return the trained network that is kept, and its record; None where there is none such.

    A file that is damaged is told in a warning and counts as none.

    Args:
        identity: of the training that it would spare.
        shapes: of the tensors of the network, by name.
    """
    path = _FILE.get()
    if path is None or not path.exists():
        return None
    try:
        with open_stored(path) as stored:
            header, tensors = stored.header, stored.all()
    except ArtefactError as error:
        warnings.warn(f"{error}; the network is trained from the start", stacklevel=2)
        return None
    told = json.loads(json.dumps(identity))
    if not is_of(header, FORMAT, FORMAT_VERSION) or header.get("identity") != told:
        return None
    correct = tensors.pop(_CORRECT, None)
    found = {name: tuple(one.shape) for name, one in tensors.items()}
    if correct is None or found != dict(shapes) or not _numbers(tensors):
        warnings.warn(
            f"{path} does not hold what this run needs; the network is trained from the start",
            stacklevel=2,
        )
        return None
    return tensors, correct


def _numbers(tensors: Mapping[str, Tensor]) -> bool:
    return all_finite({name: one for name, one in tensors.items() if one.is_floating_point()})
