"""Images kept as pictures of a codec: all of a class in one, all of the set, or each by itself."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from attar.coding import CODECS, PictureCodec, joined, parted
from attar.coding.codecs import SPEED, check_channels
from attar.coding.sheets import Pixels, grid_of
from attar.data.modality import rows_of
from attar.data.preprocessing import Preprocessing
from attar.errors import BadRequest, unknown
from attar.shapes import is_picture
from attar.storage.storage import Content, Kept, Storage

BY_CLASS, BY_SET, BY_IMAGE = "class", "set", "image"
_MADE_OF = (BY_CLASS, BY_SET, BY_IMAGE)
# whitening from which an image comes back only up to its own mean and scale
_INEXACT = ("rtp", "kip")
# sides of a picture of many images, so that no codec's limit is met and little memory is taken
_LONGEST = 8192


class CodedPictures(Storage):
    """Images in 8 bits a channel as pictures of one codec; all else, such as labels, in float32.

    A subclass has fields ``quality``, ``chroma`` and ``together`` as its codec has them. Values
    outside of black and white are clipped. Of each tensor of images one stream is kept: the sizes
    of its pictures, seven bits a byte, and then these.
    """

    exact: ClassVar[bool] = False
    quality: int
    together: str

    def __post_init__(self) -> None:
        if self.together not in _MADE_OF:
            raise unknown("together", self.together, _MADE_OF)
        self.codec()

    def codec(self) -> PictureCodec:
        """Return the codec with its settings.

        Raises:
            BadRequest: a setting out of range, or a codec that this Pillow lacks.
        """
        try:
            names = [
                one.name for one in dataclasses.fields(PictureCodec) if hasattr(self, one.name)
            ]
            return PictureCodec(**{name: getattr(self, name) for name in names})
        except BadRequest as error:
            raise BadRequest(f"--storage {error.text}") from error

    def check(self, content: Content, form: str) -> None:
        """Refuse rows that are no pictures of one channel or three, and forms that store others."""
        told = f"--storage {self.name}"
        if not is_picture(content.shape):
            raise BadRequest(
                f"{told}: it keeps pictures, and these are {rows_of(content.shape)}; choose float16"
            )
        check_channels(told, content.shape[0])
        if not content.pictures:
            raise BadRequest(
                f"{told}: what the form {form!r} stores are no pictures; choose --form pixels, "
                "resized or tiled, or another storage such as float16"
            )
        whitening = content.preprocessing and content.preprocessing.whitening
        if whitening and (whitening.kind in _INEXACT or "images.values" not in content.pictures):
            raise BadRequest(
                f"{told}: images whitened by --zca {whitening.kind} cannot be turned back into "
                f"what the form {form!r} stores; give --zca none"
            )

    def coarser(self) -> Sequence[Storage]:
        """Return those of every lower quality."""
        qualities = CODECS[self.name].qualities
        lower = range(self.quality - 1, qualities[0] - 1, -1) if qualities else ()
        return [dataclasses.replace(self, quality=one) for one in lower]  # pyright: ignore[reportArgumentType]

    def planned(self, name: str, shape: tuple[int, ...]) -> int | None:
        """Return the bytes of what is no image."""
        return None if _is_image(name, shape) else 4 * math.prod(shape)

    def kept(self, name: str, shape: tuple[int, ...]) -> dict[str, Kept]:
        """Return a stream of bytes for images."""
        image = _is_image(name, shape)
        return {name: Kept(torch.uint8) if image else Kept(torch.float32, shape)}

    def least(self, name: str, shape: tuple[int, ...]) -> int:
        """Return a byte for every picture of images, and its size."""
        size = self.planned(name, shape)
        return size if size is not None else 2 * (shape[0] if self.together == BY_IMAGE else 1)

    def encode(self, tensors: Mapping[str, Tensor], content: Content) -> dict[str, Tensor]:
        """Return the streams of images, and all else as it is."""
        preprocessing = self._checked(content)
        found = {}
        for name, tensor in tensors.items():
            if not _is_image(name, tuple(tensor.shape)):
                found[name] = tensor.float()
                continue
            images = _as_bytes(preprocessing.invert(tensor.detach().cpu().float()))
            streams = self._streams(images, self._parts(tuple(tensor.shape), content))
            whole = b"".join([*map(_told_size, map(len, streams)), *streams])
            found[name] = torch.frombuffer(bytearray(whole), dtype=torch.uint8)
        return found

    def _streams(self, images: Pixels, parts: Sequence[range]) -> list[bytes]:
        """Return a stream for each part, by as many threads as there are for arithmetic.

        Bytes are the same with any number of them: each codes a picture by itself.
        """
        codec = self.codec()

        def coded(own: range) -> bytes:
            return codec.encode(joined(images[own.start : own.stop]))

        with ThreadPoolExecutor(torch.get_num_threads()) as pool:
            return list(pool.map(coded, parts))

    def decode(
        self,
        coded: Mapping[str, Tensor],
        shapes: Mapping[str, tuple[int, ...]],
        content: Content,
    ) -> dict[str, Tensor]:
        """Return the images as network inputs, and all else as it is."""
        preprocessing = self._checked(content)
        found = {}
        for name, shape in shapes.items():
            if not _is_image(name, shape):
                found[name] = coded[name]
                continue
            images = self._decoded(coded[name].numpy().tobytes(), shape, content)
            pixels = torch.from_numpy(images.transpose(0, 3, 1, 2).copy()).float() / 255
            found[name] = preprocessing.apply(pixels)
        return found

    def _decoded(self, data: bytes, shape: tuple[int, ...], content: Content) -> Pixels:
        parts = self._parts(shape, content)
        sizes, place = _read_sizes(data, len(parts))
        if place + sum(sizes) != len(data):
            raise ValueError(
                f"its pictures take {place + sum(sizes)} bytes, and it has {len(data)}"
            )
        _, channels, height, width = shape
        codec, found = self.codec(), []
        for own, size in zip(parts, sizes, strict=True):
            lines, columns = grid_of(len(own))
            whole = (lines * height, columns * width, channels)
            found.append(parted(codec.decode(data[place : place + size], whole), len(own)))
            place += size
        return np.concatenate(found)

    def _parts(self, shape: tuple[int, ...], content: Content) -> Sequence[range]:
        """Return which images make one picture each, in order."""
        count, _, height, width = shape
        # stored images that rows of several classes are cut out of belong to all of them
        by_class = self.together == BY_CLASS and count == sum(content.sizes)
        sizes = [one for one in content.sizes if one] if by_class else [count]
        most = max(1, _LONGEST // height) * max(1, _LONGEST // width) // 2
        most = 1 if self.together == BY_IMAGE else max(1, most)
        found, start = [], 0
        for size in sizes:
            stop = start + size
            found += [range(one, min(one + most, stop)) for one in range(start, stop, most)]
            start = stop
        return found

    def _checked(self, content: Content) -> Preprocessing:
        self.check(content, "of the set")
        assert content.preprocessing is not None
        return content.preprocessing


@dataclass(frozen=True)
class Avif(CodedPictures):
    """AVIF, from Pillow 11.3 on: best of all in pictures of many images; some 300 bytes each.

    Args:
        quality: 0 to 100.
        chroma: ``420`` keeps colours at half the size, ``444`` in full.
        together: ``class`` for one picture of each class, ``set`` for one of all, ``image`` for
            one of each image.
        speed: 0 to 10. A lower one takes longer to write, and at one quality takes more bytes and
            shows more; at one error it takes fewer.
    """

    name: ClassVar[str] = "avif"

    quality: int = 50
    chroma: str = "420"
    together: str = BY_CLASS
    speed: int = SPEED


@dataclass(frozen=True)
class WebP(CodedPictures):
    """WebP: best for images by themselves.

    Args:
        quality: 0 to 100.
        together: as in `Avif`.
    """

    name: ClassVar[str] = "webp"

    quality: int = 50
    together: str = BY_CLASS


@dataclass(frozen=True)
class Jpeg(CodedPictures):
    """Baseline JPEG, which every Pillow has.

    Args:
        quality: 1 to 95.
        chroma: as in `Avif`.
        together: as in `Avif`.
    """

    name: ClassVar[str] = "jpeg"

    quality: int = 50
    chroma: str = "420"
    together: str = BY_CLASS


@dataclass(frozen=True)
class Png(CodedPictures):
    """PNG: nothing is lost but what rounding to 8 bits loses.

    Args:
        together: as in `Avif`.
    """

    name: ClassVar[str] = "png"
    exact: ClassVar[bool] = True

    together: str = BY_CLASS


def _is_image(name: str, shape: tuple[int, ...]) -> bool:
    """Whether a tensor is of images; `check` has seen to it that what the form stores are some."""
    return name.startswith("images.") and len(shape) == 4


def _as_bytes(pixels: Tensor) -> Pixels:
    whole = (pixels.clamp(0, 1) * 255).round().to(torch.uint8)
    return whole.permute(0, 2, 3, 1).contiguous().numpy()


def _told_size(size: int) -> bytes:
    found = bytearray()
    while size > 0x7F:
        found.append(size & 0x7F | 0x80)
        size >>= 7
    found.append(size)
    return bytes(found)


def _read_sizes(data: bytes, count: int) -> tuple[list[int], int]:
    """Return ``count`` sizes that ``data`` begins with, and where they end."""
    found: list[int] = []
    place = 0
    for _ in range(count):
        size = shift = 0
        more = True
        while more:
            if place >= len(data) or shift > 28:
                raise ValueError("it ends before the sizes of its pictures")
            size |= (data[place] & 0x7F) << shift
            more, shift, place = data[place] > 0x7F, shift + 7, place + 1
        found.append(size)
    return found, place


PICTURES = (Avif, WebP, Jpeg, Png)
assert [one.name for one in PICTURES] == list(CODECS)
