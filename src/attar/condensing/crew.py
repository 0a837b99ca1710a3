"""The workers of a run, which are asked all at once and waited for together."""

from __future__ import annotations

import contextlib
import math
import pickle
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from attar.condensing.plan import Plan
from attar.condensing.shares import Share, shares_of
from attar.condensing.worker import Order, answer, begin, order_of
from attar.data import LabelledImages
from attar.errors import BadRequest, RunFailed
from attar.parallel import Ended, Processes, Task, visible_devices
from attar.parallel.peers import SILENT

POLL_SECONDS = 60.0
# after a failure that says why: for others to say the same
_BRIEF_SECONDS = 1.0
# after one that only says that another does not answer: for that one
_GRACE_SECONDS = 10.0


class Lost(RunFailed):
    """A worker is gone, and with it what it had done since it was last asked for it."""


class Patience:
    """For how long workers are waited for: without end, until one fails.

    Those that share a step wait for one that failed, which nobody else needs to.
    """

    def __init__(self) -> None:
        self._end = math.inf

    def hear(self, ended: Ended) -> None:
        """Take notice of what a worker came to."""
        if ended.failure:
            seconds = _GRACE_SECONDS if SILENT in ended.failure else _BRIEF_SECONDS
            self._end = min(self._end, time.monotonic() + seconds)

    def left(self) -> float:
        """Return for how many seconds the others are waited for; none where it is 0."""
        return max(0.0, self._end - time.monotonic())


class Crew(Protocol):
    """Workers, each with a `attar.condensing.worker.Hand` for its share of the run."""

    @property
    def shares(self) -> Sequence[Share]:
        """What each does."""
        ...

    @property
    def inside(self) -> bool:
        """Whether this process is one of them."""
        ...

    def ask(self, what: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Return what each worker answers.

        Args:
            what: a method of `Hand`.
            arguments: of it, for each worker.

        Raises:
            Lost: a worker is gone.
            BadRequest, RunFailed: what a worker raised.
        """
        ...


# a method of `Hand`, with its arguments
Call = tuple[str, tuple[Any, ...]]


class Replacing:
    """A crew that puts others in the place of workers that are lost.

    ``since`` returns the calls that bring a new worker, by the number of its share from 0, to where
    the run is; the run says so.
    """

    since: Callable[[int], list[Call]] = staticmethod(lambda number: [])


@contextlib.contextmanager
def hired(plan: Plan) -> Iterator[Crew | None]:
    """Start the processes that a request asks for, and end them with the block.

    Raises:
        BadRequest: the run cannot be shared out, or is made of parts that other processes do not
            find.
    """
    count = plan.request.workers
    if count == 1:
        yield None
        return
    data = plan.train.to(torch.device("cpu"))
    with contextlib.closing(_OwnProcesses(shares_of(plan, count), order_of(plan), data)) as crew:
        yield crew


class _OwnProcesses:
    """Workers that are processes of this machine, one GPU each where there are any.

    Args:
        shares: what each does.
        order: of the run.
        data: the real images, on the CPU.
    """

    inside = False

    def __init__(self, shares: Sequence[Share], order: Order, data: LabelledImages) -> None:
        self.shares = shares
        any_gpu = str(order.compute.device) == "cuda"
        self._room = Processes(
            len(shares),
            devices=visible_devices() if any_gpu else (),
            count=order.threads,
            option="--workers",
            # each keeps its share of the run
            replacing=False,
        )
        self._asked: set[str] = set()
        self._folder = tempfile.TemporaryDirectory(prefix="attar-")
        try:
            there = self._room.share(order), self._room.share(data)
            tasks = [(*there, share, Path(self._folder.name) / "meeting") for share in shares]
            self._done([Task(str(s), begin, own) for s, own in zip(shares, tasks, strict=True)])
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            self.close()
            raise _unknown(str(error)) from error
        except BaseException:
            self.close()
            raise

    def ask(self, what: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Return what each worker answers."""
        return self._done(
            [
                Task(str(share), answer, (what, *own))
                for share, own in zip(self.shares, arguments, strict=True)
            ]
        )

    def close(self) -> None:
        """End all of them."""
        self._room.close()
        self._folder.cleanup()

    def _done(self, tasks: Sequence[Task]) -> list[Any]:
        # an answer that nobody waited for, since a measurement was left
        while self._asked:
            self._heard(POLL_SECONDS)
        for task in tasks:
            # all are free, so that each task goes to the same worker
            self._room.submit(task)
            self._asked.add(task.key)
        found: dict[str, Ended] = {}
        patience = Patience()
        while self._asked and (left := patience.left()):
            heard = self._heard(min(left, POLL_SECONDS))
            found |= heard
            for ended in heard.values():
                _raise_lost(ended)
                patience.hear(ended)
        for ended in causes_first(found.values()):
            _raise(ended)
        return [found[task.key].value for task in tasks]

    def _heard(self, seconds: float) -> dict[str, Ended]:
        found = {}
        for ended in self._room.wait(seconds):
            self._asked.discard(ended.key)
            found[ended.key] = ended
        return found


def causes_first(ended: Iterable[Ended]) -> list[Ended]:
    """Return what workers came to, last those that only say that another does not answer."""
    return sorted(ended, key=lambda one: SILENT in one.failure)


def _raise_lost(ended: Ended) -> None:
    if ended.lost:
        raise Lost(f"{ended.key} was lost: its {ended.lost}.")


def _raise(ended: Ended) -> None:
    if ended.not_found:
        raise _unknown(ended.failure)
    ended.raise_failure()


def _unknown(why: str) -> BadRequest:
    return BadRequest(
        f"--workers: other processes do not find a part of this run ({why}); a method, an "
        "objective, a form or a network of your own must be a name in a module that they can import"
    )
