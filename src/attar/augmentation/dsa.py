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
from collections.abc import Callable, Collection

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
# of the DC authors' noise, in normalised space
DC_NOISE = 0.001

# R×3 uniform draws in [0, 1), R being 1 or the batch size; no operation uses more than three.
Draws = Tensor


def parse_strategy(strategy: str) -> tuple[str, ...]:
    """Split ``color_crop_flip`` into names; ``none`` or an empty text is no augmentation.

    Raises:
        BadRequest: a name is unknown or stands twice.
    """
    if strategy.lower() in ("", "none"):
        return ()
    names = names_among(strategy, OPERATIONS, "augmentation")
    if len(set(names)) != len(names):
        raise BadRequest(f"--augment {strategy!r}: a name stands twice")
    return names


def names_among(text: str, operations: Collection[str], kind: str) -> tuple[str, ...]:
    """Return the names in a text, joined by ``_``, all of which are operations.

    Raises:
        BadRequest: a name is unknown.
    """
    names = tuple(text.split("_"))
    for name in names:
        if name not in operations:
            raise unknown(kind, name, operations)
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


def augment_as_dc(
    images: Tensor, key: Key, names: tuple[str, ...] = ("crop", "scale", "rotate")
) -> Tensor:
    """Apply the DC authors' evaluation augmentation.

    Every image draws one of the operations for itself: ``crop``, a shift of −4 to 4 pixels;
    ``scale`` by 0.8 to 1.2 per axis; ``rotate`` by up to 45 degrees; ``noise``, normal with a
    deviation of 0.001. What comes in from outside has the mean of the batch. Scaling is
    bilinear here; the authors take the nearest pixel.

    Args:
        images: B×C×H×W network inputs.
        key: decides operations and parameters.
        names: the operations; their digits have the first three, networks with batch
            normalization ``crop`` and ``noise``.
    """
    generator = key.generator()
    count = len(images)
    chosen = torch.randint(len(names), (count,), generator=generator)
    draws = torch.rand(count, 2, generator=generator) * 2 - 1

    def drew(name: str) -> Tensor:
        return chosen == names.index(name) if name in names else torch.zeros(count) > 0

    identity, none = torch.ones(count), torch.zeros(count)
    stretch = torch.where(drew("scale")[:, None], 1 / (1 + 0.2 * draws), 1.0)
    angle = torch.where(drew("rotate"), draws[:, 0] * math.radians(45), none)
    sizes = torch.tensor([images.shape[3], images.shape[2]]).float()
    # a shift by one pixel is 2 / (size − 1) in aligned coordinates
    shift = (draws * 4.5).round().clamp(-4, 4) * 2 / (sizes - 1)
    shift = torch.where(drew("crop")[:, None], shift, 0.0)
    cosine, sine = torch.where(drew("rotate"), angle.cos(), identity), angle.sin()
    rows = (
        (cosine * stretch[:, 0], -sine, shift[:, 0]),
        (sine, cosine * stretch[:, 1], shift[:, 1]),
    )
    level = images.mean(dim=(0, 2, 3), keepdim=True)
    there = tuple(tuple(cell.to(images.device) for cell in row) for row in rows)
    moved = affine(images - level, there) + level
    if "noise" not in names:
        return moved
    noise = DC_NOISE * torch.randn(images.shape, generator=generator).to(images)
    return torch.where(drew("noise").view(-1, 1, 1, 1).to(images.device), images + noise, moved)


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


def scale(images: Tensor, draws: Draws, *, aligned: bool = True) -> Tensor:
    """Return images scaled per axis by 1/1.2 to 1.2; see `affine` for ``aligned``."""
    lowest = 1 / SCALE_RATIO
    factors = draws[:, :2] * (SCALE_RATIO - lowest) + lowest
    zero = torch.zeros_like(factors[:, 0])
    rows = (factors[:, 0], zero, zero), (zero, factors[:, 1], zero)
    return affine(images, rows, aligned=aligned)


def rotate(images: Tensor, draws: Draws, *, aligned: bool = True) -> Tensor:
    """Return images turned by up to 15 degrees; see `affine` for ``aligned``."""
    angle = (draws[:, 0] - 0.5) * 2 * math.radians(ROTATE_DEGREES)
    cosine, sine = angle.cos(), angle.sin()
    zero = torch.zeros_like(angle)
    return affine(images, ((cosine, -sine, zero), (sine, cosine, zero)), aligned=aligned)


def affine(
    images: Tensor,
    rows: tuple[tuple[Tensor, ...], ...],
    *,
    aligned: bool = True,
    outside: str = "zeros",
) -> Tensor:
    """Return images (B×C×H×W) sampled bilinearly where an affine map leads from each pixel.

    Args:
        images: the batch.
        rows: two rows of three tensors of B or 1 numbers, for x and y from −1 to 1.
        aligned: whether −1 and 1 are the centres of the outermost pixels, or their far edges.
        outside: ``zeros``, or ``border`` for the nearest pixel.
    """
    matrix = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2).to(images.dtype)
    matrix = matrix.expand(len(images), 2, 3)
    grid = functional.affine_grid(matrix, list(images.shape), align_corners=aligned)
    return functional.grid_sample(images, grid, padding_mode=outside, align_corners=aligned)


def _whole(draws: Tensor, count: int) -> Tensor:
    """Return whole numbers in 0…count−1, uniform."""
    return (draws * count).long().clamp_max(count - 1)


OPERATIONS: dict[str, Callable[[Tensor, Draws], Tensor]] = {
    "color": _color,
    "crop": _crop,
    "cutout": _cutout,
    "flip": _flip,
    "scale": scale,
    "rotate": rotate,
}
