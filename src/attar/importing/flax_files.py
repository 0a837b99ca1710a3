"""Checkpoints that flax wrote with msgpack, read without flax: arrays only.

Source: flax, ``serialization.py``: arrays are the extension type 1, which holds shape, type and
bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attar.capacity import check_memory
from attar.errors import BadRequest

_ARRAY = 1
_TYPES = {
    b"float64": torch.float64,
    b"float32": torch.float32,
    b"float16": torch.float16,
    b"bfloat16": torch.bfloat16,
    b"int64": torch.int64,
    b"int32": torch.int32,
    b"uint8": torch.uint8,
}


# entries of one list or map, and of all of them: a checkpoint has some for each layer, while
# containers that are empty or declared only would take far more memory than their file
_LONGEST, _MOST = 10_000, 200_000


class _Count:
    """Counts what a tree holds while it is read."""

    def __init__(self) -> None:
        self._count = 0

    def packed(self, kind: int, data: bytes) -> Packed:
        """Count an extension type."""
        self._count += 1
        return Packed(kind, data)

    def container(self, value: Any) -> Any:
        """Count a list or map with its entries."""
        self._count += 1 + len(value)
        if self._count > _MOST:
            raise ValueError(f"it has more than {_MOST} entries")
        return value


@dataclass(frozen=True)
class Packed:
    """A value of a type of flax's own, as it lies in the file."""

    kind: int
    data: bytes


def is_flax(beginning: bytes) -> bool:
    """Tell whether a file begins as a msgpack map with entries."""
    return bool(beginning) and (0x81 <= beginning[0] <= 0x8F or beginning[0] in (0xDE, 0xDF))


def read_flax(path: Path) -> dict[str, Any]:
    """Return the tree of a checkpoint; its arrays are `Packed` until `array` opens them.

    Raises:
        BadRequest: the extra is not installed, or the file is no checkpoint of flax.
    """
    try:
        import msgpack
    except ImportError:
        raise BadRequest(
            f"{path} is a checkpoint of flax; to read it, install the extra: "
            "pip install 'attar[flax]'"
        ) from None
    # the file, its arrays as bytes, and as tensors
    check_memory(3 * path.stat().st_size, str(path), "free some memory")
    count = _Count()
    try:
        tree = msgpack.unpackb(
            path.read_bytes(),
            raw=False,
            strict_map_key=False,
            max_array_len=_LONGEST,
            max_map_len=_LONGEST,
            ext_hook=count.packed,
            object_hook=count.container,
            list_hook=count.container,
        )
    except (ValueError, TypeError, OSError, RecursionError, MemoryError) as error:
        raise BadRequest(
            f"{path} cannot be read as a checkpoint of flax ({error}); fetch it again"
        ) from error
    if not isinstance(tree, dict):
        raise BadRequest(f"{path} is no checkpoint of flax: it holds a {type(tree).__name__}")
    return tree


def array(packed: Any, name: str, path: Path) -> Tensor:
    """Return an array of a checkpoint.

    Args:
        packed: where it should be.
        name: how messages call it.
        path: the checkpoint.

    Raises:
        BadRequest: there is no array, or one of another type or size than it says.
    """
    import msgpack

    if not isinstance(packed, Packed) or packed.kind != _ARRAY:
        raise BadRequest(f"{path}: {name} is no array; arrays above 1 GiB are not read either")
    try:
        shape, kind, values = msgpack.unpackb(packed.data, raw=True, max_array_len=_LONGEST)
        shape = tuple(int(size) for size in shape)
        dtype = _TYPES[kind]
        if not isinstance(values, bytes):
            raise TypeError("its values are no bytes")
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        known = ", ".join(sorted(one.decode() for one in _TYPES))
        raise BadRequest(f"{path}: {name} is no array of {known} ({error})") from error
    if min(shape, default=1) < 0 or math.prod(shape) * dtype.itemsize != len(values):
        raise BadRequest(f"{path}: {name} of shape {shape} has {len(values)} bytes")
    if not values:
        raise BadRequest(f"{path}: {name} of shape {shape} is empty")
    return torch.frombuffer(bytearray(values), dtype=dtype).reshape(shape)
