"""Distribution matching (DM): class means of features in freshly drawn networks.

Source: Zhao and Bilen, Dataset Condensation with Distribution Matching, 2023; equation 5 of
the low-rank plugin paper.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from attar.data.images import LabelledImages
from attar.errors import BadRequest
from attar.objectives.base import NOTHING, Match, Problem, State, SubsetObjective
from attar.objectives.class_means import ClassMeans, training_embedding
from attar.objectives.drawn import Drawn, DrawnPool
from attar.objectives.exchanging import summed
from attar.parallel.peers import ALONE, own
from attar.rng import Key
from attar.synthetic import Layout, Synthetic
from attar.training.call_size import check_whole


@dataclass(frozen=True)
class DistributionMatching(SubsetObjective):
    """Sum over classes of the squared distance between mean real and mean synthetic features.

    Each step draws a new network and leaves it untrained, in training mode. Features are
    summed over their dimensions, not averaged. Networks with batch normalization see the
    images of all classes at once, the others go class by class.

    Args:
        batch_real: real images per class and network; a smaller class gives all it has.
        augment: siamese operations joined by ``_``, or ``none``.
        pool: keep so many drawn networks, each with the transforms and the real class means of
            its first use, and match in them by turns: K×D values each. 0 draws a network, real
            images and transforms at every step.
        refresh: steps that a network of the pool serves before another is drawn in its place;
            0 for all. With ``pool`` 1 and ``refresh`` 1 steps are those without a pool.
        batch: images of each class of the set that a step reads, drawn anew each time; 0 for
            all. Loss and gradient are on average those of all, so a loss may be below 0.

    Raises:
        BadRequest: a setting out of range.
    """

    name: ClassVar[str] = "distribution"
    takes_unequal: ClassVar[bool] = True
    tells_apart: ClassVar[bool] = False
    takes_slices: ClassVar[bool] = True
    later: ClassVar[frozenset[str]] = frozenset({"pool", "refresh", "batch"})

    batch_real: int = 256
    augment: str = "color_crop_cutout_flip_scale_rotate"
    pool: int = 0
    refresh: int = 20
    batch: int = 0

    def __post_init__(self) -> None:
        # what these refuse is refused here
        _ = self._means
        self._pool.check()
        if self.batch < 0 or self.batch == 1:
            raise BadRequest(
                f"batch {self.batch}: at least 2 images of a class are needed to tell how far "
                "they are apart; 0 for all"
            )

    def draws_rows(self, layout: Layout) -> bool:
        """Whether a step reads some of the images of a class only."""
        return self._read(layout) != layout

    def check(self, problem: Problem) -> None:
        """Refuse to draw images of the set, or some classes, where all affect each other.

        And a set too large for the one call that all of it is then sent in.
        """
        if problem.layout.is_slice and problem.mixes_samples:
            raise BadRequest(
                f"in {problem.network.name} batch normalization lets the images of all classes "
                "affect each other, so some of them cannot be updated without the others; choose "
                "a network with another norm, such as convnet3"
            )
        if self.draws_rows(problem.layout) and problem.mixes_samples:
            raise BadRequest(
                f"batch {self.batch}: in {problem.network.name} batch normalization lets images "
                "affect each other, so a part of them does not show what all would; leave it "
                "out, or choose a network with another norm, such as convnet3"
            )
        check_whole(problem.network, problem.compute, problem.layout.rows, "lower --ipc")

    def init(self, problem: Problem, key: Key) -> State:
        """Return the pool before the first step; nothing without one."""
        if not self.pool:
            return {}
        images = torch.zeros(2, *problem.layout.shape, device=problem.compute.device)
        module = problem.network.draw(Key(0), problem.compute.device)
        embedding = training_embedding(problem)
        with torch.no_grad():
            features = embedding.plain(embedding.tensors(module), images)
        return self._pool.init({"means": (problem.layout.classes, features.shape[1])}, key)

    def select(self, problem: Problem, state: State, key: Key) -> Tensor:
        """Return all rows, or ``batch`` of every class, drawn without replacement."""
        layout = problem.layout
        if not self.draws_rows(layout):
            return super().select(problem, state, key)
        drawn = []
        for label in layout.present():
            rows = layout.rows_of(label)
            order = torch.randperm(len(rows), generator=key.fold("batch", label).generator())
            drawn.append(rows.start + order[: self.batch].sort().values)
        return torch.cat(drawn)

    def match(
        self,
        images: Tensor,
        labels: Tensor,
        problem: Problem,
        state: State,
        key: Key,
        learned: Mapping[str, Tensor] = NOTHING,
    ) -> Match:
        """Return the loss of this step and its gradients, of the rows of `select`."""
        if problem.peers.count > 1:
            return self._shared(images, labels, problem, state, key)
        whole = problem.layout
        if not self.draws_rows(whole):
            return super().match(images, labels, problem, state, key, learned)
        read = self._read(whole)
        problem = replace(problem, layout=read)
        (found,) = self._matched([read.per_class], images, problem, state, key, whole)
        return found

    def _shared(
        self, images: Tensor, labels: Tensor, problem: Problem, state: State, key: Key
    ) -> Match:
        """Return what `match` does of the whole set, of which each peer does some classes."""
        mine = own(problem.peers, problem.layout.classes)
        rows = self._read(problem.layout).index_of(mine).to(images.device)
        part = replace(problem, layout=problem.layout.of_classes(mine), peers=ALONE)
        found = self.match(images[rows], labels[rows], part, state, key)
        assert found.images is not None
        gradient = torch.zeros_like(images).index_copy(0, rows, found.images)
        (whole,) = summed([Match(found.loss, gradient)], problem)
        return whole

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
        return self._matched(sizes, images, problem, state, key)

    def _matched(
        self,
        sizes: Sequence[int],
        images: Tensor,
        problem: Problem,
        state: State,
        key: Key,
        whole: Layout | None = None,
    ) -> list[Match]:
        now = self._pool.now(state, key) if self.pool else Drawn(key, None)
        module = problem.network.draw(now.key.fold("network"), problem.compute.device)
        tensors = training_embedding(problem).tensors(module)
        if now.found is not None:
            means = now.found["means"]
        else:
            means = self._means.real(tensors, problem, now.key)
        kept = self._pool.kept(now, {"means": means}) if self.pool else {}
        found = []
        for size in sizes:
            layout = problem.layout
            if size != layout.per_class:
                layout = replace(layout, per_class=size)
            rows = problem.layout.first(size).to(images.device)
            seen = replace(problem, layout=layout)
            loss, slope = self._means.towards(means, tensors, images[rows], seen, now.key, whole)
            gradient = torch.zeros_like(images).index_copy(0, rows, slope)
            found.append(Match(loss, gradient, kept=kept))
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
        """Return the pool with what this step found, if anything, and the next one's turn."""
        del synthetic, problem, key, learned
        return self._pool.advance(state, kept) if self.pool else state

    def parts(self, problem: Problem) -> int:
        """Return the number of classes, where each goes by itself and nothing is kept of them."""
        apart = not (self.pool or problem.mixes_samples)
        return problem.layout.classes if apart else 0

    def joined(self, states: Sequence[tuple[Collection[int], State]]) -> State:
        """Return the pool with the class means that the slices found, each of its classes."""
        return self._pool.joined(states) if self.pool else {}

    def usual(self, state: State) -> State:
        """Return a state in which this step's network is in the pool."""
        return self._pool.filled(state) if self.pool else state

    def unusual(self, steps: int) -> float:
        """Return the share of steps that draw a network."""
        return self._pool.drawn(steps) / max(1, steps) if self.pool else 1.0

    def passes(self, layout: Layout, data: LabelledImages) -> float:
        """Return the images sent forward: real ones once, synthetic ones there and back.

        Of a pool, those of a step on average, once it is filled.
        """
        real = data.drawn(self.batch_real)
        if self.pool:
            real = real / self.refresh if self.refresh else 0.0
        return real + super().passes(self._read(layout), data)

    @property
    def _means(self) -> ClassMeans:
        return ClassMeans(self.batch_real, self.augment)

    @property
    def _pool(self) -> DrawnPool:
        return DrawnPool(self.pool, self.refresh)

    def _read(self, layout: Layout) -> Layout:
        """Return the layout of the rows that a step reads."""
        whole = None if layout.whole is None else self._read(layout.whole)
        if not 0 < self.batch < layout.per_class:
            return layout if whole == layout.whole else replace(layout, whole=whole)
        counts = layout.counts
        if counts is not None:
            counts = tuple(min(self.batch, size) for size in counts)
        return replace(layout, per_class=self.batch, counts=counts, whole=whole)
