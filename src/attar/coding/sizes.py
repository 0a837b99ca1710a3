"""How large the picture is that a stream holds, told from its first bytes, without decoding.

Only what the encoders of `attar.coding.codecs` write is taken: one picture, coded in one way, with
nothing beside it. So a stream cannot ask for more memory or time than its size promises, as one
with a second, larger picture in it does, or with many passes over the same pixels.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator


class NotWritten(ValueError):
    """The stream is none that an encoder here writes; says where it differs."""


def png_size(data: bytes) -> tuple[int, int]:
    """Return height and width of a PNG of header, data and end."""
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        raise NotWritten("it does not begin as PNG")
    place, found = 8, (0, 0)
    names: list[bytes] = []
    while place + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        if name == b"IHDR" and length == 13:
            wide, tall = struct.unpack_from(">II", data, place + 8)
            found = tall, wide
        names.append(name)
        place += 12 + length
    inside = set(names[1:-1])
    if names[:1] != [b"IHDR"] or names[-1:] != [b"IEND"] or inside != {b"IDAT"}:
        raise NotWritten("it is no PNG of one picture alone")
    return found


def jpeg_size(data: bytes) -> tuple[int, int]:
    """Return height and width of a baseline JPEG with a single scan."""
    if data[:2] != b"\xff\xd8":
        raise NotWritten("it does not begin as JPEG")
    place, found = 2, None
    while place + 4 <= len(data):
        mark, kind, length = struct.unpack_from(">BBH", data, place)
        if mark != 0xFF or kind not in _JPEG_PARTS or length < 2:
            raise NotWritten("it is no baseline JPEG")
        if kind == _START_OF_FRAME:
            found = struct.unpack_from(">HH", data, place + 5) if len(data) > place + 9 else None
        place += 2 + length
        if kind == _START_OF_SCAN:
            # coded data escape every 0xFF, so these are markers
            if found is None or any(bytes((0xFF, one)) in data[place:] for one in _JPEG_PARTS):
                raise NotWritten("it is no JPEG of one scan")
            return found
    raise NotWritten("it ends before its picture")


_START_OF_FRAME, _START_OF_SCAN = 0xC0, 0xDA
# beside these: application data, quantisation and Huffman tables
_JPEG_PARTS = {_START_OF_FRAME, _START_OF_SCAN, 0xE0, 0xDB, 0xC4}


def webp_size(data: bytes) -> tuple[int, int]:
    """Return height and width of a lossy WebP without a second picture, alpha or animation."""
    if len(data) < 30 or data[:4] != b"RIFF" or data[8:16] != b"WEBPVP8 ":
        raise NotWritten("it is no WebP of one picture alone")
    whole, own = struct.unpack_from("<I", data, 4)[0], struct.unpack_from("<I", data, 16)[0]
    if whole + 8 != len(data) or 12 + own + own % 2 != whole or data[23:26] != b"\x9d\x01\x2a":
        raise NotWritten("it is no WebP of one picture alone")
    wide, tall = struct.unpack_from("<HH", data, 26)
    # the two upper bits ask for an enlargement that decoders leave out
    return tall & 0x3FFF, wide & 0x3FFF


def avif_size(data: bytes) -> tuple[int, int]:
    """Return height and width of the one still picture of an AVIF, as its AV1 stream says."""
    boxes = list(_boxes(data))
    names = [name for name, _ in boxes]
    if names != [b"ftyp", b"meta", b"mdat"] or boxes[0][1][:4] != b"avif":
        raise NotWritten("it is no AVIF of one picture alone")
    sizes = {_sequence_size(part) for kind, part in _units(boxes[2][1]) if kind == 1}
    if len(sizes) != 1:
        raise NotWritten("it is no AVIF of one size")
    return sizes.pop()


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 0
    while place < len(data):
        if place + 8 > len(data):
            raise NotWritten("it is cut short")
        length, name = struct.unpack_from(">I4s", data, place)
        if length < 8 or place + length > len(data):
            raise NotWritten("it is cut short")
        yield name, data[place + 8 : place + length]
        place += length


def _units(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the units of an AV1 stream, each with its type."""
    place = 0
    while place < len(data):
        head = data[place]
        # each has a size, and no extension
        if head & 0x86 != 2:
            raise NotWritten("its units have no sizes")
        size = shift = 0
        more = True
        while more:
            place += 1
            if place >= len(data) or shift > 28:
                raise NotWritten("it is cut short")
            size |= (data[place] & 0x7F) << shift
            shift += 7
            more = data[place] > 0x7F
        place += 1
        if place + size > len(data):
            raise NotWritten("it is cut short")
        yield head >> 3 & 15, data[place : place + size]
        place += size


def _sequence_size(unit: bytes) -> tuple[int, int]:
    """Return height and width in the header of a sequence that is a still picture."""
    bits = int.from_bytes(unit[:10].ljust(10, b"\0"), "big")
    left = 80

    def read(count: int) -> int:
        nonlocal left
        left -= count
        return bits >> left & ((1 << count) - 1)

    _, still, reduced, _ = read(3), read(1), read(1), read(5)
    if not still or not reduced:
        raise NotWritten("it is no still picture")
    wide_bits, tall_bits = read(4) + 1, read(4) + 1
    wide = read(wide_bits) + 1
    return read(tall_bits) + 1, wide
