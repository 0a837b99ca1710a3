"""Pictures that are decoded once and kept in a file, for data that do not fit into memory.

A row is written when it is first decoded, with its CRC-32 in a second file afterwards. So a run
that is killed goes on where it was, several processes fill one file, and a row that is not what
was written is decoded again. The file is read row by row, not mapped: pages of a mapped file would
count as memory of the process.
"""

from __future__ import annotations

import contextlib
import math
import os
import warnings
import zlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attar.budget import format_bytes
from attar.data.on_demand import Decoded
from attar.data.rows import places_of

_MARK = 4


class OnDisk:
    """Rows of pictures, kept decoded in a file.

    Args:
        source: decodes them.
        path: of the file; its marks lie beside it.
    """

    def __init__(self, source: Decoded, path: Path) -> None:
        self._source = source
        self.kept_as = path
        self.shape, self.dtype, self.device = source.shape, source.dtype, source.device
        self._row = math.prod(self.shape[1:]) * self.dtype.itemsize
        self._files: tuple[int, int] | None = None
        self._writes = True

    @property
    def told(self) -> str:
        """Where they lie."""
        return f"decoded once and kept on disk ({format_bytes(len(self) * self._row)})"

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: Tensor | slice, /) -> Tensor:
        wanted = places_of(index, len(self))
        rows = torch.empty(len(wanted), *self.shape[1:], dtype=self.dtype)
        files = self._opened()
        # without a dimension, a row of one value has no buffer
        places = rows.view(len(rows), -1).view(torch.uint8).numpy()
        lacking = [
            place
            for place, one in enumerate(wanted.tolist())
            if files is None or not self._read(files, one, memoryview(places[place]))
        ]
        for some in torch.tensor(lacking, dtype=torch.int64).split(256):
            rows[some] = self._source[wanted[some]]
            for place in some.tolist():
                self._write(int(wanted[place]), places[place].tobytes())
        return rows

    def _opened(self) -> tuple[int, int] | None:
        """Return the handles of rows and marks; None where they cannot be opened."""
        if self._files is None and self._writes:
            flags = os.O_RDWR | os.O_CREAT
            try:
                self.kept_as.parent.mkdir(parents=True, exist_ok=True)
                rows = os.open(self.kept_as, flags, 0o666)
                marks = os.open(self.kept_as.with_suffix(".marks"), flags, 0o666)
                self._files = rows, marks
            except OSError as error:
                self._give_up(error)
        return self._files

    def _read(self, files: tuple[int, int], one: int, into: memoryview) -> bool:
        """Read a row, and tell whether it was there whole."""
        try:
            mark = os.pread(files[1], _MARK, one * _MARK)
            if len(mark) < _MARK or not any(mark):
                return False
            if os.preadv(files[0], [into], one * self._row) < self._row:
                return False
        except OSError:
            return False
        return mark == _mark(into)

    def _write(self, one: int, row: bytes) -> None:
        """Keep a row; where there is no room, say so once and go on without."""
        if not self._writes or self._files is None:
            return
        rows, marks = self._files
        try:
            for handle, data, place in ((rows, row, one * self._row), (marks, _mark(row), one * 4)):
                if os.pwrite(handle, data, place) < len(data):
                    raise OSError("no space is left")
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self._writes = False
        warnings.warn(
            f"decoded images could not be kept in {self.kept_as.parent} "
            f"({error.strerror or error}), so those that lack are decoded whenever they are "
            "needed; --data-dir or ATTAR_DATA names another folder",
            stacklevel=2,
        )

    def __getstate__(self) -> dict[str, Any]:
        # another process opens the files itself
        return self.__dict__ | {"_files": None}

    def __del__(self) -> None:
        for handle in self.__dict__.get("_files") or ():
            with contextlib.suppress(OSError):
                os.close(handle)


def _mark(row: bytes | memoryview) -> bytes:
    """Return the CRC-32 of a row; never zeros, which stand for a row that is not there."""
    return (zlib.crc32(row) or 1).to_bytes(_MARK, "big")
