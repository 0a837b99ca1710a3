"""The machine-readable log beside an artefact: one JSON object per line."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from attar.condensing.tracking import Begin, Tracker
from attar.errors import RunFailed
from attar.files import write_text
from attar.hub import first_line

# losses are logged at every step up to this one, then at every tenth
_EVERY_STEP_UP_TO = 100


class Log:
    """Writes losses and validations; continues after an interruption without a double line.

    Args:
        path: the file; None writes none.
        begins: begin trackers that are told as well.
    """

    def __init__(self, path: Path | None, begins: Sequence[Begin] = ()) -> None:
        self._path = path
        self._file: IO[str] | None = None
        self._begins = begins
        self._trackers: list[Tracker] = []

    def open(self, step: int) -> None:
        """Start the file, or keep its lines up to ``step`` when a run goes on from there."""
        for begin in self._begins:
            self._trackers.append(begin(step))
        if self._path is None:
            return
        kept = []
        if step > 0:
            kept = [row for row in read_log(self._path) if row["step"] <= step]
        with self._failing():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if kept:
                # whole at every moment: a kill before the next checkpoint must not cost a line
                write_text(self._path, "".join(json.dumps(row) + "\n" for row in kept))
            self._file = self._path.open("a" if kept else "w", encoding="utf-8")

    def step(self, step: int, loss: float, seconds: float) -> None:
        """Note the loss of a step."""
        if step <= _EVERY_STEP_UP_TO or step % 10 == 0:
            self._write({"step": step, "loss": loss, "seconds": round(seconds, 3)})
        self._track({"loss": loss}, step)

    def validation(self, step: int, accuracy: float) -> None:
        """Note an accuracy on held-out images, in percent."""
        self._write({"step": step, "validation": accuracy})
        self._track({"validation accuracy": accuracy}, step)

    def finished(self, step: int, size: int) -> None:
        """Tell trackers the bytes of the set that was made."""
        self._track({"bytes": size}, step)

    def flush(self) -> None:
        """Hand everything noted so far to the system, so that a checkpoint is not ahead."""
        if self._file is not None:
            with self._failing():
                self._file.flush()

    def close(self) -> None:
        """Finish the files."""
        while self._trackers:
            tracker = self._trackers.pop()
            with self._without(tracker):
                tracker.close()
        file, self._file = self._file, None
        if file is not None:
            with self._failing():
                file.close()

    def _track(self, values: Mapping[str, float], step: int) -> None:
        for tracker in tuple(self._trackers):
            with self._without(tracker):
                tracker.scalars(values, step)

    @contextlib.contextmanager
    def _without(self, tracker: Tracker) -> Iterator[None]:
        """Go on without a tracker that fails: hours of work are worth more than their curve."""
        try:
            yield
        except Exception as error:  # of whatever a tool writes or sends with
            self._trackers = [one for one in self._trackers if one is not tracker]
            warnings.warn(
                f"{tracker.option} failed ({first_line(error)}); the run goes on without it",
                stacklevel=2,
            )

    def _write(self, row: dict[str, Any]) -> None:
        if self._file is not None:
            with self._failing():
                self._file.write(json.dumps(row) + "\n")

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RunFailed(
                f"could not write {self._path}: {error.strerror}. Free some space and run again "
                "with --resume."
            ) from error


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a log; none where it cannot be read, and no line cut off by a kill."""
    rows = []
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return rows
    for line in text.splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            break
        if isinstance(row, dict) and isinstance(row.get("step"), int):
            rows.append(row)
    return rows
