"""Dataset distillation (DD): images and step sizes that train a network in a few steps.

Source: Wang, Zhu, Torralba and Efros, Dataset Distillation, 2018, algorithm 1, and their code.

Shape letters: P parameters, N steps, E epochs, B images, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from attar.capacity import check_memory
from attar.data.images import LabelledImages
from attar.errors import BadRequest
from attar.objectives.base import NOTHING, Match, Objective, Problem, State
from attar.objectives.exchanging import gone_back
from attar.objectives.flat import (
    flat_loss,
    refuse_to_share_mixed,
    refuse_without_second_derivatives,
)
from attar.objectives.keeping import Keeping
from attar.objectives.unrolling import Steps, Student, checkpointed, loss_on
from attar.rng import Key
from attar.synthetic import Layout, Synthetic
from attar.training.batches import batches
from attar.training.beginning import evaluation_key, repeat_key
from attar.training.fitting import LEARNT_LR

LOSS = "cross_entropy"
# images that go forward, a backward pass counting as two, for every image of a step: the step and
# its derivatives; and to find a step again
_PASSES, _AGAIN = 12.0, 3.0


@dataclass(frozen=True)
class DatasetDistillation(Objective):
    """The mean cross-entropy on real images after E epochs of N gradient steps on the set.

    Every step has images of its own and a learnt step size, the learnt tensor ``learned_lr`` of
    E×N values, which is learnt by its inverse softplus and so stays above 0. The set is evaluated
    by exactly these steps under the card ``dd``. The gradient is exact: a reverse pass goes back
    through all steps. Batch normalization uses the statistics of the batch.

    Args:
        steps: N, steps of an epoch, among which the images of every class are dealt out; where a
            class has fewer images they take turns.
        rounds: E, how often the steps are repeated, with step sizes of their own; the authors call
            them epochs.
        lr_start: what every step size starts from.
        batch_real: real images, drawn from all classes together, that judge the trained network; a
            smaller data set gives all it has.
        networks: how many networks the steps are learnt for. They are those that an evaluation
            begins from, `attar evaluate` with ``--seed 0`` and as many repeats, and take turns; 0
            draws another one at every update.
        held: steps whose parameters are held at a time; of the others as many, evenly spread, and
            those between are found again. Memory is least for √(E·N), and hardly grows with E·N
            for a fixed number; 0 holds all, and with a fourth of the memory for them the graphs of
            their gradients, so that no step is done twice. The gradient is the same.
        weights_on: where they are kept, ``device`` or ``cpu``: 8·E·N·P bytes where all are held.

    Raises:
        BadRequest: a setting out of range.
    """

    name: ClassVar[str] = "distillation"
    takes_unequal: ClassVar[bool] = True

    steps: int = 10
    rounds: int = 3
    lr_start: float = 0.02
    batch_real: int = 1024
    networks: int = 0
    held: int = 0
    weights_on: str = "device"

    def __post_init__(self) -> None:
        least_of = {"steps": 1, "rounds": 1, "batch_real": 1, "networks": 0}
        for name, least in least_of.items():
            if getattr(self, name) < least:
                raise BadRequest(f"{name} {getattr(self, name)}: {least} or more is needed")
        if not (math.isfinite(self.lr_start) and self.lr_start > 0):
            raise BadRequest(f"lr_start {self.lr_start:g}: a positive number is needed")
        self._keeping.check()

    def check(self, problem: Problem) -> None:
        """Refuse a network without second derivatives, and weights that memory does not hold."""
        refuse_without_second_derivatives(problem, LOSS, "going back through training")
        size = flat_loss(problem, LOSS).size
        count = self.steps * self.rounds
        self._keeping.refuse_too_many(problem, count, size, self._all_steps)

    def init(self, problem: Problem, key: Key) -> State:
        """Return how many updates were done, by which networks take turns."""
        del problem, key
        return {"updates": 0} if self.networks else {}

    def learned(self, problem: Problem) -> dict[str, Tensor]:
        """Return where the step sizes start, E×N, as they are learnt: by their inverse softplus."""
        del problem
        count = self.rounds * self.steps
        check_memory(4 * count, f"{self._all_steps}: their step sizes", "take fewer steps")
        # log(exp(x) − 1), without an exp that overflows
        start = self.lr_start + math.log(-math.expm1(-self.lr_start))
        return {LEARNT_LR: torch.full((self.rounds, self.steps), start)}

    def kept(
        self, learned: Mapping[str, Tensor], state: State | None = None
    ) -> Mapping[str, Tensor]:
        """Return the step sizes themselves."""
        del state
        return {**learned, LEARNT_LR: functional.softplus(learned[LEARNT_LR])}

    def match(
        self,
        images: Tensor,
        labels: Tensor,
        problem: Problem,
        state: State,
        key: Key,
        learned: Mapping[str, Tensor] = NOTHING,
    ) -> Match:
        """Return the loss of a network that is trained by these steps, and its gradients."""
        device, raw = images.device, learned[LEARNT_LR]
        dealt = batches(len(images), problem.layout.classes, self.steps)
        rows = [one.to(device) for one in dealt] * self.rounds
        module = problem.network.draw(self._begun(problem, state, key), device)
        loss, steps = flat_loss(problem, LOSS), Steps(images, labels, rows, (), key)
        first = torch.cat([one.detach().flatten() for one in module.parameters()])
        student = Student(
            loss,
            steps,
            first,
            functional.softplus(raw).flatten(),
            kept_on=self._keeping.on,
            graphs=self._keeping.graphs(problem, loss, steps, first),
        )
        found = checkpointed(student, loss_on(loss, *self._real(problem, key)), self.held or None)
        slope = found.lr.view_as(raw) * torch.sigmoid(raw)
        return gone_back(found, problem, {LEARNT_LR: slope})

    def parts(self, problem: Problem) -> int:
        """Return the least images of a step, which peers share, as they do the real ones.

        Raises:
            BadRequest: they affect each other.
        """
        refuse_to_share_mixed(problem)
        layout = problem.layout
        return min(len(one) for one in batches(layout.rows, layout.classes, self.steps))

    def advance(
        self,
        synthetic: Synthetic,
        problem: Problem,
        state: State,
        key: Key,
        learned: Mapping[str, Tensor] = NOTHING,
        kept: Mapping[str, Any] = NOTHING,
    ) -> State:
        """Return the state after another update."""
        del synthetic, problem, key, learned, kept
        return {"updates": state["updates"] + 1} if self.networks else {}

    def passes(self, layout: Layout, data: LabelledImages) -> float:
        """Return about how many images go forward: each step's, there and back twice."""
        again = _AGAIN if 0 < self.held < self.steps * self.rounds else 0.0
        batch = max(len(one) for one in batches(layout.rows, layout.classes, self.steps))
        steps = (_PASSES + again) * self.steps * self.rounds * batch
        return steps + 3 * min(self.batch_real, len(data))

    @property
    def _all_steps(self) -> str:
        return f"steps {self.steps} × rounds {self.rounds}"

    @property
    def _keeping(self) -> Keeping:
        # θ and, as step sizes are learnt, the gradient at it
        return Keeping(self.held, self.weights_on, each=2)

    def _begun(self, problem: Problem, state: State, key: Key) -> Key:
        """Return the key of the network that this update begins from."""
        if not self.networks:
            return key.fold("network")
        turn = state["updates"] % self.networks
        return repeat_key(evaluation_key(), problem.network.name, turn).fold("network")

    def _real(self, problem: Problem, key: Key) -> tuple[Tensor, Tensor]:
        """Return the real images that judge a network, and their labels."""
        data, device = problem.data, problem.compute.device
        order = torch.randperm(len(data), generator=key.fold("real").generator())
        index = order[: self.batch_real]
        return data.take(index).to(device), data.target(index).to(device)
