"""What a worker does: it updates some classes of a set, a step at a time, as it is asked to."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from attar.compute import Compute, peak_memory
from attar.condensing.engine import Bounds, Run, copied
from attar.condensing.plan import Plan
from attar.data import LabelledImages
from attar.data.placing import place
from attar.networks import make_for
from attar.objectives import Objective, Problem
from attar.optimisers import Optimiser
from attar.rng import Key
from attar.storage import storage_of
from attar.synthetic import Layout, Parametrization, Synthetic


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
        bounds: within which stored values are kept.
        storage: how the set will be kept.
        threads: of each worker.
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
    bounds: Bounds | None
    storage: str
    threads: int


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
        plan.bounds,
        plan.request.stored_as,
        torch.get_num_threads(),
    )


class Hand:
    """The run of some classes in a worker.

    Args:
        order: of the whole run.
        data: the real images.
        labels: of the classes.
    """

    def __init__(self, order: Order, data: LabelledImages, labels: Collection[int]) -> None:
        torch.set_num_threads(order.threads)
        data, compute = place(data, order.compute), order.compute
        layout = order.layout.of_classes(labels)
        network = make_for(order.network, data.shape, data.classes)
        synthetic = Synthetic(layout, order.form, order.learned_labels).to(compute.device)
        self._run = Run(
            synthetic,
            order.objective,
            Problem(data, network, layout, compute),
            order.optimisers,
            Key(order.seed),
            order.steps,
            order.average,
            bounds=order.bounds,
            storage=storage_of(order.storage),
        )

    def load(self, state: bytes) -> None:
        """Go on from a state of these classes."""
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

    def state(self) -> bytes:
        """Return all that the next step depends on."""
        return packed(self._run.state_dict())


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


def begin(order: Order, data: LabelledImages, labels: Collection[int], tell: Any) -> None:
    """Be a worker from now on; a task."""
    del tell
    _HANDS[:] = [Hand(order, data, labels)]


def answer(what: str, *arguments: Any) -> Any:
    """Do what a worker is asked to, by the name of a method of `Hand`; a task."""
    *given, _ = arguments
    (hand,) = _HANDS
    return getattr(hand, what)(*given)
