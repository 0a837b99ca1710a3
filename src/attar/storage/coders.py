"""Whole numbers of a few bits as a stream of bytes: packed, or coded by zlib where that is shorter.

A stream begins with a byte that says which. zlib's Huffman codes take whole bits, so several small
numbers share a symbol: five of two bits, two of three or four.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

CODERS = ("zlib", "pack")
_PACKED, _DEFLATED, _HUFFMAN = 0, 1, 2
# numbers in a symbol, by their bits
_TOGETHER = {8: 1, 4: 2, 3: 2, 2: 5}
_LEVEL = 9


def packed_bytes(count: int, bits: int) -> int:
    """Return the bytes of a stream of packed numbers."""
    return max(1 + -(-count * bits // 8), 1)


def stream_of(whole: NDArray[np.int8], bits: int, coder: str) -> bytes:
    """Return numbers as a stream.

    Args:
        whole: from −m to m, where m is 2^(bits − 1) − 1.
        bits: 2, 3, 4 or 8.
        coder: ``pack``, or ``zlib`` for the shorter.
    """
    shifted = (whole.reshape(-1).astype(np.int16) + _most(bits)).astype(np.uint8)
    found = bytes([_PACKED]) + _packed(shifted, bits)
    if coder == "pack":
        return found
    for tag, strategy in ((_DEFLATED, zlib.Z_DEFAULT_STRATEGY), (_HUFFMAN, zlib.Z_HUFFMAN_ONLY)):
        making = zlib.compressobj(_LEVEL, zlib.DEFLATED, -15, 9, strategy)
        own = bytes([tag]) + making.compress(_joined(shifted, bits)) + making.flush()
        found = min(found, own, key=len)
    return found


def read_stream(stream: bytes, count: int, bits: int) -> NDArray[np.int8]:
    """Undo `stream_of`.

    Args:
        stream: as it was made, or with zeros behind it.
        count: how many numbers it holds.
        bits: of each.

    Raises:
        ValueError: it holds others.
    """
    tag, data = stream[0], stream[1:]
    if tag == _PACKED:
        shifted = _unpacked(data, count, bits)
    elif tag in (_DEFLATED, _HUFFMAN):
        shifted = _parted(_inflated(data, -(-count // _TOGETHER[bits])), count, bits)
    else:
        raise ValueError(f"a stream is coded in a way ({tag}) that this version does not know")
    if len(shifted) and int(shifted.max()) > 2 * _most(bits):
        raise ValueError("a stream holds a number out of range")
    return (shifted.astype(np.int16) - _most(bits)).astype(np.int8)


def _most(bits: int) -> int:
    return 2 ** (bits - 1) - 1


def _packed(shifted: NDArray[np.uint8], bits: int) -> bytes:
    if bits == 8:
        return shifted.tobytes()
    return np.packbits(np.unpackbits(shifted.reshape(-1, 1), axis=1)[:, 8 - bits :]).tobytes()


def _unpacked(data: bytes, count: int, bits: int) -> NDArray[np.uint8]:
    size = -(-count * bits // 8)
    if len(data) < size or any(data[size:]):
        raise ValueError(f"a stream holds {len(data)} bytes, {size} are needed")
    if bits == 8:
        return np.frombuffer(data, np.uint8, count)
    flat = np.unpackbits(np.frombuffer(data, np.uint8, size))[: count * bits].reshape(-1, bits)
    return (np.packbits(flat, axis=1).reshape(-1) >> (8 - bits)).astype(np.uint8)


def _joined(shifted: NDArray[np.uint8], bits: int) -> bytes:
    """Return symbols of several numbers, the first the least."""
    together, base = _TOGETHER[bits], 2 * _most(bits) + 1
    filled = np.pad(shifted, (0, -len(shifted) % together)).reshape(-1, together)
    weights = np.array([base**place for place in range(together)], dtype=np.int64)
    return (filled.astype(np.int64) @ weights).astype(np.uint8).tobytes()


def _parted(symbols: bytes, count: int, bits: int) -> NDArray[np.uint8]:
    together, base = _TOGETHER[bits], 2 * _most(bits) + 1
    left = np.frombuffer(symbols, np.uint8)
    if len(left) and int(left.max()) >= base**together:
        raise ValueError("a stream holds a symbol that stands for nothing")
    places = np.array([base**place for place in range(together)], dtype=np.int64)
    return (left.reshape(-1, 1) // places % base).astype(np.uint8).reshape(-1)[:count]


def _inflated(data: bytes, size: int) -> bytes:
    """Return exactly ``size`` bytes, never making more."""
    reading = zlib.decompressobj(-15)
    try:
        # one byte more, so that a longer stream is told
        found = reading.decompress(data, size + 1)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if len(found) != size or not reading.eof or any(reading.unused_data):
        raise ValueError(f"a stream does not hold {size} symbols")
    return found
