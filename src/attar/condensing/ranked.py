"""The ranks that a launcher has started, as the workers of a run.

Each reads the same data by the same command. Rank 0 plans, asks, validates and writes, and does a
share of the classes itself; the others answer it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import queue
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

import attar
from attar.artefact.fingerprint import fingerprint
from attar.condensing.crew import POLL_SECONDS, Lost, Patience, causes_first
from attar.condensing.plan import Plan
from attar.condensing.shares import Share, shares_of
from attar.condensing.worker import Hand, Order, order_of
from attar.errors import BadRequest, RunFailed
from attar.experts.store import ExpertStore
from attar.parallel import Ended, attempt
from attar.parallel.peers import ALONE
from attar.parallel.ranks import Facts, Gone, Meeting, Rank

_BEGIN = "begin"


@contextlib.contextmanager
def meeting(rank: Rank) -> Iterator[Meeting]:
    """Wait for all ranks, and take leave of them after a block that ends well.

    They notice the end of a process that does not.

    Raises:
        BadRequest: the port of the meeting is in use.
        RunFailed: not all came in time.
    """
    versions = {"attar": attar.__version__, "torch": torch.__version__}
    found = Meeting(rank, versions)
    yield found
    if rank.leads:
        for number in range(1, rank.count):
            # the run is done, whoever is there
            with contextlib.suppress(Gone):
                found.send(number, None)
    found.close()


class Ranks:
    """A crew of ranks, of which this process is the first.

    Args:
        there: all of them.
        plan: of the run, which asks for as many workers as there are ranks.

    Raises:
        BadRequest: the run cannot be shared out; a rank has another version of Attar or of torch,
            sees other data, or has no such device.
        Lost: a rank is gone.
    """

    inside = True

    def __init__(self, there: Meeting, plan: Plan) -> None:
        count = there.rank.count
        refuse_mixed([(there.name(number), there.facts[number]) for number in range(count)])
        self.shares = shares_of(plan, count, f"torchrun with {count} ranks")
        self._there = there
        self._aside = _Aside()
        # one for each rank, since one that fails is heard while others wait for it in an exchange
        self._lines = [_Aside() for _ in self.shares]
        # what a call came to that not all have answered: some still wait, and hear no other one
        self._broken: list[Ended] = []
        order, digest = order_of(plan), fingerprint(plan.train)
        tasks = [(order, digest, share) for share in self.shares]
        begun = self._aside(
            lambda: self._asked(_BEGIN, tasks, lambda: _hand(there, order, plan, self.shares[0]))
        )
        self._raise_failure(begun)
        self._hand: Hand = begun[0].value

    def ask(self, what: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Return what each rank answers."""
        found = self._aside(
            lambda: self._asked(what, arguments, lambda: getattr(self._hand, what)(*arguments[0]))
        )
        self._raise_failure(found)
        return [ended.value for ended in found]

    def _raise_failure(self, found: Sequence[Ended]) -> None:
        for ended in causes_first(found):
            ended.raise_failure()

    def _asked(
        self, what: str, arguments: Sequence[tuple[Any, ...]], own: Callable[[], Any]
    ) -> list[Ended]:
        """Return how the call of each rank ended; where one failed, of those that were heard."""
        if self._broken:
            return self._broken
        answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for number, line in enumerate(self._lines):
            call = functools.partial(self._answer, number, what, arguments[number])
            line.begin(call if number else functools.partial(attempt, what, own), answers, number)
        found: dict[int, Ended] = {}
        patience = Patience()
        while len(found) < len(self._lines):
            try:
                number, ended, error = answers.get(timeout=min(patience.left(), POLL_SECONDS))
            except queue.Empty:
                if patience.left():
                    continue
                self._broken = list(found.values())
                break
            if error is not None:
                raise error
            found[number] = ended
            patience.hear(ended)
        return [found[number] for number in sorted(found)]

    def _answer(self, number: int, what: str, arguments: tuple[Any, ...]) -> Ended:
        """Return how the call of another rank ended, with its name where it failed."""
        with self._named(number):
            self._there.send(number, (what, arguments))
            ended: Ended = self._there.receive(number)
        if not ended.failure:
            return ended
        return dataclasses.replace(ended, failure=f"{self._there.name(number)}: {ended.failure}")

    @contextlib.contextmanager
    def _named(self, number: int) -> Iterator[None]:
        try:
            yield
        except Gone as error:
            own = f"{self._there.name(number)} ({self.shares[number].what})"
            raise Lost(f"{own} was lost: {error.text}.") from error


