"""One picture as an array of pixels, in the format that all have."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from attar.data.arrays import to_type
from attar.data.formats import Format
from attar.data.opening import open_picture, read_header
from attar.data.picture_files import Pictures
from attar.data.plain import decode_image
from attar.data.resizing import fit_image, fit_images
from attar.data.sampled import read_values
from attar.data.values import Look


def pixels_of(wanted: Format) -> Callable[[Pictures, int, Format, Look], np.ndarray]:
    """Return what decodes one picture of this format."""
    return plain_pixels if wanted.plain and not wanted.floats else sampled_pixels


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
