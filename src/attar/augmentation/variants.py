"""The augmentations that evaluation cards name, each as its authors have it.

A strategy is a text: the way and a colon before the operations, joined by ``_``. Without a way
it is that of DSA, one operation for the batch.

| way | which operations are applied |
|---|---|
| (none) | one, drawn for the batch (`attar.augmentation.dsa.augment`) |
| ``dc`` | one, drawn for each image (`attar.augmentation.dsa.augment_as_dc`) |
| ``idc`` | flip, colour and cutout where they are listed, and one of the rest |
| ``frepo`` | one, drawn for the batch, of operations of its own |
| ``rded`` | all that are listed, each with draws for every image |

Parameters are drawn for each image. Shape letters: B images, C channels, H height, W width.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from attar.augmentation import dsa as dsa
from attar.augmentation.patches import draw_boxes, shuffled, take_crops, usual_factor
from attar.errors import BadRequest, unknown
from attar.rng import Key

# B×3 uniform draws in [0, 1)
Draws = Tensor
Operation = Callable[[Tensor, Draws], Tensor]

_ALWAYS = ("flip", "color", "cutout")

JITTER = 0.25
ZOOM = (0.8, 1.25)
TRANSLATE_RATIO = 0.125
# of FRePo's cutout: side of the hole as a part of the image's
HOLE = 4
# of crops of ImageNet: the least share of the area, and the ratios of width to height
LEAST_AREA, RATIOS = 0.08, (3 / 4, 4 / 3)


def augment_as_idc(
    images: Tensor, names: tuple[str, ...], key: Key, *, shared: bool = False
) -> Tensor:
    """Apply IDC's augmentation: flip, colour, one of the rest (drawn for the batch), cutout.

    Source: Kim et al., Dataset Condensation via Efficient Synthetic-Data Parameterization, 2022,
    and their code, whose sampling has the far edges of the outermost pixels at −1 and 1.

    Args:
        images: B×C×H×W network inputs.
        names: operations of DSA; flip, color and cutout are always applied where they are
            listed.
        key: decides the drawn operation and all parameters.
        shared: one set of parameters for the batch, as in matching, or one for each image.
    """
    rest = [name for name in names if name not in _ALWAYS]
    drawn = []
    if rest:
        drawn = [rest[int(torch.randint(len(rest), (1,), generator=key.fold("one").generator()))]]
    first = [name for name in ("flip", "color") if name in names]
    last = ["cutout"] if "cutout" in names else []
    for name in (*first, *drawn, *last):
        rows = 1 if shared else len(images)
        draws = torch.rand(rows, 3, generator=key.fold(name).generator())
        images = IDC_OPERATIONS[name](images, draws.to(images.device))
    return images


def augment_as_frepo(images: Tensor, names: tuple[str, ...], key: Key) -> Tensor:
    """Apply one operation of FRePo's evaluation, drawn for the batch.

    Source: Zhou et al., Dataset Distillation using Neural Feature Regression, 2022, and their
    code. What comes in from outside an image is its nearest pixel.

    Args:
        images: B×C×H×W network inputs.
        names: out of `FREPO_OPERATIONS`.
        key: decides operation and parameters.
    """
    generator = key.generator()
    chosen = names[int(torch.randint(len(names), (1,), generator=generator))]
    draws = torch.rand(len(images), 3, generator=generator).to(images.device)
    return FREPO_OPERATIONS[chosen](images, draws)


def augment_as_rded(images: Tensor, names: tuple[str, ...], key: Key) -> Tensor:
    """Apply what the authors of decoupled methods train on, in their order.

    Where pictures are made of several crops (`usual_factor`), ``shuffle`` puts these into another
    order, and ``crop`` takes as much of the area as one of a row has, or more; else both do
    nothing. ``zoom`` takes 8 % of the area or more, as for ImageNet; ``flip`` mirrors every other
    image.

    Source: Yin et al., SRe2L, 2023; Sun et al., RDED, 2024, and their code.

    Args:
        images: B×C×H×W network inputs.
        names: out of shuffle, crop, zoom and flip.
        key: decides all parameters.
    """
    size = (images.shape[2], images.shape[3])
    factor = usual_factor(size)
    if "shuffle" in names:
        images = shuffled(images, factor, key.fold("shuffle"))
    for name, least in (("crop", 1 / factor), ("zoom", LEAST_AREA)):
        if name in names and least < 1:
            boxes = draw_boxes(len(images), size, (least, 1.0), RATIOS, key.fold(name))
            images = take_crops(images, boxes, size)
    if "flip" in names:
        mirrored = torch.rand(len(images), generator=key.fold("flip").generator()) < 0.5
        images = torch.where(mirrored.to(images.device).view(-1, 1, 1, 1), images.flip(3), images)
    return images


def _spread(draws: Tensor) -> Tensor:
    """Return draws in [0, 1) as B×1×1×1 numbers in [−1, 1)."""
    return (draws * 2 - 1).view(-1, 1, 1, 1)


def _jitter(images: Tensor, draws: Draws) -> Tensor:
    """Brightness, contrast and saturation, the last two log-uniform."""
    draws = draws.to(images.dtype)
    images = images + JITTER * _spread(draws[:, 0])
    level = images.mean(dim=(1, 2, 3), keepdim=True)
    images = (images - level) * (JITTER * _spread(draws[:, 1])).exp() + level
    gray = images.mean(dim=1, keepdim=True)
    return (images - gray) * (JITTER * _spread(draws[:, 2])).exp() + gray


def _sampled(images: Tensor, linear: tuple[Tensor, ...], down: Tensor, right: Tensor) -> Tensor:
    """Return images sampled at a map of pixels about the centre.

    Args:
        images: the batch.
        linear: four tensors of B numbers: x from x, x from y, y from x, y from y.
        down: of the sampled place, in pixels.
        right: likewise.
    """
    tall, wide = (max(size - 1, 1) for size in images.shape[2:])
    xx, xy, yx, yy = linear
    rows = (
        (xx, xy * (tall / wide), right * 2 / wide),
        (yx * (wide / tall), yy, down * 2 / tall),
    )
    return dsa.affine(images, rows, outside="border")


def _zoomed(images: Tensor, draws: Draws) -> Tensor:
    """Zoom by 0.8 to 1.25, log-uniform, into a window that is drawn where there is room."""
    low, high = (math.log(end) for end in ZOOM)
    zoom = (low + (high - low) * draws[:, 0]).exp()
    room = [(size * zoom - size).abs() / 2 for size in images.shape[2:]]
    down, right = ((2 * draws[:, axis + 1] - 1) * own / zoom for axis, own in enumerate(room))
    zero = torch.zeros_like(zoom)
    return _sampled(images, (1 / zoom, zero, zero, 1 / zoom), down, right)


def _turned(images: Tensor, draws: Draws) -> Tensor:
    angle = (2 * draws[:, 0] - 1) * math.radians(dsa.ROTATE_DEGREES)
    cosine, sine = angle.cos(), angle.sin()
    zero = torch.zeros_like(angle)
    return _sampled(images, (cosine, -sine, sine, cosine), zero, zero)


def _shifted(images: Tensor, draws: Draws) -> Tensor:
    """Shift by up to an eighth of each side, not in whole pixels."""
    down, right = (
        (2 * draws[:, axis] - 1) * TRANSLATE_RATIO * size
        for axis, size in enumerate(images.shape[2:])
    )
    one, zero = torch.ones_like(down), torch.zeros_like(down)
    return _sampled(images, (one, zero, zero, one), down, right)


def _hole(images: Tensor, draws: Draws) -> Tensor:
    """Zero a square of a quarter of the height that lies inside the image."""
    side = images.shape[2] // HOLE
    inside = []
    for axis, size in enumerate(images.shape[2:]):
        start = (draws[:, axis] * (size - side + 1)).long().clamp_max(size - side).view(-1, 1)
        position = torch.arange(size, device=images.device)
        inside.append((position >= start) & (position < start + side))
    rows, columns = inside
    hidden = rows[:, None, :, None] & columns[:, None, None, :]
    return images * (~hidden).to(images.dtype)


IDC_OPERATIONS: dict[str, Operation] = {
    **dsa.OPERATIONS,
    "scale": functools.partial(dsa.scale, aligned=False),
    "rotate": functools.partial(dsa.rotate, aligned=False),
}
FREPO_OPERATIONS: dict[str, Operation] = {
    "flip": dsa.OPERATIONS["flip"],
    "color": _jitter,
    "crop": _zoomed,
    "rotate": _turned,
    "translate": _shifted,
    "cutout": _hole,
}


@dataclass(frozen=True)
class Way:
    """How one of the authors augments.

    Args:
        operations: that can be listed.
        apply: augments a batch (B×C×H×W) by the listed operations.
    """

    operations: tuple[str, ...]
    apply: Callable[[Tensor, tuple[str, ...], Key], Tensor]


# by their prefix; without one it is DSA's own
WAYS: dict[str, Way] = {
    "": Way(
        tuple(dsa.OPERATIONS),
        lambda images, names, key: dsa.augment(images, names, key, shared=False),
    ),
    "dc": Way(
        ("crop", "scale", "rotate", "noise"),
        lambda images, names, key: dsa.augment_as_dc(images, key, names),
    ),
    "idc": Way(tuple(IDC_OPERATIONS), augment_as_idc),
    "frepo": Way(tuple(FREPO_OPERATIONS), augment_as_frepo),
    "rded": Way(("shuffle", "crop", "zoom", "flip"), augment_as_rded),
}


def read_strategy(strategy: str) -> tuple[str, tuple[str, ...]]:
    """Return the way of a strategy (empty for that of DSA) and its operations.

    Raises:
        BadRequest: an unknown way or operation, or one that stands twice.
    """
    way, colon, names = strategy.rpartition(":")
    if not colon:
        return "", dsa.parse_strategy(strategy)
    if not way or way not in WAYS:
        raise unknown("way of augmentation", way, filter(None, WAYS))
    parts = dsa.names_among(names, WAYS[way].operations, f"augmentation of {way}")
    if len(set(parts)) != len(parts):
        raise BadRequest(f"augmentation {strategy!r}: a name stands twice")
    return way, parts


def augmented(images: Tensor, strategy: str, key: Key) -> Tensor:
    """Return a training batch (B×C×H×W), augmented with parameters for each image.

    Args:
        images: network inputs.
        strategy: see above; ``none`` leaves the images as they are.
        key: decides operations and parameters.

    Raises:
        BadRequest: the strategy cannot be read.
    """
    way, names = read_strategy(strategy)
    return WAYS[way].apply(images, names, key)
