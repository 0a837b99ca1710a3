"""Rows of a stored tensor, read so that their gradient is as small as they are.

Indexing a tensor has a gradient of the size of the whole tensor. Where few rows of many are read,
`touching` gives the gradient of these rows alone, and a step costs what it touches.

Shape letters: N rows of a tensor, B rows asked for, R different ones among these.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor

from attar.synthetic.stores.rounding import rounded


@dataclass(frozen=True)
class Touched:
    """Rows that were read.

    Args:
        values: the stored tensor, N×*item.
        rows: R of its rows, in order.
        part: a copy of them, R×*item, a leaf that gets their gradient in place of ``values``.
    """

    values: Tensor
    rows: Tensor
    part: Tensor


# what was read, and whether few rows alone are read so
_TOUCHED: ContextVar[tuple[list[Touched], bool] | None] = ContextVar("touched", default=None)


@contextlib.contextmanager
def touching(*, always: bool = False) -> Iterator[list[Touched]]:
    """Give gradients to the rows that are read, where these are less than half of a tensor.

    Args:
        always: also where they are more, so that rows that are not read can be told.

    Yields:
        What is read so, as it is read. Everything else gets its gradient as ever.
    """
    found: list[Touched] = []
    token = _TOUCHED.set((found, always))
    try:
        yield found
    finally:
        _TOUCHED.reset(token)


def rows_of(values: Tensor, index: Tensor) -> Tensor:
    """Return the rows of a stored tensor at ``index`` (B), differentiably.

    Stores read their tensors through it, or through `rounded` where they need them whole.

    Args:
        values: N×*item.
        index: rows, on any device.
    """
    told = _TOUCHED.get()
    if told is None or not values.requires_grad or not values.is_leaf:
        return rounded(values, values[index])
    found, always = told
    rows, place = torch.unique(index, return_inverse=True)
    if 2 * len(rows) >= len(values) and not always:
        return rounded(values, values[index])
    part = values.detach()[rows].requires_grad_()
    found.append(Touched(values, rows, part))
    return rounded(values, part)[place]
