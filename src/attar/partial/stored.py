"""The tensors of a file, read by rows: each row from its place in the file, nothing else.

The table of a safetensors file says where each tensor lies. It is checked as the safetensors
library checks it, before anything is read: tensors follow one another without gaps and fill the
file.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attar.errors import ArtefactError
from attar.tensors import header_of, header_text, opened, read_into

_TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
}
# more than any set has; the size of what a longer shape speaks of could take long to work out
_MOST_DIMENSIONS = 16
_MOST_VALUES = 2**59


@dataclass(frozen=True)
class Place:
    """Where a tensor lies.

    Args:
        dtype: its type.
        shape: its shape.
        begin: bytes before it in the file's payload.
    """

    dtype: torch.dtype
    shape: tuple[int, ...]
    begin: int

    @property
    def nbytes(self) -> int:
        """Its size."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def row_bytes(self) -> int:
        """Size of one row, an entry of the first dimension."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize


class Stored:
    """The tensors of an open file.

    Args:
        path: of the file, for messages.
        file: the same, at its start.

    Raises:
        ArtefactError: Attar did not write the file, or it is truncated or damaged.
    """

    def __init__(self, path: Path, file: RawIOBase) -> None:
        text = header_text(path, file)
        self.path = path
        self.header = header_of(path, text)
        self._file = file
        self._payload = 8 + len(text)
        self._hash = hashlib.sha256(text)
        size = file.seek(0, 2) - self._payload
        try:
            self.places = _places(json.loads(text), size)
        except (ValueError, TypeError, KeyError) as error:
            raise _damaged(path, str(error)) from error

    @property
    def sha256(self) -> str:
        """Digest of the header and of all that was read since, in the order of reading."""
        return self._hash.hexdigest()

    def rows(self, name: str, wanted: Sequence[range]) -> Tensor:
        """Return rows of a tensor, one range after another.

        Args:
            name: of the tensor.
            wanted: ranges of consecutive rows.

        Raises:
            ArtefactError: the tensor has no such rows, or the file has become shorter.
        """
        place = self.places[name]
        most = place.shape[0] if place.shape else 0
        if any(not 0 <= one.start <= one.stop <= most for one in wanted):
            raise ArtefactError(f"{self.path}: {name} has {most} rows, its header speaks of more")
        spans = [(place.begin + one.start * place.row_bytes, len(one)) for one in wanted]
        count = sum(length for _, length in spans)
        flat = torch.empty(count * place.row_bytes, dtype=torch.uint8)
        buffer, done = flat.numpy().data, 0
        for begin, length in spans:
            end = done + length * place.row_bytes
            self._read(begin, buffer[done:end])
            done = end
        return flat.view(place.dtype).view(count, *place.shape[1:])

    def whole(self, name: str) -> Tensor:
        """Return a tensor as it is."""
        place = self.places[name]
        flat = torch.empty(place.nbytes, dtype=torch.uint8)
        self._read(place.begin, flat.numpy().data)
        return flat.view(place.dtype).view(place.shape)

    def _read(self, begin: int, buffer: memoryview) -> None:
        self._file.seek(self._payload + begin)
        if read_into(self._file, buffer) < len(buffer):
            raise _damaged(self.path, "it ends too early")
        self._hash.update(buffer)


@contextlib.contextmanager
def open_stored(path: Path) -> Iterator[Stored]:
    """Open a file of tensors to read parts of them.

    Raises:
        ArtefactError: no such file, one that Attar did not write, or a damaged one.
    """
    with opened(path) as file:
        yield Stored(path, file)


def _places(table: Mapping[str, Any], size: int) -> dict[str, Place]:
    """Return where every tensor lies.

    Args:
        table: the JSON that the file begins with.
        size: bytes behind it.

    Raises:
        ValueError: the tensors do not fill these bytes, one after another.
    """
    rows = {name: row for name, row in table.items() if name != "__metadata__"}
    found = {name: _place(name, row) for name, row in rows.items()}
    end = 0
    for name, place in sorted(found.items(), key=lambda item: (item[1].begin, item[1].nbytes)):
        if place.begin != end:
            raise ValueError(f"{name} does not begin where the tensor before it ends")
        end += place.nbytes
    if end != size:
        raise ValueError(f"its tensors take {end} bytes, the file holds {size}")
    return found


def _place(name: str, row: Mapping[str, Any]) -> Place:
    kind, shape, (begin, end) = row["dtype"], row["shape"], row["data_offsets"]
    if kind not in _TYPES:
        raise ValueError(f"{name} is of type {kind!r}")
    if len(shape) > _MOST_DIMENSIONS:
        raise ValueError(f"{name} has {len(shape)} dimensions")
    if any(type(number) is not int or number < 0 for number in (*shape, begin, end)):
        raise ValueError(f"{name} has a size that is no whole number")
    # without values, a shape may speak of any number of them
    if math.prod(number or 1 for number in shape) > _MOST_VALUES:
        raise ValueError(f"{name} has a shape that no tensor has")
    place = Place(_TYPES[kind], tuple(shape), begin)
    if end - begin != place.nbytes:
        raise ValueError(f"{name} takes {end - begin} bytes, its shape {place.nbytes}")
    return place


def _damaged(path: Path, why: str) -> ArtefactError:
    return ArtefactError(f"{path} is truncated or damaged ({why}); fetch it again")
