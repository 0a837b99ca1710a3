"""Where tasks are done: the interface, and the simplest case, this process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from attar.parallel.task import Ended, Task, Tell, attempt


class Executor(Protocol):
    """Does tasks, several at once where it can."""

    def free(self) -> bool:
        """Tell whether another task would begin at once."""
        ...

    def share(self, value: Any) -> Any:
        """Return what stands for a large value among the arguments of tasks."""
        ...

    def submit(self, task: Task) -> None:
        """Begin a task."""
        ...

    def wait(self, seconds: float) -> list[Ended]:
        """Return what has ended, after at most so many seconds where nothing has."""
        ...

    def stop(self) -> None:
        """Ask everything in progress to end, after a checkpoint; `wait` tells when it has."""
        ...

    def close(self) -> None:
        """End whatever is left, at once."""
        ...


class Here:
    """Does one task after the other in this process: slower, and simple to follow.

    Args:
        tell: what tasks call to tell of themselves.
    """

    def __init__(self, tell: Tell = lambda message: None) -> None:
        self._tell = tell
        self._ended: list[Ended] = []

    def free(self) -> bool:
        """Tell whether nothing is waiting to be told."""
        return not self._ended

    def share(self, value: Any) -> Any:
        """Return the value."""
        return value

    def submit(self, task: Task) -> None:
        """Do a task, to its end."""

        def call() -> Any:
            with printed_to(task.log):
                return task.function(*task.arguments, self._tell)

        self._ended.append(attempt(task.key, call))

    def wait(self, seconds: float) -> list[Ended]:
        """Return what has ended."""
        ended, self._ended = self._ended, []
        return ended

    def stop(self) -> None:
        """Do nothing: what is in progress sees the signal itself."""

    def close(self) -> None:
        """Do nothing: there is nothing left."""


@contextlib.contextmanager
def printed_to(log: Path | None) -> Iterator[None]:
    """Add what Python prints in the block to a file, if one is given."""
    if log is None:
        yield
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("a", encoding="utf-8") as file,
        contextlib.redirect_stdout(file),
        contextlib.redirect_stderr(file),
    ):
        yield
