"""Gradient matching of one class a step, in networks that are trained on real data (IDC).

Source: Kim et al., Dataset Condensation via Efficient Synthetic-Data Parameterization (IDC), 2022,
section 4, and their code.

Shape letters: B images, C channels, H height, W width, K classes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from attar.augmentation.variants import augment_as_idc, read_strategy
from attar.data.images import LabelledImages
from attar.errors import BadRequest, unknown
from attar.objectives.base import NOTHING, Match, Problem, State, SubsetObjective
from attar.objectives.comparing import (
    check_derivatives,
    derivatives_of,
    pulled_first,
    trainer_of,
)
from attar.objectives.derivatives import LossGradients, Tensors
from attar.objectives.distances import DISTANCES, Gradients
from attar.rng import Key
from attar.synthetic import Layout, Synthetic
from attar.tensors import dotted, nested
from attar.training.call_size import check_whole
from attar.training.evaluation_card import EvaluationCard
from attar.training.learning import Midway


@dataclass(frozen=True)
class ClasswiseMatching(SubsetObjective):
    """The distance between real and synthetic loss gradients of one class, class after class.

    One step of the engine compares the images of one class. When all classes have had their turn,
    which makes a sweep, the network is trained for a while on **real** images, and after ``inner``
    sweeps the next one is drawn. Real and synthetic images get the same augmentation.

    Where classes take turns, rows of the others move on by their momentum alone, as in the authors'
    code, whose optimiser has all classes in one tensor; ``coast`` of the optimiser says whether.

    Args:
        batch_real: real images per step; a smaller class gives all it has.
        batch_condensed: the most synthetic images per step, drawn from those of the class.
        augment: operations that both get, with one set of parameters for the batch; flip, color and
            cutout are always applied where they are listed, and one of the rest.
        distance: ``conv_mse`` or ``conv_l1``, the sum of squared or absolute differences over
            weights of convolutions; or one of gradient matching.
        inner: sweeps with one network.
        samples: real images that it is trained on between two sweeps.
        pretrain: passes over all real images before the first sweep; 0 for a network as it is
            drawn.
        lr_network: learning rate of that training, by SGD.
        momentum_network: of it, from 0 to below 1.
        decay: of the weights in it.
        batch_train: images per update of it.
        augment_train: operations in it, with parameters for each image.
        mixed: probability that CutMix mixes a batch of it.
    """

    name: ClassVar[str] = "classwise"
    matches_gradients: ClassVar[bool] = True
    takes_unequal: ClassVar[bool] = True

    batch_real: int = 64
    batch_condensed: int = 128
    augment: str = "color_crop_cutout"
    distance: str = "conv_mse"
    inner: int = 100
    samples: int = 2000
    pretrain: int = 0
    lr_network: float = 0.01
    momentum_network: float = 0.9
    decay: float = 5e-4
    batch_train: int = 64
    augment_train: str = "color_crop"
    mixed: float = 0.5

    def __post_init__(self) -> None:
        for name in ("augment", "augment_train"):
            _operations(getattr(self, name))
        if self.distance not in DISTANCES:
            raise unknown("distance", self.distance, DISTANCES)
        for name in ("batch_real", "batch_condensed", "inner", "samples", "batch_train"):
            if getattr(self, name) < 1:
                raise BadRequest(f"{name} {getattr(self, name)}: at least 1 is needed")
        if self.pretrain < 0:
            raise BadRequest(f"pretrain {self.pretrain}: 0 passes or more")
        if not (math.isfinite(self.lr_network) and self.lr_network > 0):
            raise BadRequest(f"lr_network {self.lr_network:g}: a positive number is needed")
        if not 0 <= self.momentum_network < 1:
            raise BadRequest(f"momentum_network {self.momentum_network:g}: from 0 to below 1")
        if not (math.isfinite(self.decay) and self.decay >= 0):
            raise BadRequest(f"decay {self.decay:g}: 0 or more")
        if not 0 <= self.mixed <= 1:
            raise BadRequest(f"mixed {self.mixed:g}: a probability, from 0 to 1")

    def check(self, problem: Problem) -> None:
        """Refuse a network that cannot be differentiated twice, or has nothing to compare.

        And training on batches that memory cannot hold.
        """
        check_derivatives(problem, self.distance)
        images = min(self.batch_train, len(problem.data))
        check_whole(problem.network, problem.compute, images, "lower --set batch_train")

    def init(self, problem: Problem, key: Key) -> State:
        """Return the state with the first network."""
        return self._with_network(problem, key)

    def select(self, problem: Problem, state: State, key: Key) -> Tensor:
        """Return rows of the class whose turn it is, at most ``batch_condensed`` of them."""
        rows = torch.tensor(problem.layout.rows_of(self._class(problem, state)))
        if len(rows) <= self.batch_condensed:
            return rows
        order = torch.randperm(len(rows), generator=key.fold("condensed").generator())
        return rows[order[: self.batch_condensed].sort().values]

    def draws_rows(self, layout: Layout) -> bool:
        """Whether a class has more images than a step reads."""
        return layout.per_class > self.batch_condensed

    def reading_all(self, layout: Layout) -> str:
        """Return the setting with which a step reads all images of a class."""
        return f"batch_condensed={layout.per_class}"

    def turns(self, layout: Layout) -> int:
        """Return in how many steps every class had its turn."""
        return len(layout.present())

    def match_each(
        self,
        sizes: Sequence[int],
        images: Tensor,
        labels: Tensor,
        problem: Problem,
        state: State,
        key: Key,
        learned: Mapping[str, Tensor] = NOTHING,
    ) -> list[Match]:
        """Return distances of one class's gradients, and their gradients."""
        del learned
        derivatives, tensors = derivatives_of(problem, self.distance), self._tensors(problem, state)
        target = self._real_gradient(problem, state, derivatives, tensors, key)
        leaf = images.detach().requires_grad_()
        seen = self._augmented(leaf, key)
        filled = None if problem.layout.is_equal else self._most(problem)
        found: list[Match] = []
        for size in sizes:
            value, slope, label = derivatives.match(
                tensors, seen[:size].detach(), labels[:size], target, filled, problem.peers
            )
            image, learnt = torch.zeros_like(images), torch.zeros_like(labels)
            image[:size], learnt[:size] = pulled_first(slope, seen, leaf), label
            found.append(Match(value, image, learnt))
        return found

    def advance(
        self,
        synthetic: Synthetic,
        problem: Problem,
        state: State,
        key: Key,
        learned: Mapping[str, Tensor] = NOTHING,
        kept: Mapping[str, Any] = NOTHING,
    ) -> State:
        """Return the state in which the next class has its turn, or the next network begins."""
        del synthetic, learned, kept
        turn = state["turn"] + 1
        if turn < len(problem.layout.present()):
            return {**state, "turn": turn}
        sweep = state["sweep"] + 1
        if sweep == self.inner:
            return self._with_network(problem, key)
        trained = self._trained(problem, state, self._card, key.fold("train"))
        return {**trained, "turn": 0, "sweep": sweep}

    def parts(self, problem: Problem) -> int:
        """Return the real images of a step, which peers share; they share synthetic ones, too."""
        return min(self.batch_real, max(len(own) for own in problem.data.indices_of_class))

    def passes(self, layout: Layout, data: LabelledImages) -> float:
        """Return the images sent forward: both sides of a class, and its share of training."""
        seen = min(self.batch_condensed, layout.per_class)
        drawn = data.drawn(self.batch_real) / data.classes
        return 3 * drawn + 6 * seen + 3 * min(self.samples, len(data)) / layout.classes

    def _with_network(self, problem: Problem, key: Key) -> State:
        module = problem.network.draw(key.fold("network"), problem.compute.device)
        tensors = trainer_of(problem).training.tensors(module)
        state: State = {"network": nested(tensors), "sgd": {}, "turn": 0, "sweep": 0}
        if not self.pretrain:
            return state
        card = dataclasses.replace(self._card, epochs=self.pretrain, updates=())
        return self._trained(problem, state, card, key.fold("pretrain"))

    def _trained(self, problem: Problem, state: State, card: EvaluationCard, key: Key) -> State:
        """Return the state with its network trained on real images."""
        # what the optimiser keeps is asked for after every epoch; the last one is the end
        after: list[Midway] = []
        strategy = card.augment if _operations(self.augment_train) else "none"
        names = trainer_of(problem).parameter_names
        trainer_of(problem).fit_together(
            problem.data,
            problem.data.target(torch.arange(len(problem.data))).to(problem.compute.device),
            card,
            strategy,
            [key],
            begun=Midway.of(state, names),
            after=after.append,
        )
        return {**state, **after[-1].tree(names)}

    @property
    def _card(self) -> EvaluationCard:
        """How the network is trained between two sweeps."""
        return EvaluationCard(
            "inner",
            "SGD on real images",
            0,
            "idc:" + self.augment_train,
            lr=self.lr_network,
            momentum=self.momentum_network,
            weight_decay=self.decay,
            batch=self.batch_train,
            schedule="constant",
            one_more=False,
            mixing="cutmix" if self.mixed else "none",
            mixed=self.mixed,
            updates=((1, math.ceil(self.samples / self.batch_train)),),
        )

    def _real_gradient(
        self,
        problem: Problem,
        state: State,
        derivatives: LossGradients,
        tensors: Tensors,
        key: Key,
    ) -> Gradients:
        data, compute, own = problem.data, problem.compute, self._class(problem, state)
        index = data.draw(own, self.batch_real, key.fold("real"))
        seen = self._augmented(data.take(index).to(compute.device), key)
        labels = functional.one_hot(torch.full((len(index),), own), data.classes)
        most = min(self.batch_real, max(len(found) for found in data.indices_of_class))
        size = min(compute.graph_chunk, most)
        return derivatives.gradient(tensors, seen, labels.to(seen), size, problem.peers)

    def _augmented(self, images: Tensor, key: Key) -> Tensor:
        return augment_as_idc(images, _operations(self.augment), key.fold("augment"), shared=True)

    @staticmethod
    def _class(problem: Problem, state: State) -> int:
        """Return the class whose turn it is."""
        return problem.layout.present()[state["turn"]]

    def _most(self, problem: Problem) -> int:
        return min(self.batch_condensed, problem.layout.per_class)

    def _tensors(self, problem: Problem, state: State) -> Tensors:
        """Return the tensors of the network as compiled functions take them."""
        return trainer_of(problem).training.arranged(dotted(state["network"]))


def _operations(names: str) -> tuple[str, ...]:
    """Return the operations of IDC's augmentation that a text names; none for ``none``."""
    return () if names in ("", "none") else read_strategy("idc:" + names)[1]
