"""What a worker does: it updates some classes of a set, a step at a time, as it is asked to."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from attar.compute import Compute, peak_memory
from attar.condensing.engine import Bounds, Run, copied
from attar.condensing.plan import Plan
from attar.condensing.shares import Share
from attar.data import LabelledImages
from attar.data.placing import place
from attar.experts.store import ExpertStore
from attar.networks import make_for
from attar.objectives import Objective, Penalty, Problem
from attar.optimisers import Optimiser
from attar.parallel.peers import ALONE, Peers, met
from attar.parallel.ranks import seconds_of
from attar.rng import Key
from attar.storage import storage_of
from attar.synthetic import Layout, Parametrization, Synthetic
from attar.tensors import feed, flatten


@dataclass(frozen=True)
class Order:
    """What every worker needs to know of a run; it can be pickled.

    Args:
        network: the name of what is matched in, or what was given from Python.
        layout: of the whole set.
        compute: device, precision, compilation.
        form: in which the set is stored.
        learned_labels: whether its labels are learnt.
        objective: what drives it.
        optimisers: by role.
        seed: of the run.
        steps: updates of the whole run; None where time ends it.
        average: weight of the past in a running average.
        penalty: on what is stored.
        bounds: within which stored values are kept.
        storage: how the set will be kept.
        threads: of each worker.
        experts: networks trained on the real data, where the objective follows any; their files
            are read by every worker.
    """

    network: Any
    layout: Layout
    compute: Compute
    form: Parametrization
    learned_labels: bool
    objective: Objective
    optimisers: Mapping[str, Optimiser | None]
    seed: int
    steps: int | None
    average: float
    penalty: Penalty | None
    bounds: Bounds | None
    storage: str
    threads: int
    experts: ExpertStore | None = None


def order_of(plan: Plan) -> Order:
    """Return what workers need to know of a plan."""
    recipe, given = plan.recipe, plan.request.network
    named = given is None or isinstance(given, str)
    return Order(
        plan.network.name if named else given,
        plan.layout,
        plan.compute,
        recipe.parametrization,
        recipe.learned_labels,
        recipe.objective,
        recipe.optimisers,
        plan.request.seed,
        plan.steps,
        recipe.average,
        recipe.penalty,
        plan.bounds,
        plan.request.stored_as,
        torch.get_num_threads(),
        plan.experts,
    )


class Hand:
    """The run of some classes in a worker, or its part in the steps of all.

    Args:
        order: of the whole run.
        data: the real images.
        labels: of the classes; None for all, whose steps it shares.
        peers: with whom it shares them.
    """

    def __init__(
        self,
        order: Order,
        data: LabelledImages,
        labels: Collection[int] | None,
        peers: Peers = ALONE,
    ) -> None:
        torch.set_num_threads(order.threads)
        data, compute = place(data, order.compute), order.compute
        layout = order.layout if labels is None else order.layout.of_classes(labels)
        network = make_for(order.network, data.shape, data.classes)
        synthetic = Synthetic(layout, order.form, order.learned_labels).to(compute.device)
        self._run = Run(
            synthetic,
            order.objective,
            Problem(data, network, layout, compute, experts=order.experts, peers=peers),
            order.optimisers,
            Key(order.seed),
            order.steps,
            order.average,
            order.penalty,
            bounds=order.bounds,
            storage=storage_of(order.storage),
        )

    def load(self, state: bytes) -> None:
        """Go on from a state of these classes, or of all."""
        self._run.load_state_dict(unpacked(state))

    def step(self, share: float) -> float:
        """Do a step and return its loss."""
        self._run.share = share
        return self._run.advance()

    def probe(self, share: float, usual: bool) -> int:
        """Do the arithmetic of a step and throw it away; return the most bytes held so far."""
        self._run.share = share
        self._run.probe(usual=usual)
        device = self._run.problem.compute.device
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return peak_memory(device)

    def present(self) -> None:
        """Be there."""

    def state(self, wanted: bool = True) -> bytes:
        """Return all that the next step depends on, where it is wanted."""
        return packed(self._run.state_dict()) if wanted else b""

    def digest(self) -> str:
        """Return what tells two states apart."""
        tensors, values = flatten(self._run.state_dict())
        found = hashlib.blake2b(repr(sorted(values.items())).encode(), digest_size=16)
        feed(found, *(tensors[name] for name in sorted(tensors)))
        return found.hexdigest()


def packed(tree: Mapping[str, Any]) -> bytes:
    """Return a tree of tensors and plain values as bytes for another process.

    The tensors are copied to the CPU first: one that is a part of another would take that along.
    """
    buffer = io.BytesIO()
    torch.save(copied(tree, torch.device("cpu")), buffer)
    return buffer.getvalue()


def unpacked(state: bytes) -> dict[str, Any]:
    """Undo `packed`."""
    return torch.load(io.BytesIO(state), weights_only=True)


# the run of this process, where it is a worker that tasks are given to
_HANDS: list[Hand] = []


def begin(order: Order, data: LabelledImages, share: Share, meeting: Path, tell: Any) -> None:
    """Be a worker from now on; a task.

    Args:
        order: of the run.
        data: the real images.
        share: of this worker.
        meeting: file by which workers meet that share the steps of all classes.
        tell: not used.
    """
    del tell
    peers = ALONE
    if share.labels is None:
        peers = met(meeting, share.number - 1, share.count, seconds_of(os.environ))
    _HANDS[:] = [Hand(order, data, share.labels, peers)]


def answer(what: str, *arguments: Any) -> Any:
    """Do what a worker is asked to, by the name of a method of `Hand`; a task."""
    *given, _ = arguments
    (hand,) = _HANDS
    return getattr(hand, what)(*given)
