"""Codecs for pictures, as Pillow has them: the same bytes for the same pixels, and back.

Streams are not trusted. How large a picture is must be known beforehand, and is compared with what
the stream says before anything is decoded (`attar.coding.sizes`).
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from attar.coding import sizes
from attar.coding.sheets import Pixels
from attar.errors import ArtefactError, BadRequest, unknown

CHROMAS = ("420", "444")
# of AVIF, which is Pillow's where nothing is said
SPEED = 6
_FASTEST = 10
# what Pillow raises at damaged streams, beside its own errors, which are OSErrors
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, struct.error, RuntimeError, MemoryError)


@dataclass(frozen=True)
class Codec:
    """What is known of one codec.

    Args:
        format: its name in Pillow.
        feature: what Pillow must have been built with.
        qualities: the lowest and highest quality; None where it loses nothing.
        has_chroma: whether colours may be kept at full size.
        longest: the longest side of a picture in pixels.
        size: tells height and width from a stream.
        options: how it is written, from its settings and the number of channels.
        has_speed: whether it may take its time.
    """

    format: str
    feature: str
    qualities: tuple[int, int] | None
    has_chroma: bool
    longest: int
    size: Callable[[bytes], tuple[int, int]]
    options: Callable[[PictureCodec, int], dict[str, Any]]
    has_speed: bool = False


def _avif(codec: PictureCodec, channels: int) -> dict[str, Any]:
    return {
        "quality": codec.quality,
        "subsampling": "4:0:0" if channels == 1 else ":".join(codec.chroma),
        "speed": codec.speed,
        # one thread and no tiles, so that bytes depend on pixels alone
        "max_threads": 1,
        "autotiling": False,
    }


def _webp(codec: PictureCodec, channels: int) -> dict[str, Any]:
    del channels
    return {"quality": codec.quality, "method": 6}


def _jpeg(codec: PictureCodec, channels: int) -> dict[str, Any]:
    sampling = {} if channels == 1 else {"subsampling": ":".join(codec.chroma)}
    return {"quality": codec.quality, "optimize": True, **sampling}


def _png(codec: PictureCodec, channels: int) -> dict[str, Any]:
    del codec, channels
    return {"optimize": True}


CODECS: Mapping[str, Codec] = {
    "avif": Codec("AVIF", "avif", (0, 100), True, 16384, sizes.avif_size, _avif, True),
    "webp": Codec("WEBP", "webp", (0, 100), False, 16383, sizes.webp_size, _webp),
    "jpeg": Codec("JPEG", "jpg", (1, 95), True, 65500, sizes.jpeg_size, _jpeg),
    "png": Codec("PNG", "zlib", None, False, 65500, sizes.png_size, _png),
}


def codecs_there() -> list[str]:
    """Return the names of the codecs that the installed Pillow has."""
    from PIL import features

    # Pillow before 11.3 warns of avif as of a feature that nobody knows
    known = features.modules.keys() | features.codecs.keys()
    own = ((name, codec.feature) for name, codec in CODECS.items())
    return [name for name, feature in own if feature in known and features.check(feature)]


@dataclass(frozen=True)
class PictureCodec:
    """A codec with its settings.

    Args:
        name: one of `CODECS`.
        quality: of the codec's own scale, higher is better; without meaning for ``png``.
        chroma: ``420`` keeps colours at half the height and width, ``444`` in full.
        speed: 0 to 10, of ``avif``: the lower, the longer it looks for a better picture.

    Raises:
        BadRequest: an unknown name, a setting out of range, or a codec that this Pillow lacks.

    Example:
        >>> data = PictureCodec("png").encode(np.zeros((8, 8, 1), np.uint8))
        >>> PictureCodec("png").decode(data, (8, 8, 1)).shape
        (8, 8, 1)
    """

    name: str
    quality: int = 50
    chroma: str = "420"
    speed: int = SPEED

    def __post_init__(self) -> None:
        if self.name not in CODECS:
            raise unknown("picture codec", self.name, CODECS)
        allowed = self.codec.qualities
        fine = type(self.quality) is int
        if not fine or (allowed and not allowed[0] <= self.quality <= allowed[1]):
            low, high = allowed or (0, 100)
            raise BadRequest(
                f"{self.name}: quality {self.quality!r}: a whole number, {low} to {high}"
            )
        if self.chroma not in CHROMAS:
            raise unknown("chroma", self.chroma, CHROMAS)
        if self.chroma != "420" and not self.codec.has_chroma:
            raise BadRequest(
                f"{self.name}: chroma={self.chroma} is for avif and jpeg; leave it out"
            )
        self._check_speed()
        there = codecs_there()
        if self.name not in there:
            import PIL

            raise BadRequest(
                f"{self.name}: the installed Pillow {PIL.__version__} lacks this codec and has "
                f"{', '.join(there)}; choose one of these, or install a newer Pillow"
            )

    def _check_speed(self) -> None:
        if type(self.speed) is not int or not 0 <= self.speed <= _FASTEST:
            raise BadRequest(
                f"{self.name}: speed {self.speed!r}: a whole number, 0 to {_FASTEST}; lower takes "
                "longer and shows more in the same bytes"
            )
        if self.speed != SPEED and not self.codec.has_speed:
            raise BadRequest(f"{self.name}: speed={self.speed} is for avif; leave it out")

    @property
    def codec(self) -> Codec:
        """What is known of it."""
        return CODECS[self.name]

    def encode(self, picture: Pixels) -> bytes:
        """Return the stream of a picture; the same for the same pixels on one machine.

        Args:
            picture: H×W×C in uint8, of 1 or 3 channels.

        Raises:
            BadRequest: other channels, or a side longer than the codec takes.
        """
        from PIL import Image

        height, width, channels = picture.shape
        check_channels(self.name, channels)
        if max(height, width) > self.codec.longest:
            raise BadRequest(
                f"{self.name}: a picture of {height}×{width}; its sides are at most "
                f"{self.codec.longest} pixels"
            )
        image = Image.fromarray(picture[..., 0] if channels == 1 else picture)
        stream = io.BytesIO()
        image.save(stream, self.codec.format, **self.codec.options(self, channels))
        return stream.getvalue()

    def decode(self, data: bytes, shape: tuple[int, int, int]) -> Pixels:
        """Return the picture of a stream, H×W×C in uint8.

        Args:
            data: not trusted.
            shape: H, W and C, which are known.

        Raises:
            ArtefactError: a stream that `encode` did not write, one of a picture of another size,
                or one that is damaged.
        """
        from PIL import Image

        height, width, channels = shape
        try:
            found = self.codec.size(data)
            if found != (height, width):
                raise sizes.NotWritten(f"it is of {found[0]}×{found[1]} pixels")
            with Image.open(io.BytesIO(data), formats=[self.codec.format]) as image:
                if image.size != (width, height) or getattr(image, "n_frames", 1) != 1:
                    raise sizes.NotWritten(f"it is of {image.size[1]}×{image.size[0]} pixels")
                wanted = "L" if channels == 1 else "RGB"
                pixels = np.asarray(image if image.mode == wanted else image.convert(wanted))
        except (*_DAMAGED, Image.DecompressionBombError, Warning) as error:
            raise ArtefactError(
                f"a {self.name} stream of {len(data)} bytes is not the picture of {height}×{width} "
                f"pixels that it should be ({error or type(error).__name__})"
            ) from error
        return pixels.reshape(shape)


def check_channels(codec: str, channels: int) -> None:
    """Refuse pictures that are neither grey nor coloured.

    Raises:
        BadRequest: names the codec and the number of channels.
    """
    if channels not in (1, 3):
        raise BadRequest(
            f"{codec}: picture codecs keep 1 channel or 3, and these images have {channels}; "
            "choose another --storage, such as float16"
        )
