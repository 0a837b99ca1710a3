"""Class means of the maps of every layer, and telling real images by them (CAFE).

Source: Wang et al., CAFE: Learning to Condense Dataset by Aligning Features, 2022, and their code.

Shape letters: B images, K classes, L maps, D features.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from attar.augmentation.dsa import augment, parse_strategy
from attar.compute import Functional
from attar.data.images import LabelledImages
from attar.errors import BadRequest
from attar.networks.stages import stages
from attar.objectives.base import NOTHING, Match, Problem, State, SubsetObjective
from attar.objectives.chunked import rechunked
from attar.objectives.comparing import inner_card, trainer_of
from attar.objectives.derivatives import Tensors
from attar.objectives.exchanging import gathered, summed
from attar.objectives.features import sums_of
from attar.objectives.flat import refuse_to_share_mixed
from attar.parallel.peers import own as own_part
from attar.rng import Key
from attar.synthetic import Layout, Synthetic
from attar.tensors import dotted, nested
from attar.training.call_size import check_whole
from attar.training.learning import Midway

# that are compared, from the last one on
MAPS = 4
# accuracies whose range says whether a loop is left
WATCHED = 10


@dataclass(frozen=True)
class _Real:
    """What a batch of real images gave: class means of all maps, B×D features, B classes."""

    means: Tensor
    features: Tensor
    labels: Tensor


@dataclass(frozen=True)
class FeatureAlignment(SubsetObjective):
    """Squared distances of class means in several layers, and a discrimination loss.

    The loss is Σ_l w_l Σ_K ‖mean real − mean synthetic map‖², over the last four maps of the
    network, plus ``discrimination`` times the summed cross-entropy of real images whose scores are
    the products of their features with the mean features of the synthetic classes. Maps are what
    activations and residual blocks give, and at the end the features that the last layer is given;
    a network that is no sequence of layers has these alone.

    A network is drawn, and the set is updated. After an update the accuracy of the network on
    ``batch_check`` real images of each class is taken. Where the last ten of these differ by less
    than ``leave_outer``, the next network is drawn; else the network is trained on the set, epoch
    by epoch, until ten such accuracies differ by more than ``leave_inner``. As in the authors'
    code, a K-th of the accuracy before is added to each; they have no other limit, and ``outer``
    and ``inner`` are Attar's. One step of the engine is one update of the set.

    Networks with batch normalization see all images of a side at once. Elsewhere peers share the
    classes of both sides and of the accuracies; features of the classes are exchanged.

    Args:
        batch_real: real images per class and step; a smaller class gives all it has.
        augment: siamese operations joined by ``_``, or ``none``; they also augment the training of
            the network, with parameters for each image.
        first: weight of the last map. The authors' is 1, and they add the same distance once more
            with the discrimination loss.
        second: of the map before it.
        third: of the one before that.
        fourth: of the one before that.
        discrimination: weight of the discrimination loss; 0 leaves it out.
        leave_outer: λ1, from 0 to 1.
        leave_inner: λ2, from 0 to 1.
        outer: the most updates of the set with one network.
        inner: the most epochs of its training between two of them.
        batch_check: real images of each class that an accuracy is of.
        lr_network: learning rate of the training, by SGD without momentum.
        batch_train: images per update of it.

    Raises:
        BadRequest: a setting out of range.
    """

    name: ClassVar[str] = "alignment"
    takes_unequal: ClassVar[bool] = True
    tells_apart: ClassVar[bool] = True

    batch_real: int = 256
    augment: str = "none"
    first: float = 2.0
    second: float = 1.0
    third: float = 0.1
    fourth: float = 0.1
    discrimination: float = 0.01
    leave_outer: float = 0.04
    leave_inner: float = 0.03
    outer: int = 100
    inner: int = 100
    batch_check: int = 128
    lr_network: float = 0.01
    batch_train: int = 256

    def __post_init__(self) -> None:
        parse_strategy(self.augment)
        for name in ("batch_real", "outer", "inner", "batch_check", "batch_train"):
            if getattr(self, name) < 1:
                raise BadRequest(f"{name} {getattr(self, name)}: at least 1 is needed")
        for name in ("first", "second", "third", "fourth", "discrimination"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise BadRequest(f"{name} {value:g}: a weight of 0 or more is needed")
        if not (any(self._weights) or self.discrimination):
            raise BadRequest("first to fourth and discrimination are all 0: nothing is matched")
        for name in ("leave_outer", "leave_inner"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadRequest(f"{name} {getattr(self, name):g}: from 0 to 1")
        if not 0 < self.lr_network < math.inf:
            raise BadRequest(f"lr_network {self.lr_network:g}: a positive number is needed")

    def check(self, problem: Problem) -> None:
        """Refuse weights none of which is of a map that the network has.

        And a set too large for the one call that all of it is sent in with batch normalization.
        """
        there = self._weights[: len(self._sizes(problem))]
        if not (any(there) or self.discrimination):
            raise BadRequest(
                f"network {problem.network.name} shows {len(there)} of its maps, and the weights "
                "of these are 0; set first above 0"
            )
        check_whole(problem.network, problem.compute, problem.layout.rows, "lower --ipc")

    def init(self, problem: Problem, key: Key) -> State:
        """Return the state with the first network."""
        return self._with_network(problem, key)

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
        """Return losses of this step and their gradients for the images."""
        del labels, learned
        maps = self._maps(problem)
        # a batch in training mode moves running statistics, which are the state's
        tensors = {name: one.clone() for name, one in self._tensors(problem, state).items()}
        mine = own_part(problem.peers, problem.layout.classes)
        real = self._real(maps, tensors, problem, key, mine)
        found = []
        for size in sizes:
            rows = problem.layout.first(size).to(images.device)
            own = problem.layout.class_of_row().to(images.device)[rows] - mine.start
            here = (own >= 0) & (own < len(mine))
            rows, own = rows[here], own[here]
            leaf = images[rows].detach().requires_grad_()
            parts = leaf.split(torch.bincount(own).tolist())
            seen = torch.cat(
                [
                    self._augmented(part, key.fold("augment", label))
                    for label, part in zip(mine, parts, strict=True)
                ]
            )
            means = self._means(maps, tensors, seen, own, problem, len(mine))
            loss = self._loss(means, real, problem)
            (slope,) = torch.autograd.grad(loss, leaf)
            found.append(Match(loss.detach(), torch.zeros_like(images).index_copy(0, rows, slope)))
        return summed(found, problem)

    def parts(self, problem: Problem) -> int:
        """Return the number of classes, some of which each peer sees."""
        refuse_to_share_mixed(problem)
        return problem.layout.classes

    def passes(self, layout: Layout, data: LabelledImages) -> float:
        """Return the images sent forward: both sides, and the shortest training with its checks."""
        once = super().passes(layout, data)
        checks = (1 + WATCHED) * data.drawn(self.batch_check)
        return data.drawn(self.batch_real) + once + checks + WATCHED * once

    def advance(
        self,
        synthetic: Synthetic,
        problem: Problem,
        state: State,
        key: Key,
        learned: Mapping[str, Tensor] = NOTHING,
        kept: Mapping[str, Any] = NOTHING,
    ) -> State:
        """Return the state with the network trained on the set, or with the next network."""
        del learned, kept
        tensors, outer = self._tensors(problem, state), state["outer"] + 1
        past = state["watched"][: min(state["outer"], WATCHED - 1)].tolist()
        watched = self._watch(past, tensors, problem, key.fold("outer"))
        if outer == self.outer or (
            len(watched) == WATCHED and max(watched) - min(watched) < self.leave_outer
        ):
            return self._with_network(problem, key)
        trained = self._trained(synthetic, tensors, problem, key.fold("inner"))
        return _state(trained, outer, watched[-WATCHED + 1 :])

    def _with_network(self, problem: Problem, key: Key) -> State:
        module = problem.network.draw(key.fold("network"), problem.compute.device)
        return _state(trainer_of(problem).training.tensors(module), 0, [])

    def _trained(
        self, synthetic: Synthetic, tensors: Tensors, problem: Problem, key: Key
    ) -> Tensors:
        """Return the network after as many epochs on the set as its accuracy asks for."""
        with torch.no_grad():
            images, labels = synthetic(torch.arange(len(synthetic), device=problem.compute.device))
        card = inner_card(1, self.augment, self.lr_network, self.batch_train)
        watched: list[float] = []
        for epoch in range(self.inner):
            (tensors,) = trainer_of(problem).fit_together(
                images,
                labels,
                card,
                self.augment,
                [key.fold("epoch", epoch)],
                begun=Midway(0, tensors),
            )
            watched = self._watch(watched, tensors, problem, key.fold("check", epoch))
            if len(watched) == WATCHED and max(watched) - min(watched) > self.leave_inner:
                break
            watched = watched[-WATCHED + 1 :]
        return tensors

    def _watch(
        self, watched: list[float], tensors: Tensors, problem: Problem, key: Key
    ) -> list[float]:
        """Return accuracies with that of the network as it is behind them."""
        data, peers = problem.data, problem.peers
        right = torch.zeros(data.classes, dtype=torch.float64)
        for own in own_part(peers, data.classes):
            index = data.draw(own, self.batch_check, key.fold(own))
            scores = trainer_of(problem).scores(tensors, data.take(index))
            right[own] = (scores.argmax(dim=1) == own).double().mean()
        # class by class, so that peers come to the accuracy of one process to the bit
        whole = sum(peers.added([right])[0].tolist())
        carried = watched[-1] if watched else 0.0
        return [*watched, (carried + whole) / data.classes]

    def _loss(self, means: Tensor, real: _Real, problem: Problem) -> Tensor:
        """Return the loss, which depends on the set by its class means alone; peers add theirs."""
        sizes = self._sizes(problem)
        apart = (means - real.means).split(sizes, dim=1)
        weighted = zip(reversed(apart), self._weights, strict=False)
        loss = sum((weight * one.square().sum() for one, weight in weighted), means.new_zeros(()))
        if self.discrimination:
            last = gathered(means[:, -sizes[-1] :], problem.layout.classes, problem)
            scores = real.features @ last.T
            entropy = functional.cross_entropy(scores, real.labels, reduction="sum")
            loss = loss + self.discrimination * entropy
        return loss

    @torch.no_grad()
    def _real(
        self, maps: Functional, tensors: Tensors, problem: Problem, key: Key, mine: range
    ) -> _Real:
        """Return what one real batch of each of these classes gives."""
        together = problem.mixes_samples
        batches, features = self._real_batches(problem, key, mine), []
        sums = torch.zeros((), device=problem.compute.device)
        for images, own in rechunked(batches, None if together else problem.compute.chunk):
            found = maps(tensors, images)[: len(own)]
            sums = sums + functional.one_hot(own - mine.start, len(mine)).to(found).T @ found
            features.append((found[:, -self._sizes(problem)[-1] :].clone(), own))
        last, labels = (torch.cat(parts) for parts in zip(*features, strict=True))
        counts = torch.bincount(labels - mine.start, minlength=len(mine))
        return _Real(sums / counts[:, None], last, labels)

    def _real_batches(
        self, problem: Problem, key: Key, mine: range
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield augmented real images of each of these classes, with their labels."""
        for own in mine:
            index = problem.data.draw(own, self.batch_real, key.fold("real", own))
            batch = problem.data.take(index).to(problem.compute.device)
            seen = self._augmented(batch, key.fold("augment", own))
            yield seen, torch.full((len(index),), own, device=seen.device)

    def _means(
        self,
        maps: Functional,
        tensors: Tensors,
        seen: Tensor,
        own: Tensor,
        problem: Problem,
        classes: int,
    ) -> Tensor:
        """Return the means of the maps of some images of 0…classes−1, classes×(all maps)."""
        weights = functional.one_hot(own, classes).to(seen)
        weights = (weights / weights.sum(dim=0)).T
        if problem.mixes_samples:
            return weights @ maps(tensors, seen)
        return sums_of(maps, tensors, seen, weights, problem.compute)

    def _maps(self, problem: Problem) -> Functional:
        """Return the last maps of a network, one behind another, as a function; made once."""
        if "maps" not in problem.cache:
            module = problem.network.draw(Key(0), problem.compute.device).train()
            problem.cache["maps"] = Functional(module, _maps_of, problem.compute)
        return problem.cache["maps"]

    def _sizes(self, problem: Problem) -> list[int]:
        """Return how many values each of these maps has; the last ones are the features."""
        if "map sizes" not in problem.cache:
            module = problem.network.draw(Key(0)).train()
            images = torch.zeros(2, *problem.layout.shape)
            with torch.no_grad():
                found = [one.shape[1] for one in stages(module, images, MAPS)]
            problem.cache["map sizes"] = found
        return problem.cache["map sizes"]

    def _augmented(self, images: Tensor, key: Key) -> Tensor:
        return augment(images, parse_strategy(self.augment), key, shared=True)

    @property
    def _weights(self) -> tuple[float, ...]:
        """Return the weights of the maps, from the last one on."""
        return self.first, self.second, self.third, self.fourth

    def _tensors(self, problem: Problem, state: State) -> Tensors:
        """Return the tensors of the network as compiled functions take them."""
        return trainer_of(problem).training.arranged(dotted(state["network"]))


def _maps_of(module: nn.Module, images: Tensor) -> Tensor:
    return torch.cat(stages(module, images, MAPS), dim=1)


def _state(tensors: Tensors, outer: int, watched: Sequence[float]) -> State:
    """Return a network, how often it has served, and the last accuracies, one of each time."""
    # of one size whatever their number, so that a checkpoint can be checked
    kept = torch.zeros(WATCHED - 1, dtype=torch.float64)
    kept[: len(watched)] = torch.tensor(watched, dtype=torch.float64)
    return {"network": nested(tensors), "outer": outer, "watched": kept}
