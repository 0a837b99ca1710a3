"""Files as a forger writes them: any table and header, with checksums that fit them."""

import contextlib
import json
import struct
from pathlib import Path
from typing import Any

from attar.checksums import BLOCKS_KEY, SEAL_KEY, Blocks, blocks_of, described, text_of


def parts_of(content: bytes) -> tuple[dict[str, str], dict[str, Any], bytes]:
    """Return metadata, table and payload of a safetensors file."""
    size = struct.unpack("<Q", content[:8])[0]
    table = json.loads(content[8 : 8 + size])
    return table.pop("__metadata__"), table, content[8 + size :]


def forged(metadata: dict[str, str], table: dict[str, Any], payload: bytes) -> bytes:
    """Return a file whose checksums are right, as far as there can be any."""
    blocks = {}
    for name, row in table.items():
        blocks[name] = Blocks(1, b"")
        with contextlib.suppress(TypeError, KeyError, ValueError, IndexError, AttributeError):
            begin, end = row["data_offsets"]
            count = row["shape"][0] if row["shape"] else 1
            blocks[name] = blocks_of(memoryview(payload[begin:end]), count, len(payload))
    rest = {name: text for name, text in metadata.items() if name not in (SEAL_KEY, BLOCKS_KEY)}
    text = text_of({**rest, BLOCKS_KEY: described(blocks)}, table)
    return struct.pack("<Q", len(text)) + text + payload


def of_version_1(content: bytes) -> bytes:
    """Return a file as it was written before there were checksums."""
    metadata, table, payload = parts_of(content)
    header = json.loads(metadata["attar"])
    for one in (header, header.get("card")):
        if isinstance(one, dict):
            one["version"] = 1
    plain = {"attar": json.dumps(header, sort_keys=True)}
    text = json.dumps({"__metadata__": plain, **table}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + payload


def make_version_1(path: Path) -> Path:
    """Write a file anew as it was before there were checksums."""
    path.write_bytes(of_version_1(path.read_bytes()))
    return path
