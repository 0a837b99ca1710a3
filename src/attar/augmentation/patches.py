"""Crops of images, resized all at once, and their patches in another order.

Shape letters: N crops, C channels, H height, W width of an image, h and w of what comes out.

Source: Sun et al., On the Diversity and Realism of Distilled Dataset (RDED), 2024; boxes and
weights are those of torchvision's ``RandomResizedCrop`` with ``antialias=True``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from attar.rng import Key

# sides from which on RDED's authors put four crops into a picture, and one below
LARGE = 96
# boxes that are tried before the largest one in the middle is taken
_TRIES = 10


def usual_factor(size: Sequence[int]) -> int:
    """Return how many crops stand side by side in a picture of a height and width: 1, or 2.

    The authors have 2 for the sizes of ImageNet, and 1 for CIFAR and Tiny-ImageNet.
    """
    return 2 if min(size) >= LARGE else 1


def draw_boxes(
    count: int,
    size: tuple[int, int],
    scale: tuple[float, float],
    ratio: tuple[float, float],
    key: Key,
) -> Tensor:
    """Return ``count`` boxes in an image: N×4 whole numbers, top, left, height and width.

    The area is drawn uniformly as a share of the image's, the ratio of the sides by its logarithm,
    and the place uniformly where the box fits. One that does not is drawn again up to ten times;
    then the largest of a fitting ratio in the middle is taken.

    Args:
        count: N.
        size: height and width of the image.
        scale: least and greatest share of the area, above 0 to 1.
        ratio: least and greatest width over height.
        key: decides everything.
    """
    tall, wide = size
    draws = torch.rand(count, _TRIES, 4, generator=key.generator(), dtype=torch.float64)
    area = (scale[0] + (scale[1] - scale[0]) * draws[..., 0]) * tall * wide
    low, high = map(math.log, ratio)
    shape = (low + (high - low) * draws[..., 1]).exp()
    across, down = (area * shape).sqrt().round(), (area / shape).sqrt().round()
    fits = (across > 0) & (across <= wide) & (down > 0) & (down <= tall)
    first = fits.int().argmax(dim=1, keepdim=True)
    height, width, y, x = (one.gather(1, first)[:, 0] for one in (down, across, *_places(draws)))
    middle = ~fits.any(dim=1)
    height[middle], width[middle] = _largest(tall, wide, ratio)
    top, left = (y * (tall - height + 1)).floor(), (x * (wide - width + 1)).floor()
    top[middle] = torch.div(tall - height[middle], 2, rounding_mode="floor")
    left[middle] = torch.div(wide - width[middle], 2, rounding_mode="floor")
    return torch.stack([top, left, height, width], dim=1).long()


def _places(draws: Tensor) -> tuple[Tensor, Tensor]:
    return draws[..., 2], draws[..., 3]


def _largest(tall: int, wide: int, ratio: tuple[float, float]) -> tuple[int, int]:
    """Return height and width of the largest box of a ratio that is allowed."""
    if wide / tall < ratio[0]:
        return round(wide / ratio[0]), wide
    if wide / tall > ratio[1]:
        return tall, round(tall * ratio[1])
    return tall, wide


def take_crops(images: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Return boxes of images brought to one size, bilinearly and without aliasing: N×C×h×w.

    Args:
        images: N×C×H×W floats, one for each box.
        boxes: N×4, as `draw_boxes` gives them.
        size: h and w.
    """
    boxes = boxes.to(images.device)
    down = _weights(boxes[:, 0], boxes[:, 2], images.shape[2], size[0], images.dtype)
    across = _weights(boxes[:, 1], boxes[:, 3], images.shape[3], size[1], images.dtype)
    return down[:, None] @ images @ across[:, None].mT


def _weights(start: Tensor, length: Tensor, size: int, wanted: int, dtype: torch.dtype) -> Tensor:
    """Return what each of ``wanted`` pixels takes of the ``size`` pixels of an axis: N×wanted×size.

    A triangle about the middle of each, as wide as a pixel of the larger grid on either side.
    """
    start, length = start.double(), length.double()
    scale = (length / wanted)[:, None, None]
    steps = torch.arange(wanted, device=start.device)[None, :, None] + 0.5
    places = torch.arange(size, device=start.device)[None, None, :] + 0.5
    places = places - start[:, None, None]
    found = (1 - (places - steps * scale).abs() / scale.clamp(min=1)).clamp(min=0)
    found = found * ((places > 0) & (places < length[:, None, None]))
    return (found / found.sum(dim=2, keepdim=True)).to(dtype)


def padded(crops: Tensor, size: tuple[int, int]) -> Tensor:
    """Return crops (N×C×h×w) in the middle of zeros, N×C×H×W.

    Of network inputs zero is the mean of the data.
    """
    rows, columns = size[0] - crops.shape[2], size[1] - crops.shape[3]
    edges = (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)
    return torch.nn.functional.pad(crops, edges) if any(edges) else crops


def tiled(crops: Sequence[Tensor]) -> Tensor:
    """Return one picture (C×H×W) of f² crops, row by row; the first are taller and wider by less.

    Args:
        crops: f² of them, C×h×w, those of one row as tall, those of one column as wide.
    """
    factor = math.isqrt(len(crops))
    rows = [crops[row * factor : (row + 1) * factor] for row in range(factor)]
    return torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)


def parts(side: int, factor: int) -> list[int]:
    """Return the sides of ``factor`` parts of a side: the first are longer by one where need be."""
    least, longer = divmod(side, factor)
    return [least + (index < longer) for index in range(factor)]


def shuffled(images: Tensor, factor: int, key: Key) -> Tensor:
    """Return images (N×C×H×W) whose columns and rows of patches are in another order, each its own.

    Args:
        images: any.
        factor: patches along a side; the last takes what is left over.
        key: of the orders.
    """
    if factor < 2:
        return images
    generator = key.generator()
    for axis in (3, 2):
        orders = torch.rand(len(images), factor, generator=generator).argsort(dim=1)
        images = _reordered(images, axis, orders)
    return images


def _reordered(images: Tensor, axis: int, orders: Tensor) -> Tensor:
    side, factor = images.shape[axis], orders.shape[1]
    each = side // factor
    pieces = [torch.arange(index * each, (index + 1) * each) for index in range(factor)]
    pieces[-1] = torch.arange((factor - 1) * each, side)
    places = torch.stack([torch.cat([pieces[one] for one in order]) for order in orders.tolist()])
    shape = [len(images), 1, 1, 1]
    shape[axis] = side
    return images.gather(axis, places.to(images.device).view(shape).expand_as(images))
