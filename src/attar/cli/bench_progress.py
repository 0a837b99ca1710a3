"""How a suite goes, on standard error: one line for each piece of work."""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console

from attar.benching.cells import Making, Work
from attar.benching.pricing import Price
from attar.benching.running import Progress
from attar.benching.session import BenchCallback
from attar.benching.sizes import Sized
from attar.benching.work import Outcome
from attar.cli.clock import CLOCK
from attar.text import duration


class Lines(BenchCallback):
    """Prints what has ended, how long it took, and about how long the rest will take."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()

    def checking(self) -> None:
        """Say that data are read."""
        self._say("checking every cell against its data")

    def began(self, sized: Sized, folder: Path, progress: Progress, jobs: str) -> None:
        """Say what will be done, and what the size shrinks."""
        self._began = time.monotonic()
        size = f", size {sized.size}" if sized.size else ""
        kept = f", {progress.kept} of them done before" if progress.kept else ""
        self._say(f"{sized.suite.name}{size}: {progress.total} pieces of work{kept}; {jobs}")
        self._say(f"folder: {folder}")
        for line in sized.shrinks:
            self._say(f"shrunk: {line}")

    def priced(self, price: Price, jobs: int) -> None:
        """Say how long all of it takes."""
        more = f", without {price.unknown} pieces that are not known yet" if price.unknown else ""
        seconds = CLOCK.seconds() + price.at_once(jobs)
        self._say(f"estimate: about {duration(seconds)} in all{more}")

    def ended(self, progress: Progress, work: Work, outcome: Outcome, log: Path) -> None:
        """Say how a piece of work ended."""
        what = f"{'made' if isinstance(work, Making) else 'evaluated'} {work.words}"
        here = f"[{progress.done}/{progress.total}]"
        if outcome.status == "done":
            self._say(f"{here} {what} in {duration(outcome.seconds)}{self._left(progress)}")
        elif outcome.status == "failed":
            first = outcome.message.partition("\n")[0]
            self._say(f"{here} FAILED {work.words}: {first} (log: {log})")
        else:
            self._say(f"{here} stopped {work.words}")

    def _left(self, progress: Progress) -> str:
        """Return about how long the rest takes, at the speed so far."""
        fresh = progress.done - progress.kept
        if fresh < 2 or not progress.left:
            return ""
        each = (time.monotonic() - self._began) / fresh
        return f", about {duration(each * progress.left)} left"

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)
