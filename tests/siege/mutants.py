"""Ways to change a file: damage, which checksums notice, and forgery, which makes them anew."""

from __future__ import annotations

import contextlib
import copy
import json
import random
import struct
from collections.abc import Callable
from typing import Any

from forging import forged, parts_of

VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 2, 3, 7, 99, 10**6, 10**9, 2**63, 10**30, 10**400),
    *(0.5, -1.5, 1e39, 1e300, 1e-300, "", "x", "1", "\ud800", "\x1b[31m", [], {}, [1], {"a": 1}),
    *("pixels", "low_rank", "tiled", "ordered_svd", "decoded", "mtt", "rtp", "float16", "class"),
]
TYPES = ["F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL", "C64", ""]


# damage: bytes that change on a disk or on the way


def _flip(content: bytearray, draw: random.Random) -> None:
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)


def _flip_in_header(content: bytearray, draw: random.Random) -> None:
    size = min(len(content), 8 + struct.unpack("<Q", content[:8])[0] if len(content) > 8 else 1)
    content[draw.randrange(size)] ^= 1 << draw.randrange(8)


def _set(content: bytearray, draw: random.Random) -> None:
    content[draw.randrange(len(content))] = draw.randrange(256)


def _erase(content: bytearray, draw: random.Random) -> None:
    start = draw.randrange(len(content))
    length = min(draw.choice((2, 8, 64, 512, 4096)), len(content) - start)
    content[start : start + length] = bytes([draw.choice((0, 255))]) * length


def _truncate(content: bytearray, draw: random.Random) -> None:
    del content[draw.randrange(len(content)) :]


def _extend(content: bytearray, draw: random.Random) -> None:
    content += draw.randbytes(draw.choice((1, 4, 8, 100, 4096)))


def _lose(content: bytearray, draw: random.Random) -> None:
    start = draw.randrange(len(content))
    del content[start : start + draw.choice((1, 4, 8, 100))]


def _insert(content: bytearray, draw: random.Random) -> None:
    start = draw.randrange(len(content))
    content[start:start] = draw.randbytes(draw.choice((1, 4, 8)))


def _exchange(content: bytearray, draw: random.Random) -> None:
    size = draw.choice((4, 16, 64))
    one, other = (draw.randrange(max(1, len(content) - size)) for _ in range(2))
    first = content[one : one + size]
    content[one : one + size] = content[other : other + size]
    content[other : other + size] = first


DAMAGE = {
    "flip": _flip,
    "flip in header": _flip_in_header,
    "set": _set,
    "erase": _erase,
    "truncate": _truncate,
    "extend": _extend,
    "lose": _lose,
    "insert": _insert,
    "exchange": _exchange,
}


def damaged(content: bytes, draw: random.Random) -> tuple[str, bytes]:
    """Return how a file was damaged, and the file."""
    how = draw.choice(sorted(DAMAGE))
    found = bytearray(content)
    DAMAGE[how](found, draw)
    return how, bytes(found)


# forgeries: JSON that stays valid, checksums that fit


def places(tree: Any) -> list[tuple[Any, Any]]:
    """Return every (container, key) in a tree of JSON."""
    found: list[tuple[Any, Any]] = []
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in list(pairs):
        found.append((tree, key))
        if isinstance(value, dict | list):
            found += places(value)
    return found


def edit(tree: Any, draw: random.Random) -> None:
    """Change, take away or add one value somewhere in a tree of JSON."""
    found = places(tree)
    if not found:
        return
    container, key = draw.choice(found)
    kind = draw.random()
    if kind < 0.75:
        container[key] = copy.deepcopy(draw.choice(VALUES))
    elif kind < 0.85:
        del container[key]
    elif kind < 0.93 and isinstance(container, dict):
        container[draw.choice(("more", "", "version", "rank"))] = draw.choice(VALUES)
    elif isinstance(container[key], int | float) and not isinstance(container[key], bool):
        container[key] = container[key] * draw.choice((-1, 2, 1000)) + draw.choice((0, 1))


def _header(metadata: dict[str, str], table: Any, payload: bytes, draw: random.Random) -> bytes:
    header = json.loads(metadata["attar"])
    for _ in range(draw.choice((1, 1, 1, 2))):
        edit(header, draw)
    metadata["attar"] = json.dumps(header)
    return payload


def _doubled(metadata: dict[str, str], table: Any, payload: bytes, draw: random.Random) -> bytes:
    header = json.loads(metadata["attar"])
    key = draw.choice(sorted(header))
    more = f"{json.dumps(key)}: {json.dumps(draw.choice(VALUES))}"
    metadata["attar"] = f"{metadata['attar'][:-1]}, {more}}}"
    return payload


def _table(metadata: dict[str, str], table: Any, payload: bytes, draw: random.Random) -> bytes:
    name = draw.choice(sorted(table))
    kind = draw.randrange(5)
    if kind == 0:
        table[name]["dtype"] = draw.choice(TYPES)
    elif kind == 1:
        draw.shuffle(table[name]["shape"])
    elif kind == 2:
        table[draw.choice(("more", "", "images.values", f"{name}.x"))] = table.pop(name)
    elif kind == 3:
        del table[name]
    else:
        edit(table[name], draw)
    return payload


def _names(metadata: dict[str, str], table: Any, payload: bytes, draw: random.Random) -> bytes:
    one, other = (draw.choice(sorted(table)) for _ in range(2))
    table[one], table[other] = table[other], table[one]
    return payload


def _values(metadata: dict[str, str], table: Any, payload: bytes, draw: random.Random) -> bytes:
    row = table[draw.choice(sorted(table))]
    begin, end = row["data_offsets"]
    form, size = {"F32": ("f", 4), "F64": ("d", 8)}.get(row["dtype"], ("e", 2))
    if end - begin < size:
        return payload
    number = draw.choice((0.0, -1.0, 1e4, float("inf"), float("nan"), 1e20, 3e38))
    with contextlib.suppress(OverflowError):
        one = struct.pack(f"<{form}", number)
        many = draw.choice((1, 5, (end - begin) // size))
        start = begin + size * draw.randrange((end - begin) // size)
        new = (one * many)[: end - start]
        return payload[:start] + new + payload[start + len(new) :]
    return payload


FORGERY: dict[str, Callable[[dict[str, str], Any, bytes, random.Random], bytes]] = {
    "header": _header,
    "doubled": _doubled,
    "table": _table,
    "names": _names,
    "values": _values,
}


def forgery(content: bytes, draw: random.Random) -> tuple[str, bytes]:
    """Return how a file was forged, and the file."""
    # headers have the most to be changed
    how = draw.choice([*sorted(FORGERY), "header", "header", "values"])
    metadata, table, payload = parts_of(content)
    payload = FORGERY[how](metadata, table, payload, draw)
    return how, forged(metadata, table, payload)


def edited_json(content: bytes, draw: random.Random) -> tuple[str, bytes]:
    """Return a JSON file with a value changed."""
    tree = json.loads(content)
    edit(tree, draw)
    return "edit", json.dumps(tree).encode()
