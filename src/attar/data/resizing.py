"""Bring images to one size: centre crop to the shape, then antialiased bilinear."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from attar.capacity import check_memory
from attar.data.rows import Rows, in_memory, told
from attar.errors import BadRequest
from attar.shapes import Shape, shape_text

if TYPE_CHECKING:
    from PIL import Image

Resize = int | tuple[int, int] | None


def wanted_size(resize: object) -> tuple[int, int] | None:
    """Return height and width in pixels; one number means a square.

    Raises:
        BadRequest: not one or two whole numbers above zero.
    """
    if resize is None:
        return None
    sides = tuple(resize) if isinstance(resize, tuple | list) else (resize, resize)
    match sides:
        case (int(height), int(width)) if min(height, width) > 0 and bool not in map(type, sides):
            return height, width
    raise BadRequest(
        f"resize {resize!r} is no size; give one number of pixels for a square (32), or "
        "height and width (32, 48), each above zero"
    )


def fit_image(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return a Pillow image of ``size`` (height, width), cropped at the centre to its shape."""
    from PIL import Image

    height, width = size
    if image.size == (width, height):
        return image
    top, left, rows, columns = centre_crop((image.height, image.width), size)
    box = (left, top, left + columns, top + rows)
    # cropped first: with resize's own box, Pillow averages in pixels beyond it
    return image.crop(box).resize((width, height), Image.Resampling.BILINEAR)


def fit_images(images: Tensor, size: tuple[int, int] | None) -> Tensor:
    """Return N×C×H×W images of ``size``, the type unchanged; see `fit_image`."""
    if size is None or tuple(images.shape[2:]) == size:
        return images
    if images.ndim != 4:
        raise BadRequest(
            f"--resize {'×'.join(map(str, size))}: feature vectors have no height and width; leave "
            "it out"
        )
    shape = (images.shape[1], *size)
    check_images(len(images), shape, images.element_size())
    # floats of one part, twice
    check_images(min(len(images), 1024), shape, 8)
    top, left, height, width = centre_crop(tuple(images.shape[2:]), size)
    fitted = images.new_empty(*images.shape[:2], *size)
    for target, part in zip(fitted.split(1024), images.split(1024), strict=True):
        cropped = part[:, :, top : top + height, left : left + width].float()
        scaled = functional.interpolate(cropped, size, mode="bilinear", antialias=True)
        # averages lie between the extremes, except for rounding
        scaled.clamp_(cropped.amin((1, 2, 3), True), cropped.amax((1, 2, 3), True))
        target.copy_(scaled.round_() if images.dtype == torch.uint8 else scaled)
    return fitted


def fit_rows(rows: Rows, size: tuple[int, int] | None) -> Rows:
    """Return images of ``size``: of a tensor a tensor, of others each when it is read."""
    if in_memory(rows):
        return fit_images(rows, size)
    if size is None or tuple(rows.shape[2:]) == size:
        return rows
    # refused as all of them would be
    fit_images(rows[:1], size)
    return Fitted(rows, size)


@dataclass(frozen=True, eq=False)
class Fitted:
    """Other rows, each brought to one size when it is read."""

    whole: Rows
    size: tuple[int, int]

    @property
    def shape(self) -> torch.Size:
        """As of `Rows`."""
        return torch.Size((*self.whole.shape[:2], *self.size))

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
        return len(self.whole)

    def __getitem__(self, index: Tensor | slice, /) -> Tensor:
        return fit_images(self.whole[index], self.size)


def check_images(count: int, shape: Shape, each: int) -> None:
    """Refuse more images than there is memory for, before any is made.

    Args:
        count: N.
        shape: of one.
        each: bytes of a value.
    """
    what = f"{count} images of {shape_text(shape)}"
    remedy = "give a smaller --resize, or take fewer (--per-class, --classes)"
    check_memory(count * math.prod(shape) * each, what, remedy)


def centre_crop(have: tuple[int, ...], want: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return top, left, height and width of the largest centred part shaped like ``want``."""
    height, width = have
    if height * want[1] > width * want[0]:
        height = max(1, round(width * want[0] / want[1]))
    else:
        width = max(1, round(height * want[1] / want[0]))
    return (have[0] - height) // 2, (have[1] - width) // 2, height, width
