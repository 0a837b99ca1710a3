"""Rows of real data by index, wherever they lie: in memory, in a file, or still to be decoded.

Everything that reads real images reads them through this, so that it need not know which it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeGuard

import torch
from torch import Tensor

# values of a part that is looked at as a whole: 16 MB in float64
_VALUES = 2**21
_MOST = 4096


class Rows(Protocol):
    """N rows of one shape, each read when it is asked for; a tensor of N rows is one of these.

    Reading the same row twice gives the same values: whole numbers 0…255 as uint8, or floats,
    finite and, of pictures, in [0, 1]. Whoever makes rows from something else has checked that.
    """

    @property
    def shape(self) -> torch.Size:
        """N and the shape of one row: N×C×H×W, N×D, …"""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """What values are given in: ``torch.uint8`` or a floating type."""
        ...

    @property
    def device(self) -> torch.device:
        """Where what is read lies."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: Tensor | slice, /) -> Tensor:
        """Return the rows at ``index`` (B whole numbers from 0 to N−1, or a slice), in its order.

        Raises:
            BadRequest, RunFailed: they cannot be read any more.
        """
        ...


def in_memory(rows: Rows) -> TypeGuard[Tensor]:
    """Tell whether all rows are a tensor."""
    return isinstance(rows, Tensor)


def told(rows: Rows) -> str:
    """Return where rows lie that are not in memory, as a part of a sentence; else nothing."""
    return "" if in_memory(rows) else str(getattr(rows, "told", "read when they are needed"))


def size_of(rows: Rows) -> int:
    """Return the bytes that all rows take in memory."""
    return math.prod(rows.shape) * rows.dtype.itemsize


def places_of(index: Tensor | slice, count: int) -> Tensor:
    """Return the whole numbers that an index of ``count`` rows stands for."""
    return torch.arange(count)[index] if isinstance(index, slice) else index.cpu()


def in_parts(rows: Rows, most: int | None = None) -> Iterator[Tensor]:
    """Yield all rows in order, so many at once: by default as many as take 16 MB in float64."""
    most = most or max(1, min(_MOST, _VALUES // max(1, math.prod(rows.shape[1:]))))
    for start in range(0, len(rows), most):
        yield rows[start : start + most]


def picked(rows: Rows, index: Tensor | slice) -> Rows:
    """Return the rows at ``index``: of a tensor a tensor, of others a view that reads nothing."""
    if in_memory(rows):
        return rows[index if isinstance(index, slice) else index.to(rows.device)]
    if isinstance(rows, Picked):
        return Picked(rows.whole, rows.index[places_of(index, len(rows))])
    return Picked(rows, places_of(index, len(rows)))


@dataclass(frozen=True, eq=False)
class Picked:
    """Some of other rows, in an order of their own.

    Args:
        whole: the others.
        index: which of them, whole numbers on the CPU.
    """

    whole: Rows
    index: Tensor

    @property
    def shape(self) -> torch.Size:
        """As of `Rows`."""
        return torch.Size((len(self.index), *self.whole.shape[1:]))

    @property
    def dtype(self) -> torch.dtype:
        """As of `Rows`."""
        return self.whole.dtype

    @property
    def device(self) -> torch.device:
        """As of `Rows`."""
        return self.whole.device

    @property
    def told(self) -> str:
        """Where they lie."""
        return told(self.whole)

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, index: Tensor | slice, /) -> Tensor:
        return self.whole[self.index[places_of(index, len(self))]]
