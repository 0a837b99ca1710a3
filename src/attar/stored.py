"""A file of tensors, read as a whole or by rows: each from its place, nothing else, and checked.

The table of a safetensors file says where each tensor lies. It is checked as the safetensors
library checks it, before anything is read: tensors follow one another without gaps and fill the
file. Attar's own header is one JSON text under the key ``attar`` of the metadata; checksums
(`attar.checksums`) lie beside it. Nothing in a file is ever executed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attar.checksums import BLOCKS_KEY, SEAL_KEY, Blocks, is_sealed, read_blocks
from attar.errors import ArtefactError

HEADER_KEY = "attar"
TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
# files of every kind have checksums from this version on
FIRST_CHECKED = 2
# safetensors refuses headers above 100 MB itself; ours are a few kilobytes
_LARGEST_HEADER = 16 * 2**20
# more than any set has; the size of what a longer shape speaks of could take long to work out
_MOST_DIMENSIONS = 16
_MOST_VALUES = 2**59
# what reading JSON raises for text that is none, is nested too deep or says something else
_NO_HEADER = (ValueError, KeyError, TypeError, RecursionError)


class Damaged(ArtefactError):
    """A file is not as it was written.

    Args:
        path: of the file.
        why: what was found.
        advice: what to do.
    """

    def __init__(self, path: Path, why: str, advice: str = "fetch it again") -> None:
        super().__init__(f"{path} is truncated or damaged ({why}); {advice}")
        self.path = path
        self.why = why


@contextlib.contextmanager
def advising(advice: str) -> Iterator[None]:
    """Say what to do about a file that cannot be used, where fetching it again is no help."""
    try:
        yield
    except Damaged as error:
        raise Damaged(error.path, error.why, advice) from error
    except ArtefactError as error:
        raise ArtefactError(f"{error}; {advice}") from error


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
    def count(self) -> int:
        """Its rows, the entries of the first dimension; a single number is one."""
        return self.shape[0] if self.shape else 1

    @property
    def row_bytes(self) -> int:
        """Size of one row."""
        return math.prod(self.shape[1:]) * self.dtype.itemsize


class Stored:
    """The tensors of an open file.

    ``checked`` says whether what is read is compared with checksums; those of files of the first
    version are missing.

    Args:
        path: of the file, for messages.
        file: the same, at its start.
        hashing: whether to keep a digest of what is read.

    Raises:
        ArtefactError: Attar did not write the file, or it is truncated or damaged.
    """

    def __init__(self, path: Path, file: RawIOBase, *, hashing: bool = False) -> None:
        text = _text(path, file)
        sealed = is_sealed(text)
        if sealed is False:
            raise Damaged(path, "checksum of its header")
        table, metadata = _parsed(path, text)
        if not sealed and (SEAL_KEY in metadata or BLOCKS_KEY in metadata):
            raise Damaged(path, "checksum of its header")
        self.path = path
        self.header = _header(path, metadata)
        self._file = file
        self._payload = 8 + len(text)
        self._hash = hashlib.sha256(text) if hashing else None
        size = file.seek(0, 2) - self._payload
        try:
            self.places = _places(table, size)
            self._blocks = _blocks(metadata, self.places) if sealed else {}
        except _NO_HEADER as error:
            raise Damaged(path, str(error)) from error
        version = self.header.get("version")
        if not sealed and isinstance(version, int) and version >= FIRST_CHECKED:
            raise Damaged(path, "its checksums are missing")
        self.checked = bool(sealed)

    @property
    def sha256(self) -> str:
        """Digest of the header and of all that was asked for since, in that order."""
        assert self._hash is not None
        return self._hash.hexdigest()

    def rows(self, name: str, wanted: Sequence[range]) -> Tensor:
        """Return rows of a tensor, one range after another.

        Beside them, what lies in the same blocks of checksums is read, to check them.

        Args:
            name: of the tensor.
            wanted: ranges of consecutive rows.

        Raises:
            ArtefactError: the tensor has no such rows, they are not as they were written, or the
                file has become shorter.
        """
        place = self.places[name]
        most = place.shape[0] if place.shape else 0
        if any(not 0 <= one.start <= one.stop <= most for one in wanted):
            raise ArtefactError(f"{self.path}: {name} has {most} rows, its header speaks of more")
        return self._read(name, wanted).view(-1, *place.shape[1:])

    def whole(self, name: str) -> Tensor:
        """Return a tensor as it is.

        Raises:
            ArtefactError: it is not as it was written, or the file has become shorter.
        """
        place = self.places[name]
        return self._read(name, (range(place.count),)).view(place.shape)

    def all(self) -> dict[str, Tensor]:
        """Return every tensor."""
        return {name: self.whole(name) for name in self.places}

    def _read(self, name: str, wanted: Sequence[range]) -> Tensor:
        """Return the values of rows, one after the other."""
        place = self.places[name]
        count = sum(map(len, wanted))
        flat = torch.empty(count * place.row_bytes, dtype=torch.uint8)
        buffer, done = flat.numpy().data, 0
        for around, some in self._together(name, wanted):
            end = done + sum(map(len, some)) * place.row_bytes
            self._fill(name, around, some, buffer[done:end])
            done = end
        if self._hash is not None:
            self._hash.update(buffer)
        return flat.view(place.dtype)

    def _together(self, name: str, wanted: Sequence[range]) -> list[tuple[range, list[range]]]:
        """Return the rows to be read, each with what is wanted of it.

        These are the blocks of checksums around what is wanted; none is read twice where ranges
        follow one another.
        """
        blocks, count = self._blocks.get(name), self.places[name].count
        found: list[tuple[range, list[range]]] = []
        for one in filter(len, wanted):
            around = one if blocks is None else blocks.around(one, count)
            if found and found[-1][0].start <= around.start < found[-1][0].stop:
                before, some = found[-1]
                found[-1] = range(before.start, max(before.stop, around.stop)), [*some, one]
            else:
                found.append((around, [one]))
        return found

    def _fill(self, name: str, around: range, wanted: list[range], target: memoryview) -> None:
        """Read rows, check them, and put those wanted into the target."""
        place, size = self.places[name], self.places[name].row_bytes
        if not len(target):
            return
        data = target if [around] == wanted else memoryview(bytearray(len(around) * size))
        self._file.seek(self._payload + place.begin + around.start * size)
        if read_into(self._file, data) < len(data):
            raise Damaged(self.path, "it ends too early")
        blocks = self._blocks.get(name)
        if blocks is not None and not blocks.match(data, around.start, size):
            raise Damaged(self.path, f"checksum of {name}")
        if data is target:
            return
        done = 0
        for one in wanted:
            begin, end = ((row - around.start) * size for row in (one.start, one.stop))
            target[done : done + end - begin] = data[begin:end]
            done += end - begin


@contextlib.contextmanager
def open_stored(path: str | Path, *, hashing: bool = False) -> Iterator[Stored]:
    """Open a file of tensors to read all or parts of them.

    Args:
        path: of the file.
        hashing: whether to keep a digest of what is read.

    Raises:
        ArtefactError: no such file, one that Attar did not write, or a damaged one.
    """
    path = Path(path)
    try:
        with path.open("rb", buffering=0) as file:
            yield Stored(path, file, hashing=hashing)
    except FileNotFoundError:
        raise ArtefactError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ArtefactError(f"{path} is a directory, not an artefact") from None
    except OSError as error:
        raise ArtefactError(f"{path} cannot be read: {error.strerror or error}") from error


def is_of(header: Mapping[str, Any], kind: str, newest: int) -> bool:
    """Tell whether a file is of a kind, in a version from 1 to the newest known."""
    version = header.get("version")
    return header.get("format") == kind and type(version) is int and 1 <= version <= newest


def read_into(file: RawIOBase, buffer: memoryview) -> int:
    """Fill a buffer of bytes from a file; return how many there were before it ended."""
    done = 0
    while done < len(buffer) and (found := file.readinto(buffer[done:])):
        done += found
    return done


def _text(path: Path, file: RawIOBase) -> bytes:
    """Return the JSON that a safetensors file begins with, from the start of the file."""
    start = bytearray(8)
    whole = read_into(file, memoryview(start)) == 8
    size = struct.unpack("<Q", start)[0] if whole else 0
    if not 2 <= size <= _LARGEST_HEADER:
        raise ArtefactError(f"{path} is not a safetensors file, so no artefact")
    text = bytearray(size)
    return bytes(text[: read_into(file, memoryview(text))])


class _DoubledKey(ValueError):
    """Two entries of a JSON object have one name."""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        doubled = next(name for name in names if names.count(name) > 1)
        raise _DoubledKey(f"it has the key {doubled!r} twice")
    return found


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _check_text(found: Any) -> None:
    """Refuse escapes that spell half a character, which no file or terminal takes."""
    json.dumps(found, ensure_ascii=False).encode()


def _parsed(path: Path, text: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the table of tensors and the metadata from the JSON that a file begins with."""
    try:
        table = json.loads(text, object_pairs_hook=_once)
        metadata = table.pop("__metadata__")
        _check_text(table)
    except _DoubledKey as error:
        raise Damaged(path, f"its header: {error}") from None
    except (*_NO_HEADER, AttributeError):
        raise ArtefactError(f"{path} is not a file that Attar wrote") from None
    return table, metadata if isinstance(metadata, dict) else {}


