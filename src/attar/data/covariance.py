"""Sums over a training set that is turned into floats a chunk at a time.

Rows are flattened images of d = C·H·W features.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from attar.data.rows import Rows, in_parts

# Below the deviation of any 8-bit image with two different pixels, above rounding noise:
# a constant image becomes zeros instead of amplified noise.
LEAST_NORM = 1e-3


def centred_unit(flat: Tensor) -> Tensor:
    """Remove each row's mean and scale it to unit norm; constant rows become zeros."""
    centred = flat - flat.mean(dim=1, keepdim=True)
    return centred / centred.norm(dim=1, keepdim=True).clamp_min(LEAST_NORM)


def flat_chunks(
    inputs: Rows, mean: Sequence[float] | None, std: Sequence[float] | None, chunk: int
) -> Iterator[Tensor]:
    """Yield float32 rows (at most ``chunk``×d) of standardised pixels."""
    for part in in_parts(inputs, chunk):
        pixels = part.float().div_(255) if part.dtype == torch.uint8 else part.float()
        if mean is not None:
            pixels = pixels - pixels.new_tensor(mean).view(1, -1, 1, 1)
        if std is not None:
            pixels = pixels / pixels.new_tensor(std).view(1, -1, 1, 1)
        yield pixels.flatten(1)


def feature_mean(rows: Iterator[Tensor], features: int, count: int) -> Tensor:
    """Return the mean row (d, float32 on the CPU), summed in float64."""
    total = torch.zeros(features, dtype=torch.float64)
    for part in rows:
        # Apple's GPUs have no float64
        total += (part if part.is_cuda else part.cpu()).sum(dim=0, dtype=torch.float64).cpu()
    return (total / count).float()


def second_moment(rows: Iterator[Tensor], features: int) -> Tensor:
    """Return Σ xᵀx (d×d, float64) over chunks of rows.

    Within a chunk the product is float32, which is enough for values near one; the chunks
    are added in float64.
    """
    total: Tensor | None = None
    for part in rows:
        product = part.T @ part
        product = (product if product.is_cuda else product.cpu()).double()
        total = product if total is None else total.add_(product)
    return torch.zeros(features, features, dtype=torch.float64) if total is None else total


def brightness_and_scale(rows: Iterator[Tensor], count: int) -> tuple[float, float]:
    """Return the average over images of their mean, and of their centred norm."""
    brightness = scale = 0.0
    for part in rows:
        own = part.mean(dim=1, keepdim=True)
        brightness += float(own.sum())
        scale += float((part - own).norm(dim=1).sum())
    return brightness / count, max(scale / count, LEAST_NORM)
