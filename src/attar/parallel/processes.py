"""Tasks done in several processes of this machine, beside each other."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as ready
from typing import IO, Any

from attar import threads
from attar.parallel.sharing import Shared, hand_on
from attar.parallel.task import Ended, Task, Tell


@dataclass
class _Worker:
    """A process, the way to it, the file that its complaints go to, and what it is doing."""

    process: subprocess.Popen[bytes]
    line: Connection
    complaints: IO[bytes]
    task: Task | None = None


class Processes:
    """Does tasks in worker processes, each with its share of the cores.

    A process is started for a task that finds none without work, so one that died is replaced,
    where it may be.

    Args:
        jobs: how many processes.
        tell: called, in `wait`, with what tasks tell of themselves.
        lock: handle that the workers keep open, so that a lock outlives this process until they
            have ended.
        devices: CUDA devices, one for each worker in turn; empty to leave that alone.
        grace: seconds that `close` leaves tasks to keep what they have done.
        count: threads of each; None for a share of the cores.
        option: that says how many processes there are, for messages.
        replacing: whether another process may do the next task of one that died without work;
            else that task is lost, as where tasks need what an earlier one left in the process.
    """

    def __init__(
        self,
        jobs: int,
        tell: Tell = lambda message: None,
        *,
        lock: int | None = None,
        devices: Sequence[str] = (),
        grace: float = 0.0,
        count: int | None = None,
        option: str = "--jobs",
        replacing: bool = True,
    ) -> None:
        self._tell = tell
        self._handles = [] if lock is None else [lock]
        self._shared: list[Shared] = []
        self._grace = grace
        self._stopping = False
        self._workers: list[_Worker | None] = [None] * jobs
        self._option = option
        self._replacing = replacing
        own = count or threads.share(jobs)
        self._environments = [environment(own, index, devices) for index in range(jobs)]

    def free(self) -> bool:
        """Tell whether a worker has nothing to do."""
        return len(self._working()) < len(self._workers)

    def share(self, value: Any) -> Any:
        """Hand a value on to the workers that are started from now on.

        Raises:
            RunFailed: there is no room for temporary files.
        """
        self._shared.append(hand_on(value))
        return self._shared[-1]

    def submit(self, task: Task) -> None:
        """Give a task to a worker that has nothing to do; one is started where needed."""
        index = next(i for i, one in enumerate(self._workers) if one is None or one.task is None)
        worker = self._workers[index]
        if self._replacing and worker is not None and worker.process.poll() is not None:
            _kill(worker)
            worker = None
        worker = worker or self._started(index)
        worker.task = task
        self._workers[index] = worker
        # a worker that is gone is noticed where its answer is waited for
        with contextlib.suppress(OSError):
            worker.line.send(task)

    def wait(self, seconds: float) -> list[Ended]:
        """Return what has ended; the end of a process is that of its task."""
        working = self._working()
        heard = ready([worker.line for worker in working], seconds)
        found = [self._heard(worker) for worker in working if worker.line in heard]
        return [ended for ended in found if ended is not None]

    def stop(self) -> None:
        """Interrupt every worker that has something to do."""
        self._stopping = True
        for worker in self._working():
            with contextlib.suppress(OSError):
                worker.process.send_signal(signal.SIGINT)

    def close(self) -> None:
        """Kill what is left after the time of grace; files are written whole, checkpoints stay."""
        self._tell = lambda message: None
        try:
            if self._grace:
                self.stop()
            end = time.monotonic() + self._grace
            while self._working() and (left := end - time.monotonic()) > 0:
                self.wait(left)
        finally:
            for worker in filter(None, self._workers):
                _kill(worker)
            for shared in self._shared:
                os.close(shared.handle)
            self._shared.clear()

    def _working(self) -> list[_Worker]:
        return [one for one in self._workers if one is not None and one.task is not None]

    def _started(self, index: int) -> _Worker:
        ours, theirs = Pipe()
        complaints = tempfile.TemporaryFile()  # noqa: SIM115
        shared = [one.handle for one in self._shared]
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", "attar.parallel.worker", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=complaints,
                stderr=complaints,
                env={**os.environ, **self._environments[index]},
                pass_fds=(theirs.fileno(), *self._handles, *shared),
                # Ctrl-C is passed on by this process, once it has stopped giving tasks
                start_new_session=True,
            )
        return _Worker(process, ours, complaints)

    def _heard(self, worker: _Worker) -> Ended | None:
        """Pass on what a worker tells, or return how its task ended."""
        assert worker.task is not None
        try:
            message = worker.line.recv()
        except (EOFError, OSError):
            return self._lost(worker, worker.task.key)
        if isinstance(message, Ended):
            worker.task = None
            return message
        self._tell(message.what)
        return None

    def _lost(self, worker: _Worker, key: str) -> Ended:
        lost = _end_of(worker, self._option)
        _kill(worker)
        self._workers[self._workers.index(worker)] = None
        return Ended(key, stopped=True) if self._stopping else Ended(key, lost=lost)


def _kill(worker: _Worker) -> None:
    # each leads a group of its own, with what compilers have started in it
    if sys.platform == "win32":
        worker.process.kill()
    else:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.process.pid, signal.SIGKILL)
    worker.process.wait()
    worker.line.close()
    worker.complaints.close()


def _end_of(worker: _Worker, option: str) -> str:
    code = worker.process.wait()
    worker.complaints.seek(0)
    return how_ended(code, worker.complaints.read().decode(errors="replace"), option)


def how_ended(code: int, complaints: str = "", option: str = "--jobs") -> str:
    """Say how a process ended that should have gone on, to be read after "its" or "a".

    Args:
        code: as `subprocess` returns it.
        complaints: what it wrote on standard error outside any task.
        option: that says how many processes there are.
    """
    if code >= 0:
        lines = complaints.strip().splitlines()
        return f"process ended with status {code}{f' ({lines[-1]})' if lines else ''}"
    name = signal.Signals(-code).name
    memory = f" (often for want of memory: fewer {option} need less)" if name == "SIGKILL" else ""
    return f"process was ended by {name}{memory}"


def environment(count: int, index: int, devices: Sequence[str]) -> dict[str, str]:
    """Return what a worker's environment has of its own: threads, and the GPU it may use."""
    own = threads.environment(count)
    if devices:
        own["CUDA_VISIBLE_DEVICES"] = devices[index % len(devices)]
    return own


def visible_devices() -> tuple[str, ...]:
    """Return the names of the CUDA devices that workers are to share; none where one is all."""
    import torch

    count = torch.cuda.device_count()
    if count < 2:
        return ()
    given = [one for one in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if one]
    return tuple(given) or tuple(map(str, range(count)))
