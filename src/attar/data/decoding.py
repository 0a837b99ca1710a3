"""Pictures in files or columns, decoded in parallel straight into one tensor."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from attar.data.arrays import to_type
from attar.data.formats import Format, settle_format
from attar.data.opening import open_picture, read_header
from attar.data.parallel import Counted, in_parallel
from attar.data.picture_files import Pictures, unreadable_as
from attar.data.plain import decode_image
from attar.data.reading import Watch
from attar.data.resizing import check_images, fit_image, fit_images
from attar.data.sampled import read_values
from attar.data.values import PLAIN, Look


def decode_parts(
    parts: Sequence[Pictures],
    size: tuple[int, int] | None,
    mode: str | None = None,
    watch: Watch | None = None,
    look: Look = PLAIN,
) -> list[Tensor]:
    """Return the N×C×H×W images of every part, all of one format.

    Pictures are turned as their EXIF orientation says, and transparent ones put on a background.
    They are uint8; float32 in [0, 1] where they have more than 8 bits, or a range is given.

    Args:
        parts: such as training and test pictures.
        size: height and width; None takes the one size that all have.
        mode: ``L`` or ``RGB``; None is grayscale where every picture is.
        watch: told how it goes.
        look: what stored values come to.

    Raises:
        BadRequest: an unreadable picture, or one of several pages; integers of more than 8 bits
            while nothing says their range; several sizes while ``size`` is None; more images
            than there is memory for.
    """
    from PIL import Image

    # Pillow loads its rarer formats on first need, and while one thread does, another is told
    # that its file is no image
    Image.init()
    wanted = settle_format(parts, size, mode, watch, look)
    check_images(sum(map(len, parts)), (wanted.channels, *wanted.size), 4 if wanted.floats else 1)
    counted = Counted("decoding images", parts, watch)
    return [decode(pictures, wanted, counted, look) for pictures in parts]


def decode(pictures: Pictures, wanted: Format, counted: Counted, look: Look) -> Tensor:
    """Return N×C×H×W images, each decoded into its place."""
    dtype = torch.float32 if wanted.floats else torch.uint8
    images = torch.empty(len(pictures), wanted.channels, *wanted.size, dtype=dtype)
    places = images.numpy()
    one = plain_pixels if wanted.plain and not wanted.floats else sampled_pixels

    def work(chunk: range) -> None:
        for index in chunk:
            with unreadable_as(pictures, index):
                places[index] = one(pictures, index, wanted, look)

    for chunk, _ in in_parallel(work, len(pictures)):
        counted.add(len(chunk))
    return images


def plain_pixels(pictures: Pictures, index: int, wanted: Format, look: Look) -> np.ndarray:
    """Return a picture of 8 bits as C×H×W uint8."""
    mode = "L" if wanted.channels == 1 else "RGB"
    with pictures.stream(index) as stream:
        image = open_picture(stream)
        if image is None:
            raise ValueError("it has changed")
        with image:
            fitted = fit_image(decode_image(image, mode, look.background), wanted.size)
            return np.asarray(fitted).reshape(*wanted.size, -1).transpose(2, 0, 1)


def sampled_pixels(pictures: Pictures, index: int, wanted: Format, look: Look) -> np.ndarray:
    """Return a picture of any depth and number of bands as C×H×W, float32 or uint8."""
    name = f"image {pictures.name(index)}"
    with pictures.stream(index) as stream:
        pixels = read_values(stream, read_header(stream, name, look), name, look)
    fitted = fit_images(pixels.expand(wanted.channels, -1, -1).unsqueeze(0), wanted.size)[0]
    return to_type(fitted, torch.float32 if wanted.floats else torch.uint8).numpy()
