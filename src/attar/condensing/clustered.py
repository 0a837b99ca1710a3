"""Workers of a run on a Ray cluster (needs the extra ``ray``)."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import warnings
from collections.abc import Sequence
from typing import Any

import torch

from attar.condensing.crew import Call, Lost, Replacing
from attar.condensing.plan import Plan
from attar.condensing.shares import Share, shares_of
from attar.condensing.worker import Hand, Order, order_of
from attar.data import LabelledImages
from attar.data.rows import in_memory
from attar.errors import BadRequest
from attar.memory import keep_memory
from attar.parallel import Ended, attempt
from attar.parallel.cluster import connect
from attar.parallel.ranks import SECONDS, seconds_of
from attar.text import counted

# of the same share, after which another one would most likely be lost, too
_LOSSES = 3


class Clustered(Replacing):
    """A crew of actors on a Ray cluster, each with its classes.

    Every machine of the cluster must have the same Attar installed, and see files that the images
    lie in, where memory does not hold them, under the same paths.

    Args:
        address: of the cluster, as `attar.parallel.cluster.connect` takes it.
        plan: of the run, which asks for a number of workers.

    Raises:
        BadRequest: the classes are not independent; Ray is not installed, there is no cluster at
            the address, or it has less room.
        Lost: a worker is gone.
    """

    inside = False

    def __init__(self, address: str, plan: Plan) -> None:
        count = plan.request.workers
        self.shares = shares_of(plan, count)
        order = order_of(plan)
        self._address, self._threads = address, order.threads
        self._seconds = seconds_of(os.environ)
        self._lost = [0] * count
        self._ray = connect(address)
        self._actors: list[Any] = []
        try:
            if (room := self._room()) < count:
                raise BadRequest(
                    f"--workers {count}: the cluster {address} has room for {room}, of --threads "
                    f"{order.threads} each; ask for fewer of either"
                )
            gpus = int(self._there("GPU", 0)) if order.compute.device.type == "cuda" else 0
            own = {"num_cpus": order.threads, "num_gpus": min(1.0, gpus / count)}
            self._worker = self._ray.remote(**own)(_Worker)
            self._given = self._ray.put(order), self._ray.put(_apart(plan.train))
            self._actors += [self._worker.remote(*self._given, share) for share in self.shares]
            self.ask("present", [()] * count)
        except BaseException:
            self.close()
            raise

    def ask(self, what: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Return what each worker answers; one that is lost is replaced, and its steps done again.

        Raises:
            Lost: one is lost for the third time, or the cluster has no room for another.
        """
        asked = [
            [actor.answer.remote(what, *own)]
            for actor, own in zip(self._actors, arguments, strict=True)
        ]
        found = [self._heard(n, (what, arguments[n]), own) for n, own in enumerate(asked)]
        for ended in (one for answers in found for one in answers):
            ended.raise_failure()
        return [answers[-1].value for answers in found]

    def close(self) -> None:
        """End all of them, and leave the cluster."""
        for actor in self._actors:
            with contextlib.suppress(Exception):
                self._ray.kill(actor)
        self._ray.shutdown()

    def _there(self, kind: str, usual: int) -> float:
        """Return how much of a resource the cluster has."""
        return self._ray.cluster_resources().get(kind, usual)

    def _room(self) -> int:
        """Return for how many workers the cluster has cores."""
        return int(self._there("CPU", 1)) // self._threads

    def _heard(self, number: int, call: Call, references: list[Any]) -> list[Ended]:
        """Return the answers of a worker, or of the one that takes its place."""
        while True:
            try:
                return [self._ray.get(one, timeout=self._seconds) for one in references]
            except self._ray.exceptions.GetTimeoutError as error:
                why = f"it said nothing for {self._seconds:g} s ({SECONDS} says how long)"
                references = self._replaced(number, call, why, error)
            except self._ray.exceptions.RayError as error:
                why = "its process or machine has ended"
                references = self._replaced(number, call, why, error)

    def _replaced(self, number: int, call: Call, why: str, error: Exception) -> list[Any]:
        """Put another worker in the place of one that is lost, and give it what that one did."""
        share = self.shares[number]
        self._lost[number] += 1
        if self._lost[number] == _LOSSES:
            raise Lost(f"{share} was lost for the third time: {why}.") from error
        if (room := self._room()) < len(self.shares):
            raise Lost(
                f"{share} was lost: {why}, and the cluster {self._address} has room for {room} now."
            ) from error
        with contextlib.suppress(Exception):
            self._ray.kill(self._actors[number])
        before = self.since(number)
        steps = sum(what == "step" for what, _ in before)
        warnings.warn(
            f"{share} was lost: {why}; another one takes its place"
            + (f" and does {counted(steps, 'step')} again" if steps else ""),
            stacklevel=2,
        )
        actor = self._worker.remote(*self._given, share)
        references = [actor.answer.remote(what, *own) for what, own in [*before, call]]
        # last, since a signal may leave this anywhere: what one is given it does in order
        self._actors[number] = actor
        return references


class _Worker:
    """What an actor is: it answers as a `Hand` does, with how it ended."""

    def __init__(self, order: Order, data: LabelledImages, share: Share) -> None:
        keep_memory()
        self._begun = attempt(str(share), functools.partial(Hand, order, data, share.labels))

    def answer(self, what: str, *given: Any) -> Ended:
        """Do what it is asked to, or say why it could not begin."""
        if self._begun.failure:
            return self._begun
        return attempt(what, functools.partial(getattr(self._begun.value, what), *given))


def _apart(data: LabelledImages) -> LabelledImages:
    """Return the images with memory of their own: a part of a tensor takes the whole along."""
    data = data.to(torch.device("cpu"))
    images = data.images
    if not in_memory(images):
        return data
    return dataclasses.replace(data, images=images.clone(), labels=data.labels.clone())
