"""Arrays in .npy files that are read by index and never whole.

They are read and not mapped: a mapped file that another program cuts short ends the process, and
all that was ever read of it counts as memory of the process.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from attar.data.arrays import as_values, as_vectors, laid_out
from attar.data.npz_file import FAULTS, header_of
from attar.data.rows import places_of
from attar.errors import BadRequest, RunFailed
from attar.faults import in_words
from attar.zipped import reason

# bytes of what is looked at at once
_PART = 2**24


@dataclass(frozen=True)
class ArrayFile:
    """An array in a file, of which nothing but the header was read.

    Args:
        path: of the file.
        shape: of the array; its first axis are the rows.
        dtype: of its values as they are stored.
        begin: where they begin, in bytes.
        stamp: bytes and time of change of the file.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype
    begin: int
    stamp: tuple[int, int]

    @property
    def nbytes(self) -> int:
        """Bytes of the values."""
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self, index: np.ndarray) -> np.ndarray:
        """Return the rows at B whole numbers, in their order.

        Raises:
            RunFailed: the file is gone, has changed since it was opened, or cannot be read.
        """
        rows = np.empty((len(index), *self.shape[1:]), self.dtype)
        if not rows.size:
            return rows
        target = rows.data.cast("B")
        width = len(target) // len(index)
        try:
            with self.path.open("rb", buffering=0) as file:
                if stamp_of(self.path) != self.stamp:
                    raise self._changed()
                for start, stop in _runs(index):
                    file.seek(self.begin + int(index[start]) * width)
                    self._fill(file, target[start * width : stop * width])
        except OSError as error:
            raise RunFailed(f"reading {self.path}: {in_words(error)}.") from error
        return rows

    def whole(self) -> np.ndarray:
        """Return all rows."""
        return self.read(np.arange(self.shape[0]))

    def parts(self) -> Iterator[np.ndarray]:
        """Yield all rows in order, some at once."""
        each = max(1, _PART // max(1, self.nbytes // max(1, self.shape[0])))
        for start in range(0, self.shape[0], each):
            yield self.read(np.arange(start, min(start + each, self.shape[0])))

    def _fill(self, file: BinaryIO, target: memoryview) -> None:
        while target:
            # at most 2 GB come at once
            done = file.readinto(target)  # pyright: ignore[reportAttributeAccessIssue]
            if not done:
                raise self._changed()
            target = target[done:]

    def _changed(self) -> RunFailed:
        return RunFailed(f"{self.path} has changed since it was opened; run again.")


def _runs(index: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield where neighbouring rows of a file stand one after the other in an index."""
    breaks = np.flatnonzero(np.diff(index) != 1) + 1
    bounds = [0, *breaks.tolist(), len(index)]
    yield from itertools.pairwise(bounds)


def stamp_of(path: Path) -> tuple[int, int]:
    """Return bytes and time of change of a file."""
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def open_array(path: Path) -> ArrayFile:
    """Return the array of an .npy file, with nothing but its header read.

    Raises:
        BadRequest: no such file, or no plain array of rows in it.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "does not exist"
        raise BadRequest(f"{path} {what}; give an .npy file, as numpy.save writes it")
    try:
        with path.open("rb") as file:
            shape, dtype, begin, columns = header_of(file)
            stamp = stamp_of(path)
    except FAULTS as error:
        raise BadRequest(
            f"{path} cannot be read as an .npy file of one plain array ({reason(error)}); write it "
            "with numpy.save"
        ) from error
    found = ArrayFile(path, shape, dtype, begin, stamp)
    if columns and len(shape) > 1:
        raise BadRequest(
            f"{path} stores its array column by column (Fortran order), so that no row can be read "
            "by itself; save numpy.ascontiguousarray of it"
        )
    if not shape or stamp[0] - begin != found.nbytes:
        raise BadRequest(
            f"{path} is said to hold an array of shape {shape} of {dtype}, which are "
            f"{found.nbytes} bytes, but has {stamp[0] - begin}; copy it again"
        )
    return found


def file_of(given: np.ndarray) -> ArrayFile | None:
    """Return where the rows of an array are that NumPy has mapped for reading; else None.

    An array that is mapped otherwise, or is only a part of its rows, is one like any other.
    """
    if not isinstance(given, np.memmap) or given.mode != "r" or given.filename is None:
        return None
    whole = given
    while isinstance(whole.base, np.memmap):
        whole = whole.base
    if not given.flags.c_contiguous or not given.ndim:
        return None
    path = Path(given.filename)
    # NumPy keeps the offset of the whole for its parts
    begin = whole.offset + given.ctypes.data - whole.ctypes.data
    return ArrayFile(path, given.shape, given.dtype, begin, stamp_of(path))


@dataclass(frozen=True, eq=False)
class OnDisk:
    """Rows of an array in a file; make them with `open_rows`.

    Args:
        stored: the array.
        name: how messages call it.
        shape: N×C×H×W or N×D.
        dtype: uint8 where all values are whole 255ths, else float32.
        value_range: the values that become 0 and 1; None for the usual.
    """

    stored: ArrayFile
    name: str
    shape: torch.Size
    dtype: torch.dtype
    value_range: tuple[float, float] | None = None

    @property
    def device(self) -> torch.device:
        """The CPU."""
        return torch.device("cpu")

    @property
    def told(self) -> str:
        """Where they lie."""
        return f"read from {self.stored.path.name} as they are needed"

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Tensor | slice, /) -> Tensor:
        found = self.stored.read(places_of(index, len(self)).numpy())
        return _converted(found, self.name, self.value_range, self.dtype)


def open_rows(
    stored: ArrayFile, name: str, value_range: tuple[float, float] | None = None
) -> OnDisk:
    """Return the rows of a file, each as `attar.data.arrays.as_images` makes it of the whole.

    Where values are not uint8 already, all are looked at once, some at a time.

    Raises:
        BadRequest: as `as_images` does.
    """
    row = laid_out(np.empty((0, *stored.shape[1:]), stored.dtype), name)
    shape = torch.Size((stored.shape[0], *row.shape[1:]))
    dtype = torch.float32
    if len(shape) > 2:
        parts = (as_values(laid_out(part, name), name, value_range) for part in stored.parts())
        plain = stored.dtype == np.uint8 and value_range is None
        if plain or all(part.dtype == torch.uint8 for part in parts):
            dtype = torch.uint8
    return OnDisk(stored, name, shape, dtype, value_range)


def _converted(
    values: np.ndarray,
    name: str,
    value_range: tuple[float, float] | None,
    dtype: torch.dtype,
) -> Tensor:
    """Return rows in the type that all rows have."""
    tensor = laid_out(values, name)
    if tensor.ndim == 2:
        return as_vectors(tensor, name, value_range)
    if dtype == torch.uint8 or value_range is not None:
        return as_values(tensor, name, value_range).contiguous()
    # some alone may be whole 255ths, which all are not
    return tensor.float().contiguous()
