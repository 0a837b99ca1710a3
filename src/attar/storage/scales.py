"""Uniform, symmetric quantisation: groups of values, and the scale of each.

Shape letters: G groups of a tensor, V values of a group.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

# a smaller group would spend more on its scale than it gains by it
_SMALLEST_GROUP = 16
# shares of the largest value at which a group may be clipped
_CLIPS = tuple(step / 32 for step in range(32, 9, -1))
# rounds of fitting scales to numbers and numbers to scales
_REFITS = 3
# values of a group that tell at once that it is on no grid
_FIRST = 8
_SMALLEST_SCALE = 2.0**-24
# that float16 keeps
LARGEST_SCALE = 65504.0


def groups_of(shape: tuple[int, ...], group: str) -> tuple[int, int]:
    """Return how many groups a tensor has, and how many values one of them.

    Args:
        shape: of the tensor, rows first.
        group: ``row``, ``matrix`` (the last two dimensions) or ``tensor``. Groups of less than 16
            values are put together: matrices to rows, rows to one.
    """
    count = math.prod(shape)
    lead = {"tensor": 0, "row": 1, "matrix": max(1, len(shape) - 2)}[group]
    for outer in (lead, min(lead, 1)):
        number = math.prod(shape[:outer]) if len(shape) > 1 else 1
        if number and count // number >= _SMALLEST_GROUP:
            return number, count // number
    return 1, count


def in_groups(tensor: Tensor, group: str) -> Tensor:
    """Return the values of a tensor as G×V."""
    return tensor.reshape(groups_of(tuple(tensor.shape), group))


def quantised(values: Tensor, scales: Tensor, largest: int) -> Tensor:
    """Return the whole numbers that come nearest.

    Args:
        values: G×V.
        scales: G, as they are kept; where one is zero, so are its numbers.
        largest: of the numbers; none is below its negative.
    """
    steps = scales.float().unsqueeze(1)
    whole = (values / steps.clamp_min(_SMALLEST_SCALE)).round().clamp(-largest, largest)
    return torch.where(steps > 0, whole, 0.0)


def scales_for(values: Tensor, largest: int) -> Tensor:
    """Return the scale of least squared error of each group, as float16 keeps it, in float32.

    Values that were quantised before, and so lie on a grid, give the scale of that grid.

    Args:
        values: G×V.
        largest: of the whole numbers.
    """
    most = values.abs().amax(dim=1) if values.numel() else values.new_zeros(len(values))
    best, error = _of_grids(values, most, largest)
    for clip in _CLIPS if bool((error > 0).any()) else ():
        scale = kept_scales(most * clip / largest)
        off = quantised(values, scale, largest) * scale.unsqueeze(1) - values
        own = off.double().square().sum(dim=1).float()
        better = own < error
        best, error = torch.where(better, scale, best), torch.where(better, own, error)
    return _refitted(values, best, error, largest)


def _refitted(values: Tensor, best: Tensor, error: Tensor, largest: int) -> Tensor:
    """Return the scales of least squares for the numbers that values have now, where they gain."""
    for _ in range(_REFITS if bool((error > 0).any()) else 0):
        whole = quantised(values, best, largest)
        scale = kept_scales((whole * values).sum(dim=1) / whole.square().sum(dim=1).clamp_min(1.0))
        off = quantised(values, scale, largest) * scale.unsqueeze(1) - values
        own = off.double().square().sum(dim=1).float()
        better = own < error
        best, error = torch.where(better, scale, best), torch.where(better, own, error)
    return best


def _of_grids(values: Tensor, most: Tensor, largest: int) -> tuple[Tensor, Tensor]:
    """Return the coarsest grid that each group lies on, with an error of 0; infinity where none."""
    best, error = kept_scales(most / largest), torch.where(most > 0, math.inf, 0.0)
    for number in range(1, largest + 1):
        scale, fits = kept_scales(most / number), error > 0
        # most groups are told by their first values
        for part in (values[:, :_FIRST], values):
            if bool(fits.any()):
                own = quantised(part, scale, largest) * scale.unsqueeze(1)
                fits &= (own == part).all(dim=1)
        best, error = torch.where(fits, scale, best), torch.where(fits, 0.0, error)
    return best, error


def kept_scales(scales: Tensor) -> Tensor:
    """Return scales as float16 keeps them; none is so small that it vanishes."""
    found = scales.clamp(max=LARGEST_SCALE)
    found = torch.where(found > 0, found.clamp_min(_SMALLEST_SCALE), 0.0)
    return found.to(torch.float16).float()