def refuse_mixed(ranks: Sequence[tuple[str, Facts]]) -> None:
    """Refuse ranks of different versions.

    Args:
        ranks: name and facts of each, the first of that which leads.

    Raises:
        BadRequest: one differs from the first.
    """
    (first, lead), *others = ranks
    for name, facts in others:
        for (what, wanted), (_, found) in zip(lead.versions, facts.versions, strict=True):
            if found != wanted:
                raise BadRequest(
                    f"{name} has {what} {found} and {first} has {wanted}, so their results would "
                    f"differ; install the same {what} on all machines"
                )


class _Aside:
    """Does calls one after the other in a thread, each to its end.

    A signal that makes the process leave a call thus leaves no message half heard.
    """

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Any] = queue.SimpleQueue()
        # a daemon, so that a rank which says nothing does not keep the process from ending
        threading.Thread(target=self._work, daemon=True).start()

    def __call__(self, function: Callable[[], Any]) -> Any:
        """Return what a call returns, or raise what it raises."""
        answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.begin(function, answers)
        _, value, error = answers.get()
        if error is not None:
            raise error
        return value

    def begin(
        self, function: Callable[[], Any], answers: queue.SimpleQueue[Any], key: int = 0
    ) -> None:
        """Put what a call comes to into ``answers``: the key, what it returns, what it raises."""
        self._calls.put((function, answers, key))

    def _work(self) -> None:
        while True:
            function, answers, key = self._calls.get()
            try:
                answers.put((key, function(), None))
            except BaseException as error:
                answers.put((key, None, error))


def follow(there: Meeting, planned: Callable[[], Plan]) -> None:
    """Do what rank 0 asks for, until it takes leave.

    Args:
        there: all ranks.
        planned: reads the data, and returns a plan whose training images are those of the run.

    Raises:
        RunFailed: rank 0 ended before that.
    """
    read = attempt("read", planned)
    hand: Any = None
    with _deaf():
        while (asked := _asked_by_first(there)) is not None:
            what, arguments = asked
            if what == _BEGIN:
                ended = attempt(what, functools.partial(_begin, there, read, *arguments))
                hand, ended = ended.value, dataclasses.replace(ended, value=None)
            else:
                ended = attempt(what, functools.partial(getattr(hand, what), *arguments))
            with contextlib.suppress(Gone):
                there.send(0, ended)


def _asked_by_first(there: Meeting) -> Any:
    try:
        return there.receive(0)
    except Gone as error:
        raise RunFailed(
            f"{there.rank}: rank 0 ended before the run did, and says why; this one ends with it"
        ) from error


def _begin(there: Meeting, read: Ended, order: Order, digest: str, share: Share) -> Hand:
    read.raise_failure()
    plan: Plan = read.value
    own = fingerprint(plan.train)
    if own != digest:
        raise BadRequest(
            f"it sees other images or labels ({own[:8]}) than rank 0 ({digest[:8]}); give all "
            "ranks the same source and options, and the same files where they lie on each machine"
        )
    wanted, found = order.compute.device.type, plan.compute.device.type
    if wanted != found:
        raise BadRequest(
            f"it computes on {found} and rank 0 on {wanted}, which round otherwise; give --device "
            "cpu, or a GPU to each"
        )
    return _hand(there, dataclasses.replace(order, experts=_experts(order, plan)), plan, share)


def _experts(order: Order, plan: Plan) -> ExpertStore | None:
    """Return the experts of the run as they lie on this machine."""
    wanted, found = order.experts, plan.experts
    if wanted is not None and found is not None and wanted.digest != found.digest:
        raise BadRequest(
            f"--experts {found.folder}: these are others than those of rank 0, or not as many; "
            "give all ranks the same, and wait until 'attar experts' is done"
        )
    return found


def _hand(there: Meeting, order: Order, plan: Plan, share: Share) -> Hand:
    peers = there.peers() if share.labels is None else ALONE
    return Hand(order, plan.train, share.labels, peers)


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """Take no notice of Ctrl-C and SIGTERM, which go to all ranks: the first one ends the run."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    if threading.current_thread() is not threading.main_thread():
        numbers = ()
    before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
