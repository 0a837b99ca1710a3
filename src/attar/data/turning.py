"""Pictures turned as their EXIF orientation asks, as a viewer shows them."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

_TAG, _SHORT = 0x0112, 3
_SIDEWAYS = (5, 6, 7, 8)
# axes exchanged, then rows reversed, columns reversed: what EXIF's orientations ask for
_TURNS = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


def orientation(image: Any) -> int:
    """Return how a Pillow image is still to be turned, 1…8 as EXIF counts; 1 is not at all.

    What is no number of EXIF's, or in damaged EXIF, turns nothing.
    """
    found = image.tag_v2.get(_TAG) if hasattr(image, "tag_v2") else _of_exif(_exif(image.info))
    if found is None:
        # as XMP, bytes or text, under the names that the formats have for it
        said = image.info.get("XML:com.adobe.xmp") or image.info.get("xmp") or ""
        text = said.decode("latin-1") if isinstance(said, bytes) else str(said)
        match = re.search(r'tiff:Orientation(?:="|>)([0-9])', text)
        found = int(match[1]) if match else 1
    return found if found in range(1, 9) else 1


def _exif(info: Mapping[Any, Any]) -> bytes:
    """Return the EXIF block of a picture, from its TIFF header on."""
    raw = info.get("Raw profile type exif")
    try:
        # of PNG files by ImageMagick: three lines, then digits
        found = info.get("exif") or bytes.fromhex("".join(raw.split("\n")[3:]) if raw else "")
    except ValueError:
        return b""
    return found.removeprefix(b"Exif\0\0") if isinstance(found, bytes) else b""


def _of_exif(block: bytes) -> int | None:
    """Return the orientation that the first directory of an EXIF block names.

    By hand: Pillow reads all of it, and warns of what is damaged anywhere.
    """
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None:
        return None
    try:
        (start,) = struct.unpack_from(order + "L", block, 4)
        (count,) = struct.unpack_from(order + "H", block, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, _, value = struct.unpack_from(order + "HHLH", block, entry)
            if (tag, kind) == (_TAG, _SHORT):
                return value
    except struct.error:
        pass
    return None


def turned_size(image: Any) -> tuple[int, int]:
    """Return height and width of a picture as it is to be seen."""
    if image.format == "TIFF":
        # of some versions of Pillow, the size is turned already
        width, height = image.tag_v2.get(256, image.width), image.tag_v2.get(257, image.height)
    else:
        width, height = image.size
    if image.format == "PNG" and "exif" not in image.info and _tells_later(image.fp):
        image.load()
    return (width, height) if orientation(image) in _SIDEWAYS else (height, width)


def _tells_later(stream: BinaryIO | None) -> bool:
    """Tell whether texts or EXIF come after the pixels of a PNG file."""
    if stream is None:
        return False
    place, pixels = stream.tell(), False
    stream.seek(8)
    while len(head := stream.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IEND" or (pixels and kind in (b"eXIf", b"iTXt", b"tEXt", b"zTXt")):
            break
        pixels = pixels or kind == b"IDAT"
        stream.seek(length + 4, 1)
    else:
        kind = b""
    stream.seek(place)
    return kind not in (b"IEND", b"")


def turn_image(image: Image.Image) -> Image.Image:
    """Return a decoded picture as it is to be seen."""
    from PIL import Image as Pillow

    image.load()
    method = {
        2: Pillow.Transpose.FLIP_LEFT_RIGHT,
        3: Pillow.Transpose.ROTATE_180,
        4: Pillow.Transpose.FLIP_TOP_BOTTOM,
        5: Pillow.Transpose.TRANSPOSE,
        6: Pillow.Transpose.ROTATE_270,
        7: Pillow.Transpose.TRANSVERSE,
        8: Pillow.Transpose.ROTATE_90,
    }.get(orientation(image))
    return image if method is None else image.transpose(method)


def turned(values: np.ndarray, orientation: int) -> np.ndarray:
    """Return H×W×C values turned as EXIF's orientation 1…8 asks."""
    swapped, rows, columns = _TURNS.get(orientation, (False, False, False))
    if swapped:
        values = values.swapaxes(0, 1)
    return values[:: -1 if rows else 1, :: -1 if columns else 1]
