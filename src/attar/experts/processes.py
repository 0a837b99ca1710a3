"""Several processes of this machine that share the training of experts."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Sequence
from typing import Any

from attar.errors import RunFailed
from attar.experts.groups import train_here
from attar.experts.telling import ExpertCallback
from attar.experts.work import Work
from attar.parallel import Processes, Task, Tell, visible_devices

# how long a process may take to keep what it has done, once it is asked to end
_GRACE_SECONDS = 30.0
_POLL_SECONDS = 60.0


def train_in_processes(work: Work, jobs: int, callback: ExpertCallback) -> None:
    """Train what is missing in processes; each takes groups that nobody else trains.

    A process that dies leaves its group to the others.

    Args:
        work: what is to be trained.
        jobs: how many processes.
        callback: told what all of them tell.

    Raises:
        RunFailed: a training diverged, or all processes died.
    """

    def tell(message: tuple[str, list[Any]]) -> None:
        name, values = message
        getattr(callback, name)(*values)

    devices = visible_devices() if work.device in ("auto", "cuda") else ()
    executor = Processes(jobs, tell, devices=devices, grace=_GRACE_SECONDS)
    lost: list[str] = []
    with contextlib.closing(executor):
        shared = executor.share(work)
        running = {f"process {number}" for number in range(jobs)}
        for key in running:
            executor.submit(Task(key, _train, (shared,)))
        while running:
            for ended in executor.wait(_POLL_SECONDS):
                ended.raise_failure()
                running.remove(ended.key)
                if ended.lost or ended.stopped:
                    lost.append(f"a {ended.lost or 'process was asked to end'}")
    if work.missing():
        raise RunFailed(
            f"{'; '.join(lost)}. {work.count - len(work.missing())} of {work.count} "
            f"experts are in {work.folder}; the same command goes on."
        )
    for one in lost:
        warnings.warn(f"{one}; the others did its work", stacklevel=2)


class _Telling(ExpertCallback):
    """Tells the process that started this one."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    def passed(self, experts: Sequence[int], epochs: int) -> None:
        """Tell of an epoch."""
        self._tell(("passed", [list(experts), epochs]))

    def made(self, expert: int, accuracy: float) -> None:
        """Tell of an expert."""
        self._tell(("made", [expert, accuracy]))


def _train(work: Work, tell: Tell) -> None:
    """Train in a process of its own."""
    train_here(work, _Telling(tell))
