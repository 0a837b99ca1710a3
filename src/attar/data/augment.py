"""Differentiable siamese augmentation (DSA), drawn from a key.

One of the named operations is drawn per call and applied to the whole batch. With ``shared``
all images get the same parameters, so that a real and a synthetic batch under the same key
get the same transform; otherwise every image has its own.

Constants and order of the colour operations are those of the DSA authors' code, which was
written for bilinear sampling with aligned corners. Pixels moved in from outside are zero, in
normalised space.

Source: Zhao and Bilen, Dataset Condensation with Differentiable Siamese Augmentation, 2021.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from attar.errors import BadRequest, unknown
from attar.rng import Key

FLIP_PROBABILITY = 0.5
SCALE_RATIO = 1.2
ROTATE_DEGREES = 15.0
CROP_PAD_RATIO = 0.125
CUTOUT_RATIO = 0.5
BRIGHTNESS = 1.0
SATURATION = 2.0
CONTRAST = 0.5

# R×3 uniform draws in [0, 1), R being 1 or the batch size; no operation uses more than three.
Draws = Tensor


def parse_strategy(strategy: str) -> tuple[str, ...]:
    """Split ``color_crop_flip`` into names; ``none`` or an empty text is no augmentation.

    Raises:
        BadRequest: a name is unknown or stands twice.
    """
    if strategy.lower() in ("", "none"):
        return ()
    names = tuple(strategy.split("_"))
    for name in names:
        if name not in OPERATIONS:
            raise unknown("augmentation", name, OPERATIONS)
    if len(set(names)) != len(names):
        raise BadRequest(f"--augment {strategy!r}: a name stands twice")
    return names


def augment(images: Tensor, strategy: tuple[str, ...], key: Key, *, shared: bool) -> Tensor:
    """Apply one operation of ``strategy``, drawn from ``key``, to the batch.

    Args:
        images: B×C×H×W network inputs.
        strategy: names out of `OPERATIONS`; empty returns the images as they are.
        key: decides operation and parameters.
        shared: one set of parameters for the batch (siamese), or one per image.
    """
    if not strategy:
        return images
    generator = key.generator()
    chosen = strategy[int(torch.randint(len(strategy), (1,), generator=generator))]
    rows = 1 if shared else len(images)
    draws = torch.rand(rows, 3, generator=generator).to(images.device)
    return OPERATIONS[chosen](images, draws)


def augment_as_dc(images: Tensor, key: Key) -> Tensor:
    """Apply the DC authors' evaluation augmentation for digits: crop, scale or rotate.

    Every image draws one of the three for itself: a shift of −4 to 4 pixels, a scale of 0.8 to
    1.2 per axis, or a rotation of up to 45 degrees. What comes in from outside has the mean of
    the batch. Scaling is bilinear here; the authors take the nearest pixel.

    Args:
        images: B×C×H×W network inputs.
        key: decides operations and parameters.
    """
    generator = key.generator()
    count = len(images)
    chosen = torch.randint(3, (count,), generator=generator)
    draws = torch.rand(count, 2, generator=generator) * 2 - 1
    identity, none = torch.ones(count), torch.zeros(count)
    stretch = torch.where((chosen == 1)[:, None], 1 / (1 + 0.2 * draws), 1.0)
    angle = torch.where(chosen == 2, draws[:, 0] * math.radians(45), none)
    sizes = torch.tensor([images.shape[3], images.shape[2]]).float()
    # a shift by one pixel is 2 / (size − 1) in aligned coordinates
    shift = (draws * 4.5).round().clamp(-4, 4) * 2 / (sizes - 1)
    shift = torch.where((chosen == 0)[:, None], shift, 0.0)
    cosine, sine = torch.where(chosen == 2, angle.cos(), identity), angle.sin()
    rows = (
        (cosine * stretch[:, 0], -sine, shift[:, 0]),
        (sine, cosine * stretch[:, 1], shift[:, 1]),
    )
    level = images.mean(dim=(0, 2, 3), keepdim=True)
    moved = tuple(tuple(cell.to(images.device) for cell in row) for row in rows)
    return _affine(images - level, moved) + level


def _flip(images: Tensor, draws: Draws) -> Tensor:
    mirrored = draws[:, 0].view(-1, 1, 1, 1) < FLIP_PROBABILITY
    return torch.where(mirrored, images.flip(3), images)


def _color(images: Tensor, draws: Draws) -> Tensor:
    brightness, saturation, contrast = draws.to(images.dtype).view(-1, 3, 1, 1, 1).unbind(1)
    images = images + (brightness - 0.5) * BRIGHTNESS
    gray = images.mean(dim=1, keepdim=True)
    images = (images - gray) * (saturation * SATURATION) + gray
    level = images.mean(dim=(1, 2, 3), keepdim=True)
    return (images - level) * (contrast + CONTRAST) + level


def _crop(images: Tensor, draws: Draws) -> Tensor:
    height, width = images.shape[2:]
    pad_y, pad_x = (int(size * CROP_PAD_RATIO + 0.5) for size in (height, width))
    top = _whole(draws[:, 0], 2 * pad_y + 1)
    left = _whole(draws[:, 1], 2 * pad_x + 1)
    padded = functional.pad(images, (pad_x, pad_x, pad_y, pad_y))
    if len(draws) == 1:
        y, x = int(top), int(left)
        return padded[:, :, y : y + height, x : x + width]
    rows = (top.view(-1, 1) + torch.arange(height, device=images.device)).view(-1, 1, height, 1)
    columns = (left.view(-1, 1) + torch.arange(width, device=images.device)).view(-1, 1, 1, width)
    batch = torch.arange(len(images), device=images.device).view(-1, 1, 1, 1)
    channel = torch.arange(images.shape[1], device=images.device).view(1, -1, 1, 1)
    return padded[batch, channel, rows, columns]


def _cutout(images: Tensor, draws: Draws) -> Tensor:
    covered = []
    for axis, size in enumerate(images.shape[2:]):
        edge = int(size * CUTOUT_RATIO + 0.5)
        # the centre is anywhere in the image, so the square may hang over the border
        start = (_whole(draws[:, axis], size + 1 - edge % 2) - edge // 2).view(-1, 1)
        position = torch.arange(size, device=images.device)
        covered.append((position >= start) & (position < start + edge))
    rows, columns = covered
    inside = rows[:, None, :, None] & columns[:, None, None, :]
    return images * (~inside).to(images.dtype)


def _scale(images: Tensor, draws: Draws) -> Tensor:
    lowest = 1 / SCALE_RATIO
    factors = draws[:, :2] * (SCALE_RATIO - lowest) + lowest
    zero = torch.zeros_like(factors[:, 0])
    rows = (factors[:, 0], zero, zero), (zero, factors[:, 1], zero)
    return _affine(images, rows)


def _rotate(images: Tensor, draws: Draws) -> Tensor:
    angle = (draws[:, 0] - 0.5) * 2 * math.radians(ROTATE_DEGREES)
    cosine, sine = angle.cos(), angle.sin()
    zero = torch.zeros_like(angle)
    return _affine(images, ((cosine, -sine, zero), (sine, cosine, zero)))


def _affine(images: Tensor, rows: tuple[tuple[Tensor, ...], ...]) -> Tensor:
    matrix = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2).to(images.dtype)
    matrix = matrix.expand(len(images), 2, 3)
    grid = functional.affine_grid(matrix, list(images.shape), align_corners=True)
    return functional.grid_sample(images, grid, align_corners=True)


def _whole(draws: Tensor, count: int) -> Tensor:
    """Return whole numbers in 0…count−1, uniform."""
    return (draws * count).long().clamp_max(count - 1)


OPERATIONS: dict[str, Callable[[Tensor, Draws], Tensor]] = {
    "color": _color,
    "crop": _crop,
    "cutout": _cutout,
    "flip": _flip,
    "scale": _scale,
    "rotate": _rotate,
}
