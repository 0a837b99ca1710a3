"""Labels as a storage keeps them: in a file from the first one on where they are many.

Rows are read and written by ranges, so that no more than those of a batch are in memory; what is
kept for good is a file of tensors as all others are, with checksums, written once all are there.

Shape letters: R labels, K classes.
"""

from __future__ import annotations

import contextlib
import io
import math
import mmap
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Protocol

import torch
from torch import Tensor

from attar.errors import ArtefactError, RunFailed
from attar.storage import Kept, Storage
from attar.stored import Stored, open_stored
from attar.tensors import save_tensors

NAME = "labels.values"
# bytes that are held in memory before they go to a file
_HELD = 16 * 2**20


class Shelf(Protocol):
    """R labels in their storage, read by ranges."""

    def rows(self, first: int, count: int) -> dict[str, Tensor]:
        """Return what is kept of so many labels, from the first one on."""
        ...


class Spool:
    """Labels that are still being asked for, in memory or in a file without a name.

    Args:
        storage: of the labels.
        labels: R.
        classes: K.
        folder: in which the file lies; None for the system's own for such files.

    Raises:
        RunFailed: there is no room for a file.
    """

    def __init__(self, storage: Storage, labels: int, classes: int, folder: Path | None) -> None:
        self._kept = storage.kept(NAME, (labels, classes))
        self._begins: dict[str, int] = {}
        end = 0
        # the widest first, so that each begins at a multiple of its item's size
        for name in sorted(self._kept, key=lambda one: -self._kept[one].dtype.itemsize):
            self._begins[name] = end
            end += math.prod(_shape(self._kept[name])) * self._kept[name].dtype.itemsize
        self._end = end
        self._option = "TMPDIR" if folder is None else "--labels"
        self._file: IO[bytes] = io.BytesIO(bytes(end if end <= _HELD else 0))
        if end > _HELD:
            there = folder if folder is not None and folder.is_dir() else None
            with self._room():
                self._file = tempfile.TemporaryFile(dir=there)  # noqa: SIM115
            weakref.finalize(self, _close, self._file)

    def put(self, first: int, coded: Mapping[str, Tensor]) -> None:
        """Keep what a storage makes of labels, from the first one on.

        Raises:
            RunFailed: there is no room for it.
        """
        with self._room():
            for name, tensor in coded.items():
                self._file.seek(self._begins[name] + first * self._row(name))
                self._file.write(tensor.contiguous().flatten().view(torch.uint8).numpy().data)

    def rows(self, first: int, count: int) -> dict[str, Tensor]:
        """As of `Shelf`."""
        found = {}
        for name, kept in self._kept.items():
            self._file.seek(self._begins[name] + first * self._row(name))
            raw = bytearray(self._file.read(count * self._row(name)))
            shape = (count, *_shape(kept)[1:])
            found[name] = torch.frombuffer(raw, dtype=kept.dtype).view(shape)
        return found

    def save(self, path: Path, header: Mapping[str, Any]) -> None:
        """Write all labels, which are there, atomically; they are mapped, not read at once.

        Raises:
            RunFailed: there is no room for it.
        """
        with self._room():
            mapped = self._mapped()
        tensors = {}
        for name, kept in self._kept.items():
            shape = _shape(kept)
            flat = torch.frombuffer(
                mapped, dtype=kept.dtype, count=math.prod(shape), offset=self._begins[name]
            )
            tensors[name] = flat.view(shape)
        save_tensors(path, tensors, header)

    def _mapped(self) -> memoryview | mmap.mmap:
        if isinstance(self._file, io.BytesIO):
            return self._file.getbuffer()
        self._file.flush()
        # a private copy of pages that nobody writes to, since torch warns of those it may not
        return mmap.mmap(self._file.fileno(), self._end, access=mmap.ACCESS_COPY)

    @contextlib.contextmanager
    def _room(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RunFailed(
                f"labels could not be kept in a temporary file ({error.strerror or error}); free "
                "some space, keep fewer (--label-epochs, --label-share), or name another folder by "
                f"{self._option}"
            ) from error

    def _row(self, name: str) -> int:
        kept = self._kept[name]
        return math.prod(_shape(kept)[1:]) * kept.dtype.itemsize


class Filed:
    """Labels in a file that was written whole, which is not trusted.

    Args:
        path: of the file.
        storage: that it is said to be in.
        labels: R that it is to hold.
        classes: K.

    Raises:
        ArtefactError: it is missing, damaged, or holds other tensors.
    """

    def __init__(self, path: Path, storage: Storage, labels: int, classes: int) -> None:
        self._path = path
        stack = contextlib.ExitStack()
        weakref.finalize(self, stack.close)
        self._stored: Stored = stack.enter_context(open_stored(path))
        wanted = {
            name: (one.dtype, _shape(one))
            for name, one in storage.kept(NAME, (labels, classes)).items()
        }
        if {name: (one.dtype, one.shape) for name, one in self._stored.places.items()} != wanted:
            raise ArtefactError(
                f"{path} does not hold the {labels}×{classes} labels that its header speaks of; "
                "fetch it again"
            )

    def rows(self, first: int, count: int) -> dict[str, Tensor]:
        """As of `Shelf`.

        Raises:
            ArtefactError: they are not as they were written.
        """
        wanted = [range(first, first + count)]
        try:
            return {name: self._stored.rows(name, wanted) for name in self._stored.places}
        except OSError as error:
            raise ArtefactError(
                f"{self._path} cannot be read: {error.strerror or error}"
            ) from error


def _close(file: IO[bytes]) -> None:
    """Close a file that goes away; what it had no room for has been told."""
    with contextlib.suppress(OSError):
        file.close()


def _shape(kept: Kept) -> tuple[int, ...]:
    """Return the shape of what is kept, which storages of labels all know."""
    assert kept.shape is not None
    return kept.shape
