"""Workers of a run on a Ray cluster (needs the extra ``ray``)."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
from collections.abc import Sequence
from typing import Any

import torch

from attar.condensing.crew import Lost
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


class Clustered:
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
        self._seconds = seconds_of(os.environ)
        self._ray = connect(address)
        self._actors: list[Any] = []
        try:
            self._hire(address, order, _apart(plan.train))
            self._heard([actor.begun.remote() for actor in self._actors])
        except BaseException:
            self.close()
            raise

    def ask(self, what: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Return what each worker answers."""
        return self._heard(
            [
                actor.answer.remote(what, *own)
                for actor, own in zip(self._actors, arguments, strict=True)
            ]
        )

    def close(self) -> None:
        """End all of them, and leave the cluster."""
        for actor in self._actors:
            with contextlib.suppress(Exception):
                self._ray.kill(actor)
        self._ray.shutdown()

    def _hire(self, address: str, order: Order, data: LabelledImages) -> None:
        there, count = self._ray.cluster_resources(), len(self.shares)
        room = int(there.get("CPU", 1)) // order.threads
        if count > room:
            raise BadRequest(
                f"--workers {count}: the cluster {address} has room for {room}, of --threads "
                f"{order.threads} each; ask for fewer of either"
            )
        gpus = int(there.get("GPU", 0)) if order.compute.device.type == "cuda" else 0
        own = {"num_cpus": order.threads, "num_gpus": min(1.0, gpus / count)}
        worker = self._ray.remote(**own)(_Worker)
        given = self._ray.put(order), self._ray.put(data)
        self._actors += [worker.remote(*given, share) for share in self.shares]

    def _heard(self, references: Sequence[Any]) -> list[Any]:
        found: list[Ended] = []
        for share, reference in zip(self.shares, references, strict=True):
            try:
                found.append(self._ray.get(reference, timeout=self._seconds))
            except self._ray.exceptions.GetTimeoutError as error:
                why = f"it said nothing for {self._seconds:g} s ({SECONDS} says how long)"
                raise Lost(f"{share} was lost: {why}.") from error
            except self._ray.exceptions.RayError as error:
                raise Lost(f"{share} was lost: its process or machine has ended.") from error
        for ended in found:
            ended.raise_failure()
        return [ended.value for ended in found]


class _Worker:
    """What an actor is: it answers as a `Hand` does, with how it ended."""

    def __init__(self, order: Order, data: LabelledImages, share: Share) -> None:
        keep_memory()
        self._begun = attempt(str(share), functools.partial(Hand, order, data, share.labels))

    def begun(self) -> Ended:
        """Return how it began."""
        return dataclasses.replace(self._begun, value=None)

    def answer(self, what: str, *given: Any) -> Ended:
        """Do what it is asked to."""
        return attempt(what, functools.partial(getattr(self._begun.value, what), *given))


def _apart(data: LabelledImages) -> LabelledImages:
    """Return the images with memory of their own: a part of a tensor takes the whole along."""
    data = data.to(torch.device("cpu"))
    images = data.images
    if not in_memory(images):
        return data
    return dataclasses.replace(data, images=images.clone(), labels=data.labels.clone())