def _header(path: Path, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return Attar's own header from the metadata of a file."""
    try:
        header = json.loads(
            metadata[HEADER_KEY],
            parse_float=_finite,
            parse_constant=_finite,
            object_pairs_hook=_once,
        )
        _check_text(header)
    except _DoubledKey as error:
        raise Damaged(path, f"its header: {error}") from None
    except _NO_HEADER:
        raise ArtefactError(
            f"{path} is a safetensors file, but not one that Attar wrote: it has no "
            f"valid {HEADER_KEY!r} header"
        ) from None
    if not isinstance(header, dict):
        raise ArtefactError(f"{path}: its {HEADER_KEY!r} header is no JSON object")
    return header


def _blocks(metadata: Mapping[str, Any], places: Mapping[str, Place]) -> dict[str, Blocks]:
    found = json.loads(metadata[BLOCKS_KEY], object_pairs_hook=_once)
    return read_blocks(found, {name: (one.count, one.row_bytes) for name, one in places.items()})


def _places(table: Mapping[str, Any], size: int) -> dict[str, Place]:
    """Return where every tensor lies.

    Args:
        table: of the file, without its metadata.
        size: bytes behind it.

    Raises:
        ValueError: the tensors do not fill these bytes, one after another.
    """
    found = {name: _place(name, row) for name, row in table.items()}
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
    if kind not in TYPES:
        raise ValueError(f"{name} is of type {kind!r}")
    if len(shape) > _MOST_DIMENSIONS:
        raise ValueError(f"{name} has {len(shape)} dimensions")
    if any(type(number) is not int or number < 0 for number in (*shape, begin, end)):
        raise ValueError(f"{name} has a size that is no whole number")
    # without values, a shape may speak of any number of them
    if math.prod(number or 1 for number in shape) > _MOST_VALUES:
        raise ValueError(f"{name} has a shape that no tensor has")
    place = Place(TYPES[kind], tuple(shape), begin)
    if end - begin != place.nbytes:
        raise ValueError(f"{name} takes {end - begin} bytes, its shape {place.nbytes}")
    return place
