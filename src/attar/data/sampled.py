"""Pictures whose values are read as numbers: of more than 8 bits, of floats, of many bands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from attar.data import tiff
from attar.data.arrays import array_tensor, as_values
from attar.data.deep_png import read_deep_png
from attar.data.opening import Header, open_picture
from attar.data.plain import decode_image, plain_mode
from attar.data.turning import orientation, turned
from attar.data.values import Colour, Look, range_advice
from attar.errors import BadRequest


@dataclass(frozen=True)
class Samples:
    """The values of one picture as they are stored.

    Args:
        values: H×W×C numbers.
        alpha: H×W×1 in [0, 1], where there is transparency.
        premultiplied: whether the values are multiplied by it.
        inverted: whether the lowest is white.
    """

    values: np.ndarray
    alpha: np.ndarray | None = None
    premultiplied: bool = False
    inverted: bool = False


def read_values(stream: BinaryIO, header: Header, name: str, look: Look) -> Tensor:
    """Return one picture as C×H×W, uint8 or float32 in [0, 1].

    Args:
        stream: the file.
        header: of it.
        name: how messages call it.
        look: what its values come to.

    Raises:
        BadRequest: values outside the range.
        ValueError, OSError: the file cannot be decoded.
    """
    return as_seen(_READERS[header.reader](stream, name, look), name, look)


def observed(stream: BinaryIO, header: Header, name: str, look: Look) -> tuple[float, float]:
    """Return the lowest and the highest value of one picture as it is stored."""
    values = _READERS[header.reader](stream, name, look).values
    return float(values.min()), float(values.max())


def needs_range(name: str, depth: str, low: float, high: float) -> BadRequest:
    """Return the refusal of integers of more than 8 bits while nothing says what they mean."""
    return BadRequest(
        f"{name} has more than 8 bits a channel ({depth}, with values from {low:g} to {high:g}); "
        f"{range_advice(low, high)}"
    )


def as_seen(samples: Samples, name: str, look: Look) -> Tensor:
    """Return samples as C×H×W pixels, scaled and on their background."""
    pixels = as_values(_tensor(samples.values, name), name, look.value_range)
    if samples.inverted:
        pixels = (255 if pixels.dtype == torch.uint8 else 1) - pixels
    if samples.alpha is None:
        return pixels
    if pixels.dtype == torch.uint8:
        pixels = pixels.float().div_(255)
    return _composited(pixels, _tensor(samples.alpha, name), samples.premultiplied, look.background)


def _tensor(values: np.ndarray, name: str) -> Tensor:
    return array_tensor(np.moveaxis(values, -1, 0), name)


def _composited(pixels: Tensor, alpha: Tensor, premultiplied: bool, background: Colour) -> Tensor:
    """Return C×H×W pixels in [0, 1] on a background; three channels where it is coloured."""
    gray = len(set(background)) == 1 and len(pixels) == 1
    behind = torch.tensor(background[:1] if gray else background).view(-1, 1, 1) / 255
    shown = pixels if premultiplied else pixels * alpha
    return (shown + behind * (1 - alpha)).clamp_(0, 1)


def _from_plain(stream: BinaryIO, name: str, look: Look) -> Samples:
    image = _opened(stream)
    mode = plain_mode(image, look.background)
    values = np.asarray(decode_image(image, mode, look.background))
    return Samples(values.reshape(*values.shape[:2], -1))


def _from_values(stream: BinaryIO, name: str, look: Look) -> Samples:
    image = _opened(stream)
    # Pillow 13 stretches the values of a PGM file to 16 bits
    most = image.tile[0][3][-1] if image.format == "PPM" and image.mode == "I" else 65535
    clear = image.info.get("transparency")
    values = np.asarray(image)[..., None]
    if isinstance(most, int) and most != 65535:
        values = np.rint(values * (most / 65535)).astype(np.int64)
    values = turned(values, orientation(image))
    return Samples(values, None if clear is None else (values != clear).astype(np.float32))


def _from_png(stream: BinaryIO, name: str, look: Look) -> Samples:
    image = _opened(stream)
    image.load()
    turn, clear = orientation(image), image.info.get("transparency")
    values = read_deep_png(stream)
    values = turned(values, turn)
    if clear is not None:
        shown = (values != np.array(clear)).any(axis=-1, keepdims=True)
        return Samples(values, shown.astype(np.float32))
    return _apart(values, values.shape[-1] - 1 if values.shape[-1] in (2, 4) else None)


def _from_tiff(stream: BinaryIO, name: str, look: Look) -> Samples:
    values, layout = tiff.read_samples(stream, name)
    values = turned(values, layout.orientation)
    return _apart(values, layout.alpha, layout.premultiplied, inverted=layout.inverted)


def _apart(
    values: np.ndarray, alpha: int | None, premultiplied: bool = False, *, inverted: bool = False
) -> Samples:
    """Return samples with one of their channels, transparency, taken apart."""
    if alpha is None:
        return Samples(values, None, premultiplied, inverted)
    whole = np.iinfo(values.dtype).max if values.dtype.kind in "ui" else 1
    share = values[..., alpha : alpha + 1].astype(np.float32) / whole
    return Samples(np.delete(values, alpha, -1), share, premultiplied, inverted)


def _opened(stream: BinaryIO) -> Any:
    image = open_picture(stream)
    if image is None:
        raise ValueError("it has changed")
    return image


_READERS = {
    "plain": _from_plain,
    "values": _from_values,
    "png": _from_png,
    "tiff": _from_tiff,
}
