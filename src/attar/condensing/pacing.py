"""How far a run is: by its updates, or by the wall clock of the whole command."""

from __future__ import annotations

import time
from collections.abc import Callable

# of the time that a run may take, at most so much is spent on validations
VALIDATING = 0.1
# what is left to write the artefact and to end: seconds, a share of the time, and the most of it
_WRITING, _WRITING_SHARE, _MOST = 1.0, 0.02, 0.1
# how many times as long as the longest so far a last validation may take
_MARGIN = 1.5


class Pace:
    """How far a run is, from 0 to 1.

    Args:
        iterations: updates in all, which count where ``minutes`` is None.
        minutes: of the whole command, reading, compiling, validating and writing included.
        began: when the command began, by ``clock``; None for now.
        clock: tells seconds.
    """

    def __init__(
        self,
        iterations: int,
        minutes: float | None,
        began: float | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.limit = None if minutes is None else 60 * minutes
        # seconds that were gone when the updates began
        self.opened = 0.0
        self._iterations = iterations
        self._clock = clock
        self._began = clock() if began is None else began
        self._earlier = 0.0
        self._share = self._validation = 0.0

    def here(self) -> float:
        """Return the seconds since this command began."""
        return self._clock() - self._began

    def seconds(self) -> float:
        """Return the seconds of the run so far, those of earlier commands included."""
        return self._earlier + self.here()

    def resume(self, earlier: float, opened: float) -> None:
        """Go on where earlier commands came to."""
        self._earlier, self.opened = earlier, opened

    def open(self) -> None:
        """Note that the updates begin."""
        self.opened = self.seconds()

    def validates(self, seconds: float) -> None:
        """Note what a validation takes, so that there is room for the last one."""
        self._validation = max(self._validation, seconds)

    def share(self, step: int) -> float:
        """Return how much of the run is done after so many updates."""
        if self.limit is not None:
            return self._share
        return 1.0 if self._iterations == 0 else min(1.0, step / self._iterations)

    def passed(self, step: int, took: float) -> None:
        """Look at the clock, after updates of which the last one took so many seconds.

        The run is done where another one would go past the time that it has. It makes one at
        least.
        """
        if self.limit is None:
            return
        now, end = self.seconds(), self.limit - self._left_over()
        if step and now + took > end:
            self._share = 1.0
        elif now < end:
            self._share = max(self._share, (now - self.opened) / (end - self.opened))

    def _left_over(self) -> float:
        assert self.limit is not None
        writing = min(_WRITING + _WRITING_SHARE * self.limit, _MOST * self.limit)
        return _MARGIN * self._validation + writing
