"""The machine-readable log beside an artefact: one JSON object per line."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from attar.errors import BadRequest, RunFailed
from attar.files import write_text

# losses are logged at every step up to this one, then at every tenth
_EVERY_STEP_UP_TO = 100


class Log:
    """Writes losses and validations; continues after an interruption without a double line.

    Args:
        path: the file; None writes none.
        tensorboard: folder for event files as well.

    Raises:
        BadRequest: TensorBoard is asked for and not installed.
    """

    def __init__(self, path: Path | None, tensorboard: Path | None = None) -> None:
        self._path = path
        self._file: IO[str] | None = None
        self._events: Any = None
        self._start_events: Callable[[int], Any] | None = None
        if tensorboard is not None:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                raise BadRequest(
                    "--tensorboard needs the extra: pip install 'attar[tensorboard]'"
                ) from None
            try:
                tensorboard.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise BadRequest(f"--tensorboard {tensorboard}: {error.strerror}") from error
            # events of steps that a resumed run repeats are taken back
            self._start_events = lambda step: SummaryWriter(str(tensorboard), purge_step=step + 1)

    def open(self, step: int) -> None:
        """Start the file, or keep its lines up to ``step`` when a run goes on from there."""
        if self._start_events is not None:
            self._events = self._start_events(step)
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
        if self._events is not None:
            self._events.add_scalar("loss", loss, step)

    def validation(self, step: int, accuracy: float) -> None:
        """Note an accuracy on held-out images, in percent."""
        self._write({"step": step, "validation": accuracy})
        if self._events is not None:
            self._events.add_scalar("validation accuracy", accuracy, step)

    def flush(self) -> None:
        """Hand everything noted so far to the system, so that a checkpoint is not ahead."""
        if self._file is not None:
            with self._failing():
                self._file.flush()

    def close(self) -> None:
        """Finish the files."""
        if self._events is not None:
            self._events.close()
        file, self._file = self._file, None
        if file is not None:
            with self._failing():
                file.close()

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
