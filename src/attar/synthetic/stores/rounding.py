"""Stored values read as they will be kept, while they are learnt: whole numbers times scales.

Shape letters: N rows of a tensor, B rows of these, G groups, V values of a group.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attar.storage.scales import groups_of, in_groups, quantised, scales_for


@dataclass(frozen=True)
class Grid:
    """What the values of a tensor are rounded to.

    Args:
        largest: of the whole numbers; the smallest is as far below zero.
        group: values that share a scale; see `attar.storage.scales.groups_of`.
    """

    largest: int
    group: str


# by the identity of a tensor
_GRIDS: ContextVar[Mapping[int, Grid] | None] = ContextVar("grids", default=None)


@contextlib.contextmanager
def rounding(grids: Mapping[int, Grid]) -> Iterator[None]:
    """Read tensors as they will be kept.

    Args:
        grids: by the ``id`` of a tensor; others are read as they are.
    """
    token = _GRIDS.set(grids)
    try:
        yield
    finally:
        _GRIDS.reset(token)


def rounded(values: Tensor, rows: Tensor | None = None) -> Tensor:
    """Return a stored tensor, or rows of it, as they are read: rounded where `rounding` says so.

    Args:
        values: the stored tensor, N×*item.
        rows: B×*item, some of its rows; None for all.
    """
    grid = (_GRIDS.get() or {}).get(id(values))
    found = values if rows is None else rows
    if grid is None or not len(found):
        return found
    groups, _ = groups_of(tuple(values.shape), grid.group)
    within = groups % len(values) == 0
    # groups that lie within a row need no others
    of = found.reshape(len(found) * groups // len(values), -1) if within else None
    own = in_groups(values, grid.group) if of is None else of
    scales = scales_for(own.detach().float(), grid.largest)
    grouped = found.reshape(len(scales), -1)
    return Rounded.apply(grouped, scales, grid.largest).view(found.shape)  # pyright: ignore[reportAttributeAccessIssue]


class Rounded(torch.autograd.Function):
    """q·s of values; the gradient passes as if nothing were rounded (straight through).

    Where a value lies beyond the largest q and a step against the gradient leads further out, it is
    zero, as that of clipping is; where it leads back, it passes.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, scales: Tensor, largest: int) -> Tensor:
        """Return G×V ``values`` rounded to multiples of the G ``scales``."""
        steps = scales.unsqueeze(1)
        ctx.save_for_backward(values < -largest * steps, values > largest * steps)
        return quantised(values.float(), scales, largest) * steps

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient of the values."""
        (slope,) = slopes
        below, above = ctx.saved_tensors
        return slope.masked_fill((below & (slope > 0)) | (above & (slope < 0)), 0.0), None, None
