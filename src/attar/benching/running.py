"""`attar bench`: a suite from its file to its tables, resumed where it stopped."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from attar.benching.cells import Making, Measuring, Work
from attar.benching.folder import Folder
from attar.benching.making import Slimming
from attar.benching.work import Order, Outcome, do_order, outcome_of
from attar.errors import AttarError
from attar.evaluation.record import keep
from attar.parallel import Executor, Task

# how long work that was asked to end may take to write its checkpoint
_STOP_SECONDS = 90.0
_POLL_SECONDS = 0.5


@dataclass
class Progress:
    """How far a suite is.

    Args:
        total: pieces of work in all.
        done: pieces that need no more.
        kept: of these, those that were done before.
        failures: what went wrong, by key.
        stopped: why the suite ended before its end; empty where it did not.
    """

    total: int
    done: int = 0
    kept: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    stopped: str = ""

    @property
    def left(self) -> int:
        """Pieces of work not done."""
        return self.total - self.done


Told = Callable[[Progress, Work, Outcome], None]


class Stop:
    """Why a suite should end, once there is a reason.

    Args:
        seconds: allowance; None for none.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self.why = ""
        self._allowance = seconds
        self._end = None if seconds is None else time.monotonic() + seconds

    def asked(self) -> bool:
        """Tell whether the suite should end."""
        if not self.why and self._end is not None and time.monotonic() >= self._end:
            self.why = "the allowance of --max-minutes is used up"
        return bool(self.why)

    @contextlib.contextmanager
    def listening(self, in_process: bool) -> Iterator[None]:
        """Take Ctrl-C and a request to terminate as reasons to end; twice ends at once.

        Args:
            in_process: whether work goes on in this process, which then sees an interrupt.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def terminate(number: int, frame: FrameType | None) -> None:
            self._note(number, frame)
            self._interrupt()

        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        # a job started in the background ignores Ctrl-C, which is meant for others
        if before[signal.SIGINT] is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._note)
        signal.signal(signal.SIGTERM, terminate if in_process else self._note)
        alarm = threading.Timer(self._allowance or 0.0, self._time_is_up)
        if in_process and self._allowance is not None:
            alarm.daemon = True
            alarm.start()
        try:
            yield
        finally:
            alarm.cancel()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.why:
            raise KeyboardInterrupt
        self.why = f"{signal.Signals(number).name} was received"

    def _interrupt(self) -> None:
        """Interrupt work in this process; between two pieces nobody but us listens."""
        if signal.getsignal(signal.SIGINT) != self._note:
            signal.raise_signal(signal.SIGINT)

    def _time_is_up(self) -> None:
        self.asked()
        self._interrupt()


class Runner:
    """Does what is left of a suite's work, as much at once as the executor takes.

    Args:
        folder: of the suite.
        makings: all sets.
        measurings: all evaluations.
        data_dir: where named datasets lie.
        checkpoint_seconds: the longest time between two checkpoints of a set.
    """

    def __init__(
        self,
        folder: Folder,
        makings: Sequence[Making],
        measurings: Sequence[Measuring],
        data_dir: Path | None = None,
        checkpoint_seconds: float = 60.0,
    ) -> None:
        self._folder = folder
        # called after each piece of work
        self.told: Told = lambda progress, work, outcome: None
        # what the data of a dataset call themselves, once they were read
        self.names: Mapping[str, str] = {}
        self._data_dir = data_dir
        self._checkpoint_seconds = checkpoint_seconds
        self.progress = Progress(len(makings) + len(measurings))
        self._made = {one.key for one in makings if folder.is_made(one)}
        kept = [one for one in measurings if folder.is_measured(one)]
        self.progress.done = self.progress.kept = len(self._made) + len(kept)
        measured = {one.key for one in kept}
        self._sets = [one for one in makings if one.key not in self._made]
        # what can be measured is measured before another set is made, so that tables fill early
        self._networks = [one for one in measurings if one.key not in measured]

    @property
    def waiting(self) -> list[Work]:
        """What is left to be given out."""
        return [*self._sets, *self._networks]

    def run(self, executor: Executor, stop: Stop) -> Progress:
        """Do everything that is left, or until asked to stop."""
        running: dict[str, Work] = {}
        asked: float | None = None
        while True:
            if asked is None:
                self._give(executor, running, stop)
            if not running:
                break
            if stop.asked() and asked is None:
                asked = time.monotonic()
                executor.stop()
            if asked is not None and time.monotonic() - asked > _STOP_SECONDS:
                break
            for ended in executor.wait(_POLL_SECONDS):
                self._ended(running.pop(ended.key), outcome_of(ended), stop)
        if self.progress.left and stop.asked():
            self.progress.stopped = stop.why
        return self.progress

    def _give(self, executor: Executor, running: dict[str, Work], stop: Stop) -> None:
        while executor.free() and not stop.asked():
            work = self._next()
            if work is None:
                return
            running[work.key] = work
            making = work if isinstance(work, Making) else work.making
            order = Order(
                work,
                self._folder.root,
                self._data_dir,
                self._checkpoint_seconds,
                self.names.get(making.dataset, ""),
            )
            log = self._folder.log_path(work)
            executor.submit(Task(work.key, do_order, (order,), log))

    def _next(self) -> Work | None:
        for index, measuring in enumerate(self._networks):
            if measuring.making.key in self._made:
                return self._networks.pop(index)
        for index, making in enumerate(self._sets):
            if not isinstance(making, Slimming) or making.before.key in self._made:
                return self._sets.pop(index)
        return None

    def _ended(self, work: Work, outcome: Outcome, stop: Stop) -> None:
        if outcome.status == "done":
            self.progress.done += 1
            if isinstance(work, Making):
                self._made.add(work.key)
            else:
                self._keep(work)
        elif outcome.status == "failed":
            self._fail(work, outcome)
            return
        elif not stop.asked():
            # work in this process has seen the interrupt in place of `stop`
            stop.why = "it was interrupted"
        self.told(self.progress, work, outcome)

    def _fail(self, work: Work, outcome: Outcome) -> None:
        """Note a failure, and that of every set that would be made from what failed."""
        self.progress.failures[work.key] = outcome.message
        self.told(self.progress, work, outcome)
        for one in list(self._sets):
            if isinstance(one, Slimming) and one.before.key == work.key:
                self._sets.remove(one)
                message = f"not tried: it is made from {work.words}, which failed"
                log = self._folder.log_path(one)
                log.parent.mkdir(parents=True, exist_ok=True)
                with log.open("a", encoding="utf-8") as file:
                    file.write(f"{message}\n")
                self._fail(one, Outcome(one.key, "failed", 0.0, message))

    def _keep(self, measuring: Measuring) -> None:
        """Keep accuracies beside their set too, where `attar report` finds them."""
        found = self._folder.result(measuring)
        if found is None or measuring.whole:
            return
        # the tables do not need it, so a file that is in the way stops nothing
        with contextlib.suppress(AttarError):
            keep(self._folder.set_path(measuring.making), found.sha256, found.evaluation)
