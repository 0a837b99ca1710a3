"""TIFF files of any number of bands and any type of values, which Pillow does not read whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from attar.data.channels import MOST
from attar.errors import BadRequest

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_SUBFILE, _BITS, _PHOTOMETRIC, _SAMPLES = 254, 258, 262, 277
_ORIENTATION, _EXTRA, _FORMAT = 274, 338, 339
# how many of the samples of a pixel a photometric interpretation speaks of
_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 4: 1, 5: 4, 6: 3, 8: 3}
# above which Pillow refuses any picture
_MOST_PIXELS = 2 * 89_478_485
_WHITE_IS_ZERO = 0
_TRANSPARENCY = (1, 2)
_PREMULTIPLIED = 1


@dataclass(frozen=True)
class Layout:
    """What the one picture of a TIFF file holds.

    Args:
        bands: samples of a pixel that are no transparency.
        size: height and width, turned as it is to be seen.
        depth: what a sample holds where it is not 8 bits.
        floats: whether samples are floating.
        orientation: how it is to be turned, 1…8 as EXIF counts.
        alpha: which sample is transparency; None for none.
        premultiplied: whether the others are multiplied by it.
        inverted: whether zero is white.
    """

    bands: int
    size: tuple[int, int]
    depth: str
    floats: bool
    orientation: int
    alpha: int | None
    premultiplied: bool
    inverted: bool


def is_tiff(stream: BinaryIO) -> bool:
    """Tell whether a file begins as a TIFF file does."""
    stream.seek(0)
    return stream.read(4) in _MAGIC


def beyond_pillow(image: Any) -> bool:
    """Tell whether a TIFF that Pillow has opened holds more than it gives out.

    It drops samples that it knows no meaning of, and all but 8 bits of colours; it gives out one
    channel of any depth as it is, but for negative 8-bit values and where zero is white.
    """
    tags: Any = image.tag_v2
    samples, bits = int(tags.get(_SAMPLES, 1)), _largest(tags.get(_BITS, 1))
    photometric, floating = tags.get(_PHOTOMETRIC), _largest(tags.get(_FORMAT, 1)) != 1
    if samples == 1:
        odd = bits > 8 and photometric == _WHITE_IS_ZERO
        return odd or (floating and bits <= 8)
    known = _COLOURS.get(photometric, samples)
    told = sum(one in _TRANSPARENCY for one in _several(tags.get(_EXTRA, ())))
    return bits > 8 or floating or samples > known + min(told, 1)


def _several(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _largest(value: Any) -> int:
    return max(map(int, _several(value)), default=1)


def said(image: Any) -> str:
    """Return how many bands of what depth a TIFF opened by Pillow has, in words."""
    tags = image.tag_v2
    return f" of {tags.get(_SAMPLES, 1)} bands of {_largest(tags.get(_BITS, 1))} bits"


def whole_pages(image: Any, count: int) -> int:
    """Return how many of the pages of a TIFF are no smaller copies of another."""
    smaller = []
    for page in range(count):
        image.seek(page)
        smaller.append(bool(image.tag_v2.get(_SUBFILE, 0) & 1))
    image.seek(0)
    return count if smaller[0] else smaller.count(False)


@contextmanager
def _opened(stream: BinaryIO, name: str, kind: str = "") -> Iterator[Any]:
    """Yield the one page of a file, opened by the library tifffile."""
    try:
        import tifffile
    except ImportError as error:
        raise BadRequest(
            f"{name} is a TIFF{kind}, which needs the library 'tifffile': pip install 'attar[tiff]'"
        ) from error
    stream.seek(0)
    try:
        with tifffile.TiffFile(stream) as file:
            pages: Any = file.pages
            count = len(pages) - sum(bool(page.subfiletype & 1) for page in pages[1:])
            if count > 1:
                raise BadRequest(
                    f"{name} holds {count} pages, and one picture a file is read; save each as a "
                    "file of its own, or bands as the samples of one page"
                )
            yield pages[0]
    except BadRequest:
        raise
    except Exception as error:  # that of a damaged file has no base in common
        raise ValueError(str(error)) from error


def read_layout(stream: BinaryIO, name: str, kind: str = "") -> Layout:
    """Return what a file holds, without decoding it.

    Args:
        stream: the file.
        name: how messages call it.
        kind: more about it in words, for where the library is not there.

    Raises:
        BadRequest: the library is not there, or it holds several pages or what is no picture.
        ValueError: it cannot be read.
    """
    with _opened(stream, name, kind) as page:
        return _layout(page, name)


def _layout(page: Any, name: str) -> Layout:
    samples, photometric = int(page.samplesperpixel), int(page.photometric)
    extra = tuple(map(int, page.extrasamples))
    alphas = [
        samples - len(extra) + index for index, one in enumerate(extra) if one in _TRANSPARENCY
    ]
    bands = samples - len(alphas)
    if photometric not in (0, 1, 2) or page.dtype is None or page.dtype.kind not in "uif":
        raise BadRequest(
            f"{name}: its {samples} samples of {page.bitspersample} bits are neither gray, red "
            f"green and blue, nor bands (photometric interpretation {photometric}); convert it"
        )
    if page.axes not in ("YX", "YXS", "SYX") or bands > MOST or len(alphas) > 1:
        raise BadRequest(
            f"{name}: its axes are {page.axes}, of {page.shape}; a picture of 1 to {MOST} bands "
            "is needed"
        )
    if alphas and bands not in (1, 3):
        raise BadRequest(
            f"{name} holds transparency beside {bands} bands, which has no meaning; remove it, or "
            "say that it is a band (ExtraSamples 0)"
        )
    height, width = int(page.imagelength), int(page.imagewidth)
    if height * width > _MOST_PIXELS:
        raise ValueError(f"{height}×{width} pixels, more than {_MOST_PIXELS:,}")
    tag = page.tags.get(_ORIENTATION)
    turn = int(tag.value) if tag is not None and tag.value in range(1, 9) else 1
    floats = page.dtype.kind == "f"
    return Layout(
        bands,
        (width, height) if turn >= 5 else (height, width),
        _depth(page.dtype, int(page.bitspersample)),
        floats,
        turn,
        alphas[0] if alphas else None,
        bool(alphas) and _PREMULTIPLIED in extra,
        photometric == _WHITE_IS_ZERO,
    )


def _depth(dtype: np.dtype[Any], bits: int) -> str:
    """Return what a sample holds, in words; empty for 8 bits without a sign."""
    if dtype.kind == "f":
        return f"{bits}-bit floats"
    signed = " with a sign" if dtype.kind == "i" else ""
    return f"{bits} bits{signed}" if bits > 8 or signed else ""


def read_samples(stream: BinaryIO, name: str) -> tuple[np.ndarray, Layout]:
    """Return all samples as stored, H×W×S, not turned, and what they are.

    Raises:
        BadRequest: see `read_layout`.
        ValueError: they cannot be decoded.
    """
    with _opened(stream, name) as page:
        layout = _layout(page, name)
        found = page.asarray()
        if found.ndim == 2:
            found = found[..., None]
        return (np.moveaxis(found, 0, -1) if page.axes == "SYX" else found), layout


def check_library(option: str) -> None:
    """Refuse what needs the library tifffile where it is not there.

    Raises:
        BadRequest: it is not.
    """
    if find_spec("tifffile") is None:
        raise BadRequest(f"{option}: needs the library 'tifffile': pip install 'attar[tiff]'")


def write_tiff(path: Path, values: np.ndarray, said: str = "") -> None:
    """Write one picture.

    Args:
        path: of the file.
        values: H×W×C, uint8 or uint16.
        said: kept as its ImageDescription, in ASCII.
    """
    import tifffile

    channels = values.shape[-1]
    tifffile.imwrite(
        path,
        values[..., 0] if channels == 1 else values,
        photometric="rgb" if channels == 3 else "minisblack",
        planarconfig=None if channels == 1 else "contig",
        description=said or None,
        compression="zlib",
        # none of its own
        metadata=None,
        software=False,
    )
