"""The loss on real images of a network that was trained on the set, and the way back to the set.

Source: Deng and Russakovsky, Remember the Past: Distilling Datasets into Addressable Memories for
Neural Networks, 2022, and their code.

Shape letters: P parameters, N steps, B images, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from attar.augmentation.dsa import augment, parse_strategy
from attar.data.images import LabelledImages
from attar.errors import BadRequest
from attar.objectives.base import NOTHING, Match, Objective, Problem, State
from attar.objectives.exchanging import gone_back
from attar.objectives.flat import (
    FlatLoss,
    flat_loss,
    refuse_to_share_mixed,
    refuse_without_second_derivatives,
)
from attar.objectives.keeping import Keeping
from attar.objectives.unrolling import Steps, Student, checkpointed, loss_on
from attar.rng import Key
from attar.synthetic import Layout

LOSS = "cross_entropy"
# images that go forward, a backward pass counting as two, for every image of a minibatch: the
# step and its derivatives; and to find a step again
_PASSES, _AGAIN = 12.0, 3.0
# values of the images that go through a network at once on a CPU: 16 of 3×32×32
_VALUES = 3 * 2**14


@dataclass(frozen=True)
class UnrolledTraining(Objective):
    """The mean cross-entropy on real images after N steps of training on the set.

    At every update of the set a network is drawn and trained by SGD with momentum, each step on
    images of every class drawn without replacement. The gradient is exact: a reverse pass goes back
    through all steps with the network's parameters at each, which alone are kept. Batch
    normalization uses the statistics of the batch. Only the drawn classes take part in an update,
    and the network still tells all K apart.

    Args:
        steps: N.
        batch: synthetic images of each class in a step; 0 for all.
        batch_real: real images of each class that judge the trained network; a smaller class gives
            all it has.
        classes_drawn: classes that take part in an update; 0, and more than there are, for all.
        lr_network: learning rate of the steps.
        momentum_network: of the steps, from 0 to below 1.
        augment: siamese operations joined by ``_``, or ``none``; one is drawn for an update, with
            one set of parameters for all images of all steps and for the real ones.
        held: steps whose parameters are held at a time; of the others as many, evenly spread, and
            those between are found again. Memory is least for √N, and hardly grows with N for a
            fixed number; 0 holds all. The gradient is the same.
        weights_on: where they are kept, ``device`` or ``cpu``: 4·N·P bytes where all are held.

    Raises:
        BadRequest: a setting out of range.
    """

    name: ClassVar[str] = "unrolled"
    takes_unequal: ClassVar[bool] = True

    steps: int = 150
    batch: int = 32
    batch_real: int = 64
    classes_drawn: int = 10
    lr_network: float = 0.01
    momentum_network: float = 0.9
    augment: str = "none"
    held: int = 0
    weights_on: str = "device"

    def __post_init__(self) -> None:
        parse_strategy(self.augment)
        least_of = {"steps": 1, "batch": 0, "batch_real": 1, "classes_drawn": 0}
        for name, least in least_of.items():
            if getattr(self, name) < least:
                raise BadRequest(f"{name} {getattr(self, name)}: {least} or more is needed")
        if not (math.isfinite(self.lr_network) and self.lr_network > 0):
            raise BadRequest(f"lr_network {self.lr_network:g}: a positive number is needed")
        if not 0 <= self.momentum_network < 1:
            raise BadRequest(f"momentum_network {self.momentum_network:g}: from 0 to below 1")
        self._keeping.check()

    def check(self, problem: Problem) -> None:
        """Refuse a network without second derivatives, and weights that memory does not hold."""
        refuse_without_second_derivatives(problem, LOSS, "going back through training")
        size = _loss(problem).size
        self._keeping.refuse_too_many(problem, self.steps, size, f"steps {self.steps}")

    def kept_bytes(self, size: int) -> int:
        """Return the bytes of what is kept on the way of networks with ``size`` parameters."""
        return self._keeping.bytes(self.steps, size)

    @property
    def _keeping(self) -> Keeping:
        return Keeping(self.held, self.weights_on, first=2)

    def select(self, problem: Problem, state: State, key: Key) -> Tensor:
        """Return the rows of the classes that take part, class after class."""
        del state
        layout = problem.layout
        own = (torch.tensor(layout.rows_of(label)) for label in self.taking_part(layout, key))
        return torch.cat(list(own))

    def match(
        self,
        images: Tensor,
        labels: Tensor,
        problem: Problem,
        state: State,
        key: Key,
        learned: Mapping[str, Tensor] = NOTHING,
    ) -> Match:
        """Return the loss of a network that is trained on the set, and its gradients."""
        del state, learned
        device, strategy = images.device, parse_strategy(self.augment)
        taking = self.taking_part(problem.layout, key)
        sizes = [len(problem.layout.rows_of(label)) for label in taking]
        rows = [one.to(device) for one in self.minibatches(sizes, key)]
        steps = Steps(images, labels, rows, strategy, key.fold("augment"), alike=True)
        module = problem.network.draw(key.fold("network"), device)
        loss = _loss(problem)
        student = Student(
            loss,
            steps,
            torch.cat([one.detach().flatten() for one in module.parameters()]),
            torch.tensor(self.lr_network, device=device),
            self.momentum_network,
            learns_lr=False,
            kept_on=self._keeping.on,
        )
        real, truth = self._real(taking, problem, key)
        end = loss_on(loss, augment(real, strategy, steps.key, shared=True), truth)
        found = checkpointed(student, end, self.held or None)
        return gone_back(found, problem)

    def parts(self, problem: Problem) -> int:
        """Return the least images of a minibatch, which peers share, as they do the real ones.

        Raises:
            BadRequest: they affect each other.
        """
        refuse_to_share_mixed(problem)
        smallest = sorted(problem.layout.sizes())[: self.classes_drawn or None]
        return sum(min(self.batch or size, size) for size in smallest)

    def taking_part(self, layout: Layout, key: Key) -> list[int]:
        """Return the classes that take part in an update, in order."""
        present = layout.present()
        if not 0 < self.classes_drawn < len(present):
            return present
        order = torch.randperm(len(present), generator=key.fold("classes").generator())
        return sorted(present[place] for place in order[: self.classes_drawn].tolist())

    def minibatches(self, sizes: Sequence[int], key: Key) -> list[Tensor]:
        """Return which of the images given each step takes.

        Args:
            sizes: images of each class that takes part, which lie class after class.
            key: of the update.
        """
        generator = key.fold("minibatches").generator()
        found = []
        for _ in range(self.steps):
            first, drawn = 0, []
            for size in sizes:
                order = torch.randperm(size, generator=generator)
                drawn.append(first + order[: self.batch or size].sort().values)
                first += size
            found.append(torch.cat(drawn))
        return found

    def passes(self, layout: Layout, data: LabelledImages) -> float:
        """Return about how many images go forward: each minibatch's, there and back twice."""
        largest = sorted(layout.sizes(), reverse=True)[: self.classes_drawn or layout.classes]
        images = sum(min(self.batch or size, size) for size in largest)
        again = _AGAIN if 0 < self.held < self.steps else 0.0
        real = data.drawn(self.batch_real) * len(largest) / layout.classes
        return (_PASSES + again) * self.steps * images + 3 * real

    def _real(self, taking: Sequence[int], problem: Problem, key: Key) -> tuple[Tensor, Tensor]:
        """Return the real images that judge a network, and their labels."""
        data, device = problem.data, problem.compute.device
        index = torch.cat(
            [data.draw(own, self.batch_real, key.fold("real", own)) for own in taking]
        )
        truth = functional.one_hot(data.labels[index], data.classes)
        return data.take(index).to(device), truth.to(device).float()


def _loss(problem: Problem) -> FlatLoss:
    """Return the loss of a network, on a CPU in parts of few images.

    Minibatches hold hundreds, and the graph of the derivatives of a gradient is what memory is
    taken for.
    """
    compute = problem.compute
    if compute.device.type != "cpu":
        return flat_loss(problem, LOSS)
    fitting = max(1, _VALUES // math.prod(problem.layout.shape))
    return flat_loss(problem, LOSS, min(fitting, compute.second_order_chunk))
