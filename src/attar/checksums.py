"""What a file of tensors says about itself, so that one changed bit is noticed.

Two entries in the metadata of a safetensors file, beside Attar's own header:

=================== ================================================================================
``attar.crc32``     CRC-32 of the length and the JSON text that the file begins with, as 8
                    hexadecimal digits; in the text itself, these count as zeros
``attar.checksums`` for every tensor the rows of a block, and the CRC-32 of one block after another,
                    8 digits each, as JSON: ``{"images.values": [2, "5c0f…"]}``
=================== ================================================================================

A row is an entry of the first dimension. Blocks are whole rows, of 4 KiB or a little more; a row
that is larger is a block. So whoever reads some rows checks them by reading less than a block more
at either end. The sums take 0.2 % of the file at most.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SEAL_KEY = "attar.crc32"
BLOCKS_KEY = "attar.checksums"
_ZEROS = b"00000000"
_START = f'{{"__metadata__":{{"{SEAL_KEY}":"'.encode()
_SUM = 4
BLOCK_BYTES = 4096
# larger files have larger blocks, so that their header stays a small one
_MOST_BLOCKS = 2**17


@dataclass(frozen=True)
class Blocks:
    """The checksums of one tensor.

    Args:
        rows: of a block.
        sums: CRC-32 of every block, 4 bytes each, the first byte being the highest.
    """

    rows: int
    sums: bytes

    def around(self, wanted: range, count: int) -> range:
        """Return the rows of the blocks that hold some rows, of ``count`` in all."""
        start = wanted.start // self.rows * self.rows
        return range(start, min(count, -(-wanted.stop // self.rows) * self.rows))

    def match(self, data: memoryview, start: int, row_bytes: int) -> bool:
        """Tell whether the bytes of whole blocks, from row ``start`` on, are as written."""
        found = sums_of(data, self.rows * row_bytes)
        first = start // self.rows * _SUM
        return self.sums[first : first + len(found)] == found


def sums_of(data: memoryview, block: int) -> bytes:
    """Return the CRC-32 of every ``block`` bytes, 4 bytes each."""
    found = [zlib.crc32(data[start : start + block]) for start in range(0, len(data), block)]
    return struct.pack(f">{len(found)}I", *found)


def blocks_of(data: memoryview, count: int, total: int) -> Blocks:
    """Return the checksums of a tensor.

    Args:
        data: its bytes.
        count: its rows.
        total: bytes of all tensors of the file.
    """
    row_bytes = len(data) // count if count else 0
    if not row_bytes:
        return Blocks(1, b"")
    rows = -(-max(BLOCK_BYTES, -(-total // _MOST_BLOCKS)) // row_bytes)
    return Blocks(rows, sums_of(data, rows * row_bytes))


def described(blocks: Mapping[str, Blocks]) -> str:
    """Return the checksums of all tensors as JSON."""
    plain = {name: [one.rows, one.sums.hex()] for name, one in blocks.items()}
    return json.dumps(plain, separators=(",", ":"))


def read_blocks(found: Any, counts: Mapping[str, tuple[int, int]]) -> dict[str, Blocks]:
    """Return checksums of what `described` wrote, once it is read as JSON.

    Args:
        found: the JSON.
        counts: rows, and bytes of one, of every tensor of the file.

    Raises:
        ValueError: it does not fit the tensors.
    """
    if not isinstance(found, dict) or found.keys() != counts.keys():
        raise ValueError("its checksums are of other tensors")
    blocks = {}
    for name, (count, row_bytes) in counts.items():
        match found[name]:
            case [int(rows), str(digits)] if rows >= 1:
                blocks[name] = Blocks(rows, bytes.fromhex(digits))
            case _:
                raise ValueError(f"checksum of {name}")
        wanted = -(-count // rows) if row_bytes else 0
        if len(blocks[name].sums) != _SUM * wanted:
            raise ValueError(f"checksum of {name}")
    return blocks


def text_of(metadata: Mapping[str, str], table: Mapping[str, Any]) -> bytes:
    """Return the JSON text of a file, sealed.

    Args:
        metadata: of the file; the seal is put before it.
        table: where each tensor lies, as safetensors says it.
    """
    whole = {"__metadata__": {SEAL_KEY: _ZEROS.decode(), **metadata}, **table}
    text = json.dumps(whole, separators=(",", ":")).encode()
    # tensors begin at a multiple of eight bytes
    return sealed(text + b" " * (-len(text) % 8))


def sealed(text: bytes) -> bytes:
    """Return the text with the checksum that belongs to it."""
    start, end = len(_START), len(_START) + len(_ZEROS)
    return text[:start] + _seal_of(text) + text[end:]


def is_sealed(text: bytes) -> bool | None:
    """Tell whether the text of a file has the checksum that belongs to it; None without any."""
    if not text.startswith(_START):
        return None
    start, end = len(_START), len(_START) + len(_ZEROS)
    return text[start:end] == _seal_of(text)


def _seal_of(text: bytes) -> bytes:
    value = zlib.crc32(struct.pack("<Q", len(text)))
    for part in (_START, _ZEROS, memoryview(text)[len(_START) + len(_ZEROS) :]):
        value = zlib.crc32(part, value)
    return f"{value:08x}".encode()
