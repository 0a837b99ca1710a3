"""When the command began: with the process, so that imports count."""

from __future__ import annotations

import time


class Clock:
    """The seconds of one command after another; a process has one, tests have several."""

    def __init__(self) -> None:
        # imported before anything that takes time
        self._next: float | None = time.perf_counter()
        self.began = self._next

    def start(self) -> None:
        """Note that a command begins; the first one of a process began with it."""
        self.began = time.perf_counter() if self._next is None else self._next
        self._next = None

    def seconds(self) -> float:
        """Return the seconds since the command began."""
        return time.perf_counter() - self.began


CLOCK = Clock()
