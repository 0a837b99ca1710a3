"""Where the work of a suite is done: in this process, or in several beside each other."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from attar import threads
from attar.benching.work import Order, Outcome, perform


class Executor(Protocol):
    """Does orders, several at once where it can."""

    def free(self) -> bool:
        """Tell whether another order would begin at once."""
        ...

    def submit(self, order: Order, log: Path) -> None:
        """Begin an order; what is printed goes to ``log``."""
        ...

    def wait(self, seconds: float) -> list[Outcome]:
        """Return what has ended, after at most so many seconds where nothing has."""
        ...

    def stop(self) -> None:
        """Ask everything in progress to end, after a checkpoint; `wait` tells when it has."""
        ...

    def close(self) -> None:
        """End whatever is left, at once."""
        ...


class InProcess:
    """Does one order after the other in this process: slower, and simple to follow."""

    def __init__(self) -> None:
        self._ended: list[Outcome] = []

    def free(self) -> bool:
        """Tell whether nothing is waiting to be told."""
        return not self._ended

    def submit(self, order: Order, log: Path) -> None:
        """Do an order, to its end."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with (
            log.open("a", encoding="utf-8") as file,
            contextlib.redirect_stdout(file),
            contextlib.redirect_stderr(file),
        ):
            self._ended.append(perform(order))

    def wait(self, seconds: float) -> list[Outcome]:
        """Return what has ended."""
        ended, self._ended = self._ended, []
        return ended

    def stop(self) -> None:
        """Do nothing: what is in progress sees the signal itself."""

    def close(self) -> None:
        """Do nothing: there is nothing left."""


@dataclass
class _Worker:
    """A process and what it is doing."""

    process: subprocess.Popen[str]
    order: Order | None = None
    answers: queue.Queue[str | None] = field(default_factory=queue.Queue)


class Processes:
    """Does orders in worker processes, each with its share of the cores.

    Args:
        jobs: how many processes.
        lock: handle that the workers keep open, so that a lock outlives this process until they
            have ended.
        devices: CUDA devices, one for each worker in turn; empty to leave that alone.
    """

    def __init__(self, jobs: int, lock: int | None = None, devices: tuple[str, ...] = ()) -> None:
        self._lock = lock
        self._changed = threading.Event()
        self._stopping = False
        self._ended: list[Outcome] = []
        self._workers: list[_Worker | None] = [None] * jobs
        own = threads.share(jobs)
        self._environments = [environment(own, index, devices) for index in range(jobs)]

    def free(self) -> bool:
        """Tell whether a worker has nothing to do."""
        return any(worker is None or worker.order is None for worker in self._workers)

    def submit(self, order: Order, log: Path) -> None:
        """Give an order to a worker that has nothing to do; one is started where needed."""
        index = next(
            index
            for index, worker in enumerate(self._workers)
            if worker is None or worker.order is None
        )
        worker = self._workers[index]
        if worker is None or worker.process.poll() is not None:
            worker = self._workers[index] = self._started(index)
        worker.order = order
        line = json.dumps({"order": order.as_dict(), "log": str(log)})
        assert worker.process.stdin is not None
        # a worker that is gone is noticed where its answer is waited for
        with contextlib.suppress(OSError):
            worker.process.stdin.write(line + "\n")
            worker.process.stdin.flush()

    def wait(self, seconds: float) -> list[Outcome]:
        """Return what has ended; the end of a process counts as the failure of its work."""
        self._changed.wait(seconds)
        self._changed.clear()
        ended = []
        for index, worker in enumerate(self._workers):
            if worker is None or worker.order is None:
                continue
            with contextlib.suppress(queue.Empty):
                answer = worker.answers.get_nowait()
                ended.append(self._outcome(worker, answer))
                worker.order = None
                if answer is None:
                    self._workers[index] = None
        return ended

    def stop(self) -> None:
        """Interrupt every worker that has something to do."""
        self._stopping = True
        for worker in self._workers:
            if worker is not None and worker.order is not None:
                with contextlib.suppress(OSError):
                    worker.process.send_signal(signal.SIGINT)

    def close(self) -> None:
        """Kill what is left; files are written whole, and checkpoints stay."""
        for worker in filter(None, self._workers):
            # each leads a group of its own, with what compilers have started in it
            with contextlib.suppress(ProcessLookupError):
                os.killpg(worker.process.pid, signal.SIGKILL)
            worker.process.wait()
            for stream in (worker.process.stdin, worker.process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()

    def _started(self, index: int) -> _Worker:
        process = subprocess.Popen(
            [sys.executable, "-m", "attar.benching.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env={**os.environ, **self._environments[index]},
            pass_fds=() if self._lock is None else (self._lock,),
            # Ctrl-C is passed on by this process, once it has stopped giving orders
            start_new_session=True,
        )
        worker = _Worker(process)
        threading.Thread(target=self._listen, args=(worker,), daemon=True).start()
        return worker

    def _listen(self, worker: _Worker) -> None:
        assert worker.process.stdout is not None
        with contextlib.suppress(ValueError, OSError):
            for line in worker.process.stdout:
                worker.answers.put(line)
                self._changed.set()
        worker.answers.put(None)
        self._changed.set()

    def _outcome(self, worker: _Worker, answer: str | None) -> Outcome:
        assert worker.order is not None
        if answer is not None:
            return Outcome(**json.loads(answer))
        code = worker.process.wait()
        if self._stopping:
            return Outcome(worker.order.work.key, "stopped", 0.0)
        return Outcome(worker.order.work.key, "failed", 0.0, ended(code))


def ended(code: int) -> str:
    """Say how a process ended that should have gone on."""
    if code >= 0:
        return f"its process ended with status {code}"
    name = signal.Signals(-code).name
    memory = " (often for want of memory: fewer --jobs need less)" if name == "SIGKILL" else ""
    return f"its process was ended by {name}{memory}"


def environment(count: int, index: int, devices: tuple[str, ...]) -> dict[str, str]:
    """Return what a worker's environment has of its own: threads, and the GPU it may use."""
    own = threads.environment(count)
    if devices:
        own["CUDA_VISIBLE_DEVICES"] = devices[index % len(devices)]
    return own
