"""PNG files of 16 bits in several channels, of which Pillow keeps 8."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# by the colour type of the header: gray with transparency, colour, colour with transparency
_SAMPLES = {4: 2, 2: 3, 6: 4}


def read_deep_png(stream: BinaryIO) -> np.ndarray:
    """Return H×W×C uint16 values of a PNG file of 16 bits and two to four channels.

    PNG predicts each byte of a line from the same byte of pixels beside and above it, so the
    first and the second half of the bytes of all pixels are two pictures of 8 bits in themselves,
    which Pillow decodes.

    Raises:
        ValueError: it is damaged, or interlaced.
    """
    stream.seek(len(_SIGNATURE))
    header, packed = b"", []
    for kind, data in _chunks(stream):
        if kind == b"IHDR":
            header = data
        elif kind == b"IDAT":
            packed.append(data)
    width, height, depth, colours, *_, interlaced = struct.unpack(">IIBBBBB", header)
    samples = _SAMPLES.get(colours)
    if interlaced or depth != 16 or samples is None:
        raise ValueError("interlaced pictures of 16 bits are not read; save it without")
    length = height * (1 + 2 * samples * width)
    try:
        lines = zlib.decompressobj().decompress(b"".join(packed), length)
    except zlib.error as error:
        raise ValueError(str(error)) from error
    if len(lines) < length:
        raise ValueError("the picture is cut off")
    rows = np.frombuffer(lines, np.uint8).reshape(height, -1)
    halves = rows[:, 1:].reshape(height, width, 2, samples)
    decoded = [_decoded(rows[:, :1], halves[:, :, half], colours) for half in (0, 1)]
    whole = np.concatenate(decoded, axis=-1)
    return np.ascontiguousarray(whole).view(">u2").astype(np.uint16)


def _chunks(stream: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    while len(head := stream.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        yield kind, stream.read(length)
        stream.seek(4, 1)


def _decoded(filters: np.ndarray, pixels: np.ndarray, colours: int) -> np.ndarray:
    """Return H×W×C uint8 of one half, given the filter of every line and the filtered bytes."""
    from PIL import Image

    height, width = pixels.shape[:2]
    lines = np.concatenate([filters, pixels.reshape(height, -1)], axis=1).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, colours, 0, 0, 0)
    file = _file((b"IHDR", header), (b"IDAT", zlib.compress(lines, 0)), (b"IEND", b""))
    return np.asarray(Image.open(io.BytesIO(file)))


def write_deep_png(values: np.ndarray, text: str = "") -> bytes:
    """Return a PNG file of 16 bits, gray or in colours, which Pillow does not write.

    Args:
        values: H×W×1 or H×W×3 uint16.
        text: kept under the keyword ``attar``, in ASCII.
    """
    height, width, channels = values.shape
    header = struct.pack(">IIBBBBB", width, height, 16, 0 if channels == 1 else 2, 0, 0, 0)
    lines = values.astype(">u2").reshape(height, -1).view(np.uint8)
    # each line begins with its filter: none
    packed = zlib.compress(np.pad(lines, ((0, 0), (1, 0))).tobytes(), 9)
    said = [(b"tEXt", b"attar\0" + text.encode("ascii"))] if text else []
    return _file((b"IHDR", header), *said, (b"IDAT", packed), (b"IEND", b""))


def _file(*chunks: tuple[bytes, bytes]) -> bytes:
    return _SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
