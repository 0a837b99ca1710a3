"""Mean and deviation of real data, in one pass and a part at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from attar.data.glimpse import glimpse
from attar.data.remembered import remembered
from attar.data.rows import Rows, in_parts


def channel_statistics(
    images: Rows, floor: float = 1e-3
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return per-channel mean and standard deviation of pixels in [0, 1], in float64.

    Of very many pictures those of a sample (`attar.data.glimpse`). A constant channel gets
    ``floor`` for its deviation, so that it can be divided by.
    """
    some = glimpse(images)
    found = remembered(some, f"statistics {floor}", lambda: _statistics(some, floor))
    return tuple(found[0]), tuple(found[1])


def _statistics(images: Rows, floor: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    scale = 255.0 if images.dtype == torch.uint8 else 1.0
    total = torch.zeros(images.shape[1], dtype=torch.float64)
    square = torch.zeros_like(total)
    others = (0, *range(2, len(images.shape)))
    count = math.prod(images.shape) // images.shape[1]
    for part in in_parts(images):
        pixels = part.double().div_(scale)
        total += pixels.sum(dim=others).cpu()
        square += pixels.square().sum(dim=others).cpu()
    mean = total / count
    std = (square / count - mean.square()).clamp_min(0).sqrt().clamp_min(floor)
    return as_floats(mean.tolist()), as_floats(std.tolist())


def value_statistics(rows: Rows) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of every value of a vector, in any range.

    Of N×D rows, in float64; of rows with more axes those of their first axis. What is constant
    gets a deviation of 1.
    """
    count, mean, square = 0, torch.zeros(rows.shape[1], dtype=torch.float64), torch.zeros(1)
    for part in in_parts(rows):
        values = part.cpu().double().transpose(0, 1).flatten(1)
        own, whole = values.shape[1], count + values.shape[1]
        # the deviations from the mean of both, of the deviations from the mean of each (Chan et
        # al., 1979): values far from zero do not cancel out
        centre = values.mean(dim=1)
        apart = centre - mean
        spread = (values - centre[:, None]).square().sum(dim=1)
        square = square + spread + apart.square() * (count * own / whole)
        mean = mean + apart * (own / whole)
        count = whole
    std = (square / count).sqrt()
    # what float32 cannot tell from the mean is constant
    least = mean.abs() * torch.finfo(torch.float32).eps
    std = torch.where(std > least.clamp_min(torch.finfo(torch.float32).tiny), std, 1.0)
    return tuple(mean.tolist()), tuple(std.tolist())


def as_floats(values: Sequence[float]) -> tuple[float, ...]:
    """Return a tuple of Python floats rounded to seven significant digits."""
    return tuple(float(f"{value:.7g}") for value in values)
