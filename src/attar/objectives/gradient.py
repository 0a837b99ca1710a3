"""Gradient matching (DC; with siamese augmentation DSA).

Source: Zhao et al., Dataset Condensation with Gradient Matching, 2021; Zhao and Bilen, Dataset
Condensation with Differentiable Siamese Augmentation, 2021; equation 4 of the low-rank plugin
paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from attar.augmentation.dsa import augment, parse_strategy
from attar.compute import Functional
from attar.data.images import LabelledImages
from attar.errors import BadRequest, unknown
from attar.objectives.base import NOTHING, Match, Problem, State, SubsetObjective
from attar.objectives.comparing import (
    check_derivatives,
    derivatives_of,
    inner_card,
    pulled_first,
    trainer_of,
)
from attar.objectives.derivatives import LossGradients, Tensors
from attar.objectives.distances import DISTANCES, Gradients
from attar.objectives.drawn import Drawn, DrawnPool
from attar.objectives.exchanging import summed
from attar.parallel.peers import own as own_part
from attar.rng import Key
from attar.synthetic import Layout, Synthetic
from attar.tensors import dotted, nested
from attar.training.call_size import check_whole
from attar.training.learning import Midway

# real images of every class whose statistics batch normalization uses while matching
CALIBRATION_IMAGES = 16


@dataclass(frozen=True)
class GradientMatching(SubsetObjective):
    """Sum over classes of the distance between real and synthetic loss gradients.

    A network is drawn, and the set is updated ``outer`` times; between two updates the network
    is trained on the set for ``inner`` epochs. Then the next network is drawn. One step of the
    engine is one update of the set.

    Batch normalization uses running statistics while matching; before every update these see
    one batch of 16 real images of every class, in training mode.

    Args:
        batch_real: real images per class and step; a smaller class gives all it has.
        augment: siamese operations joined by ``_``, or ``none``; they also augment the inner
            training, with parameters for each image.
        distance: ``layerwise``, the sum over layers and output channels of one minus the
            cosine, without 1-dimensional parameters; ``mse`` or ``cosine`` of all parameters'
            gradients as one vector.
        outer: updates of the set with one network.
        inner: epochs of network training between two of them.
        lr_network: learning rate of that training, by SGD without momentum.
        batch_train: images per update of that training.
        pool: keep so many drawn networks, each with the transforms and the real gradients of its
            first use, and match in them by turns: as many float32 values as the network has
            weights, for each class. 0 draws a network at every step.
        refresh: steps that a network of the pool serves before another is drawn in its place;
            0 for all.

    Raises:
        BadRequest: a setting out of range, or a pool of networks that are trained on the set.
    """

    name: ClassVar[str] = "gradient"
    matches_gradients: ClassVar[bool] = True
    takes_unequal: ClassVar[bool] = True
    later: ClassVar[frozenset[str]] = frozenset({"pool", "refresh"})

    batch_real: int = 256
    augment: str = "none"
    distance: str = "layerwise"
    outer: int = 1
    inner: int = 1
    lr_network: float = 0.01
    batch_train: int = 256
    pool: int = 0
    refresh: int = 20

    def __post_init__(self) -> None:
        parse_strategy(self.augment)
        if self.distance not in DISTANCES:
            raise unknown("distance", self.distance, DISTANCES)
        for name in ("batch_real", "outer", "inner", "batch_train"):
            if getattr(self, name) < 1:
                raise BadRequest(f"{name} {getattr(self, name)}: at least 1 is needed")
        if not 0 < self.lr_network < float("inf"):
            raise BadRequest(f"lr_network {self.lr_network:g}: a positive number is needed")
        self._pool.check()
        if self.pool and self.outer > 1:
            raise BadRequest(
                f"pool {self.pool}: real gradients are kept of networks as they are drawn, and "
                f"with outer {self.outer} these are trained on the set between its updates; give "
                "--set outer=1, or leave the pool out"
            )

    def check(self, problem: Problem) -> None:
        """Refuse a network that cannot be differentiated twice, which the way back needs.

        And training on batches that memory cannot hold. Weights of a fresh network that get no
        gradient, and so cannot be matched, are told in a warning.
        """
        check_derivatives(problem, self.distance)
        if self.outer > 1:
            images = min(self.batch_train, problem.layout.rows)
            check_whole(problem.network, problem.compute, images, "lower --set batch_train")

    def init(self, problem: Problem, key: Key) -> State:
        """Return the state with the first network; with a pool, that before the first step."""
        if not self.pool:
            return self._with_network(0, problem, key)
        tensors = self._drawn(problem, key)
        shapes = self._derivatives(problem).shapes(tensors)
        classes = problem.layout.classes
        return self._pool.init({str(i): (classes, *one) for i, one in enumerate(shapes)}, key)

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
        """Return losses of this step and their gradients for images and labels."""
        del learned
        derivatives = self._derivatives(problem)
        now = self._pool.now(state, key) if self.pool else Drawn(key, None)
        key = now.key
        tensors = self._drawn(problem, key) if self.pool else self._tensors(problem, state)
        targets: dict[int, Gradients] = {}
        zero = torch.zeros((), device=images.device)
        # a compiled function is made for one number of images
        filled = None if problem.layout.is_equal else problem.layout.per_class
        found = [(zero.clone(), torch.zeros_like(images), torch.zeros_like(labels)) for _ in sizes]
        for own in own_part(problem.peers, problem.layout.classes):
            if now.found is None:
                targets[own] = self._real_gradient(derivatives, tensors, own, problem, key)
            else:
                targets[own] = tuple(one[own].to(images) for one in now.found.values())
            rows = problem.layout.rows_of(own)
            leaf = images[rows.start : rows.stop].detach().requires_grad_()
            seen = self._augmented(leaf, key.fold("augment", own))
            for size, (total, image, label) in zip(sizes, found, strict=True):
                first = rows[:size]
                part = slice(first.start, first.stop)
                loss, slope, label[part] = derivatives.match(
                    tensors, seen[:size].detach(), labels[part], targets[own], filled
                )
                image[part] = pulled_first(slope, seen, leaf)
                total += loss
        kept = self._pool.kept(now, _stacked(targets)) if self.pool else {}
        return summed([Match(*each, kept=kept) for each in found], problem)

    def parts(self, problem: Problem) -> int:
        """Return the number of classes, each of which one peer matches.

        Raises:
            BadRequest: real gradients are kept, of which a peer would have those of its classes.
        """
        if self.pool:
            raise BadRequest(
                f"pool {self.pool}: of real gradients that are kept, every process would have "
                "those of its own classes alone; give --set pool=0, or one process"
            )
        return problem.layout.classes

    def usual(self, state: State) -> State:
        """Return a state in which this step's network is in the pool."""
        return self._pool.filled(state) if self.pool else state

    def unusual(self, steps: int) -> float:
        """Return the share of steps that find real gradients."""
        return self._pool.drawn(steps) / max(1, steps) if self.pool else 1.0

    def passes(self, layout: Layout, data: LabelledImages) -> float:
        """Return the images sent forward: real ones there and back, synthetic ones twice.

        Of a pool, those of a step on average, once it is filled.
        """
        once = super().passes(layout, data)
        training = once * self.inner * (self.outer - 1) / self.outer
        real = 3.0 * data.drawn(self.batch_real)
        if self.pool:
            real = real / self.refresh if self.refresh else 0.0
        return real + 2 * once + training

    def advance(
        self,
        synthetic: Synthetic,
        problem: Problem,
        state: State,
        key: Key,
        learned: Mapping[str, Tensor] = NOTHING,
        kept: Mapping[str, Any] = NOTHING,
    ) -> State:
        """Return the state with the network trained on the set, or with the next network.

        Of a pool, that with what this step found, if anything, and the next one's turn.
        """
        del learned
        if self.pool:
            return self._pool.advance(state, kept)
        outer = state["outer"] + 1
        if outer == self.outer:
            return self._with_network(state["drawn"] + 1, problem, key)
        with torch.no_grad():
            images, labels = synthetic(torch.arange(len(synthetic), device=problem.compute.device))
        (tensors,) = trainer_of(problem).fit_together(
            images,
            labels,
            inner_card(self.inner, self.augment, self.lr_network, self.batch_train),
            self.augment,
            [key],
            begun=Midway(0, network_tensors(state)),
        )
        self._calibrate(tensors, problem, key)
        return {"network": nested(tensors), "outer": outer, "drawn": state["drawn"]}

    def _with_network(self, drawn: int, problem: Problem, key: Key) -> State:
        return {"network": nested(self._drawn(problem, key)), "outer": 0, "drawn": drawn}

    def _drawn(self, problem: Problem, key: Key) -> Tensors:
        """Return the tensors of a network that is drawn."""
        module = problem.network.draw(key.fold("network"), problem.compute.device)
        tensors = self._training(problem).tensors(module)
        self._calibrate(tensors, problem, key)
        return tensors

    def _real_gradient(
        self, derivatives: LossGradients, tensors: Tensors, own: int, problem: Problem, key: Key
    ) -> Gradients:
        data, compute = problem.data, problem.compute
        index = data.draw(own, self.batch_real, key.fold("real", own))
        seen = self._augmented(data.take(index).to(compute.device), key.fold("augment", own))
        labels = functional.one_hot(torch.full((len(index),), own), data.classes)
        most = min(self.batch_real, max(len(found) for found in data.indices_of_class))
        size = min(compute.graph_chunk, most)
        return derivatives.gradient(tensors, seen, labels.to(seen), size)

    def _augmented(self, images: Tensor, key: Key) -> Tensor:
        return augment(images, parse_strategy(self.augment), key, shared=True)

    @torch.no_grad()
    def _calibrate(self, tensors: Tensors, problem: Problem, key: Key) -> None:
        """Let batch normalization see real images of all classes, in place."""
        if not problem.mixes_samples:
            return
        data = problem.data
        index = [
            data.draw(own, CALIBRATION_IMAGES, key.fold("calibrate", own))
            for own in range(data.classes)
        ]
        batch = data.take(torch.cat(index)).to(problem.compute.device)
        self._training(problem).plain(tensors, batch)

    def _tensors(self, problem: Problem, state: State) -> Tensors:
        """Return the tensors of the inner network as compiled functions take them."""
        return self._training(problem).arranged(network_tensors(state))

    def _training(self, problem: Problem) -> Functional:
        return trainer_of(problem).training

    def _derivatives(self, problem: Problem) -> LossGradients:
        return derivatives_of(problem, self.distance)

    @property
    def _pool(self) -> DrawnPool:
        return DrawnPool(self.pool, self.refresh)


def _stacked(targets: Mapping[int, Gradients]) -> dict[str, Tensor]:
    """Return the gradients of all classes, in their order, by the number of the parameter."""
    each = zip(*(targets[label] for label in sorted(targets)), strict=True)
    return {str(i): torch.stack(of_classes) for i, of_classes in enumerate(each)}


def network_tensors(state: dict[str, Any]) -> Tensors:
    """Return the tensors of the inner network, by name."""
    return dotted(state["network"])
