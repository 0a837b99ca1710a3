"""PyTorch files read as tensors, lists and dictionaries; everything else is refused by name.

A pickle may name any function and have it called. So every name in a file is looked at first,
without unpickling, and only then PyTorch's own reader for weights opens it.
"""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attar.errors import BadRequest
from attar.pickled.names import NUMBER, NUMBER_TYPE, is_archive, refuse_code
from attar.zipped import UNREADABLE, reason

# of lists in lists, and of all values: a file can name one list any number of times
_DEEPEST, _MOST = 20, 1_000_000


class _NumberType:
    """Stands in for numpy's type of a number, of which nothing is wanted."""

    def __init__(self, *description: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def _number(*description: object) -> None:
    """Stand in for the function that makes numpy numbers."""


def read_pickled(path: Path, anew: str = "torch.save([images, labels], 'set.pt')") -> Any:
    """Return the tensors of a PyTorch file in their lists and dictionaries.

    Args:
        path: written by ``torch.save``, in its present or its older form.
        anew: how tensors alone would be saved, for messages.

    Returns:
        Tensors on the CPU, detached, and plain values; numpy numbers become None.

    Raises:
        BadRequest: the file names anything but tensors, is no file of ``torch.save``, is
            damaged, asks for more than tensors need, or holds a tensor larger than itself.
    """
    refuse_code(path, anew)
    stands = [(_NumberType, NUMBER_TYPE), *((_number, name) for name in NUMBER)]
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(stands):  # pyright: ignore[reportArgumentType]
            # about its own classes and versions, which tell a user nothing
            warnings.simplefilter("ignore")
            # mapped, a tensor is a part of the file whatever size it says it has, and those that
            # nobody looks at are not read
            mapped = is_archive(path)
            loaded = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
        return Plain(path).value(loaded)
    except UNREADABLE as error:
        if isinstance(error, BadRequest):
            raise
        why = "it is damaged" if isinstance(error, pickle.UnpicklingError) else reason(error)
        raise BadRequest(
            f"{path} cannot be read as a file of tensors ({why}); it may be truncated: fetch "
            "it again, or save its tensors anew with torch.save"
        ) from error


class Plain:
    """What a file held, checked to be tensors and plain values throughout.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = path.stat().st_size
        # bytes of every storage by its place in memory
        self._stored: dict[int, int] = {}
        self._count = 0

    def value(self, value: Any, depth: int = 0) -> Any:
        """Return a value with lists in place of tuples.

        Raises:
            BadRequest: anything but tensors and plain values, nesting that is too deep, more
                values than there can be, or tensors larger than the file.
        """
        self._count += 1
        if depth > _DEEPEST or self._count > _MOST:
            what = f"more than {_DEEPEST} deep" if depth > _DEEPEST else f"to over {_MOST} values"
            raise BadRequest(f"{self._path}: its lists are nested {what}; it is no condensed set")
        if isinstance(value, Tensor):
            return self._tensor(value)
        if isinstance(value, dict):
            return {key: self.value(each, depth + 1) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(each, depth + 1) for each in value]
        if value is None or isinstance(value, bool | int | float | str | bytes):
            return value
        if isinstance(value, _NumberType):
            return None
        raise BadRequest(f"{self._path} holds a {type(value).__name__}; only tensors and values")

    def _tensor(self, value: Tensor) -> Tensor:
        odd = value.layout != torch.strided or value.is_quantized or value.is_meta
        if odd or value.is_complex():
            raise BadRequest(
                f"{self._path} holds a tensor that is not plain ({value.layout}, {value.dtype})"
            )
        size, storage = value.numel() * value.element_size(), value.untyped_storage()
        # a few stored values may be declared to be a tensor of any size
        if size > storage.nbytes():
            raise BadRequest(
                f"{self._path}: a tensor of shape {tuple(value.shape)} would take {size} bytes, "
                "more than are stored for it"
            )
        self._stored[storage.data_ptr()] = storage.nbytes()
        total = sum(self._stored.values())
        # memory may have been set aside for values that were never there
        if total > self._size:
            raise BadRequest(
                f"{self._path}: its tensors would take {total} bytes, more than the file has"
            )
        return value.detach()
