"""What a picture file holds, told from its header: bands, depth, pages, and how it lies.

Pillow 13 keeps the first three bands of a TIFF of four, the first of several pages, and 8 bits of
16 in colours, without a word; each of these is told here.
"""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from attar.capacity import UNDOUBTED, check_unpacked
from attar.data import tiff
from attar.data.plain import plain_mode
from attar.data.turning import turned_size
from attar.data.values import Look
from attar.data.walking import formats
from attar.errors import BadRequest

if TYPE_CHECKING:
    from PIL import Image

DEEP_MODES = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")
# formats whose further "frames" are layers or previews beside one finished picture
_ONE_PICTURE = ("MPO", "PSD")
# of more than 8 bits a channel, such as RGB;16B; not such as BGR;16, which has fewer
_DEEP_RAW = re.compile(r";(12|16|32|64)[A-Z]")

# plain: Pillow's 8 bits; values: Pillow's one deep channel; png: deep colours; tiff: tifffile
Reader = Literal["plain", "values", "png", "tiff"]


@dataclass(frozen=True)
class Header:
    """What a picture comes to.

    Args:
        channels: its bands, transparency not counted.
        size: height and width, turned as it is to be seen.
        depth: what a channel holds where it is not 8 bits, such as ``16 bits``.
        reader: what reads its values.
        floats: whether these are floating.
    """

    channels: int
    size: tuple[int, int]
    depth: str = ""
    reader: Reader = "plain"
    floats: bool = False


# of a TIFF that Pillow does not know it logs an error, which Python prints where nobody listens
for _library in ("PIL", "tifffile"):
    logging.getLogger(_library).addHandler(logging.NullHandler())


def open_picture(stream: BinaryIO) -> Image.Image | None:
    """Return a picture opened by Pillow; None for a TIFF that it does not know.

    Raises:
        UnidentifiedImageError: no picture that Pillow can read.
    """
    from PIL import Image

    stream.seek(0)
    try:
        # whatever it is called: an EPS file would be run as a program
        return Image.open(stream, formats=formats())
    except Image.UnidentifiedImageError:
        if not tiff.is_tiff(stream):
            raise
        return None


def read_header(stream: BinaryIO, name: str, look: Look) -> Header:
    """Return what a picture file holds.

    Args:
        stream: the file.
        name: how messages call it.
        look: what stored values come to.

    Raises:
        BadRequest: several pages, values that nothing here reads whole, or far more of them than
            the file can hold.
    """
    image = open_picture(stream)
    if image is None:
        return _tiff_header(stream, name)
    with image:
        # of some formats even the size is known only once the picture is unpacked
        check_packing(stream, image.size, len(image.getbands()), name)
        check_pages(image, name)
        if image.format == "TIFF" and tiff.beyond_pillow(image):
            return _tiff_header(stream, name, tiff.said(image))
        return header_of(image, name, look)


def _tiff_header(stream: BinaryIO, name: str, said: str = "") -> Header:
    found = tiff.read_layout(stream, name, said)
    check_packing(stream, found.size, found.bands, name)
    return Header(found.bands, found.size, found.depth, "tiff", found.floats)


def check_packing(stream: BinaryIO, size: tuple[int, int], bands: int, name: str) -> None:
    """Refuse a picture that says it is far larger than its file, before it is unpacked."""
    # asking for the machine's memory takes ten times as long as reading the header of a JPEG file
    if (unpacked := size[0] * size[1] * bands) <= UNDOUBTED:
        return
    place = stream.tell()
    stored = stream.seek(0, os.SEEK_END)
    stream.seek(place)
    what = f"{name} of {size[0]}×{size[1]}"
    check_unpacked(stored, unpacked, what, "make it smaller, or remove it")


def header_of(image: Image.Image, name: str, look: Look) -> Header:
    """Return what a picture holds that Pillow has opened.

    Raises:
        BadRequest: it has more than 8 bits a channel, of which Pillow would keep 8.
    """
    # before its size, for which it may have to be decoded
    cut = cut_from(image)
    size = turned_size(image)
    if image.mode in DEEP_MODES:
        floats = image.mode == "F"
        depth = "32-bit floats" if floats else "32 bits" if image.mode == "I" else "16 bits"
        return Header(1, size, depth, "values", floats)
    channels = 1 if plain_mode(image, look.background) == "L" else 3
    if not cut:
        return Header(channels, size)
    if image.format == "PNG":
        coloured = not cut.startswith("L") or len(set(look.background)) > 1
        return Header(3 if coloured else 1, size, "16 bits", "png")
    raise BadRequest(
        f"{name} has more than 8 bits a channel, of which Pillow would keep 8; save it as a PNG "
        "or TIFF of 16 bits, or of 8"
    )


def cut_from(image: Image.Image) -> str:
    """Return Pillow's name for what it keeps only 8 bits a channel of; empty where it keeps all."""
    if image.format == "JPEG2000":
        return "JPEG 2000" if _bits_of_jpeg_2000(image) > 8 else ""
    for tile in getattr(image, "tile", ()):
        arguments = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
        for one in arguments:
            if isinstance(one, str) and _DEEP_RAW.search(one):
                return one
        # the header's largest value
        if image.format == "PPM" and isinstance(arguments[-1], int) and arguments[-1] > 255:
            return "PPM"
    return ""


def _bits_of_jpeg_2000(image: Any) -> int:
    """Return the bits of the first channel, as the codestream's marker SIZ says."""
    place = image.fp.tell()
    image.fp.seek(0)
    head = image.fp.read(4096)
    image.fp.seek(place)
    start = head.find(b"\xff\x4f\xff\x51")
    return 0 if start < 0 or start + 42 >= len(head) else (head[start + 42] & 0x7F) + 1


def check_pages(image: Image.Image, name: str) -> None:
    """Refuse a picture of several pages or frames.

    Raises:
        BadRequest: it has several.
    """
    count = 1 if image.format in _ONE_PICTURE else getattr(image, "n_frames", 1)
    if count > 1 and image.format == "TIFF":
        count = tiff.whole_pages(image, count)
    if count > 1:
        what = "pages" if image.format == "TIFF" else "frames"
        raise BadRequest(
            f"{name} holds {count} {what}, and one picture a file is read; save each as a file of "
            "its own, or the one that is meant"
        )
