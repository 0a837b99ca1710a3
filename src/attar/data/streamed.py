"""Pictures of a stream, written one after another to a file as they come, still encoded.

A stream has no rows that can be chosen, and would be read again for every choice. Its pictures lie
in ``NAME.pictures`` and a line of JSON for each, ``[end, label]``, in ``NAME.rows``; a last line
says that all have come. A pass that is killed goes on behind the last whole line.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from torch import Tensor

from attar.data.shards import read_at
from attar.errors import BadRequest, RunFailed
from attar.locking import locked

_END = "all"
# pictures between two writes of their lines
_TOGETHER = 256


@dataclass(frozen=True)
class Streamed:
    """Pictures that came from a stream.

    Args:
        path: of the file that they lie in.
        places: N×3 numbers: the row in the stream, where its bytes begin, and how many they are.
        source: how messages call the stream.
    """

    path: Path
    places: np.ndarray
    source: str

    def __len__(self) -> int:
        return len(self.places)

    def at(self, index: Tensor) -> Streamed:
        """Return the pictures at ``index``."""
        return replace(self, places=self.places[index.numpy()])

    def stream(self, index: int) -> BinaryIO:
        """Return the file of one picture, opened."""
        _, offset, size = map(int, self.places[index])
        return io.BytesIO(read_at(self.path, offset, size))

    def name(self, index: int) -> str:
        """Return the row of one picture."""
        return f"{self.source}, row {int(self.places[index][0])}"

    @property
    def lies_in(self) -> tuple[tuple[Path, ...], bytes]:
        """The file, and where in it they are."""
        return (self.path,), self.places.tobytes()


def streamed(
    path: Path,
    rows: Callable[[int], Iterable[tuple[bytes, Any]]],
    source: str,
    told: Callable[[int], None] = lambda done: None,
) -> tuple[Streamed, list[Any]]:
    """Return the pictures of a stream and their labels, read where they have not come yet.

    Args:
        path: of the pictures' file.
        rows: given a number, the stream behind so many rows: bytes and label of each.
        source: how messages call the stream.
        told: how many have come.

    Raises:
        RunFailed: the disk is full, or the folder cannot be written to.
    """
    lines = path.with_suffix(".rows")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.parent):
            ends, labels, whole = _come(lines, path)
            if not whole:
                _fetch(path, lines, rows, ends, labels, told)
    except OSError as error:
        raise RunFailed(
            f"{source}: its pictures could not be kept in {path.parent} ({error.strerror or error})"
            "; make room and start again, which goes on there, or name another folder with "
            "--data-dir"
        ) from error
    starts = np.array([0, *ends], dtype=np.int64)
    places = np.stack([np.arange(len(ends)), starts[:-1], np.diff(starts)], axis=1)
    return Streamed(path, places, source), labels


def remove_outdated(path: Path, prefix: str) -> None:
    """Remove what the same stream left before it changed."""
    for old in path.parent.glob(f"{prefix}-*"):
        if old.stem != path.stem:
            old.unlink(missing_ok=True)


def _come(lines: Path, path: Path) -> tuple[list[int], list[Any], bool]:
    """Return where the pictures end that are there, their labels, and whether these are all."""
    ends: list[int] = []
    labels: list[Any] = []
    if not (lines.is_file() and path.is_file()):
        return ends, labels, False
    there = path.stat().st_size
    with lines.open(encoding="utf-8") as file:
        for line in file:
            try:
                found = json.loads(line) if line.endswith("\n") else None
            except ValueError:
                break
            if found == _END:
                return ends, labels, True
            if not isinstance(found, list) or found[0] > there:
                break
            ends.append(found[0])
            labels.append(found[1])
    return ends, labels, False


def _fetch(
    path: Path,
    lines: Path,
    rows: Callable[[int], Iterable[tuple[bytes, Any]]],
    ends: list[int],
    labels: list[Any],
    told: Callable[[int], None],
) -> None:
    """Write what has not come, and what came to ``ends`` and ``labels``."""
    text = "".join(json.dumps(pair) + "\n" for pair in zip(ends, labels, strict=True))
    lines.write_text(text, encoding="utf-8")
    end = ends[-1] if ends else 0
    with path.open("ab") as file, lines.open("a", encoding="utf-8") as listed:
        file.truncate(end)
        for picture, label in rows(len(ends)):
            file.write(picture)
            end += len(picture)
            ends.append(end)
            labels.append(label)
            listed.write(json.dumps([end, label]) + "\n")
            if len(ends) % _TOGETHER == 0:
                # a line is there only where its picture is
                file.flush()
                listed.flush()
                told(len(ends))
        file.flush()
        os.fsync(file.fileno())
        listed.write(json.dumps(_END) + "\n")


def of_row(row: Any, column: str, where: str) -> bytes:
    """Return the bytes of the picture of a row of the library `datasets`, undecoded.

    Raises:
        BadRequest: it has none in itself.
    """
    found = row[column]
    if found is None or found["bytes"] is None:
        raise BadRequest(
            f"{where} holds no picture of its own; remove the row, or leave ,streaming out"
        )
    return found["bytes"]
