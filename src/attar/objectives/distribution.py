"""Distribution matching (DM): class means of features in freshly drawn networks.

Source: Zhao and Bilen, Dataset Condensation with Distribution Matching, 2023; equation 5 of
the low-rank plugin paper.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from attar.augmentation.dsa import augment, parse_strategy
from attar.compute import Functional
from attar.data.images import LabelledImages
from attar.errors import BadRequest
from attar.objectives.base import NOTHING, Match, Problem, State, SubsetObjective
from attar.rng import Key
from attar.synthetic import Layout


@dataclass(frozen=True)
class DistributionMatching(SubsetObjective):
    """Sum over classes of the squared distance between mean real and mean synthetic features.

    Each step draws a new network and leaves it untrained, in training mode. Features are
    summed over their dimensions, not averaged. Networks with batch normalization see the
    images of all classes at once, the others go class by class.

    Args:
        batch_real: real images per class and step; a smaller class gives all it has.
        augment: siamese operations joined by ``_``, or ``none``.
    """

    name: ClassVar[str] = "distribution"
    takes_unequal: ClassVar[bool] = True
    tells_apart: ClassVar[bool] = False
    takes_slices: ClassVar[bool] = True

    batch_real: int = 256
    augment: str = "color_crop_cutout_flip_scale_rotate"

    def __post_init__(self) -> None:
        parse_strategy(self.augment)
        if self.batch_real < 1:
            raise BadRequest(f"batch_real {self.batch_real}: at least one real image is needed")

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
        del labels, state, learned
        drawn = problem.network.draw(key.fold("network"), problem.compute.device)
        tensors = training_embedding(problem).tensors(drawn)
        return self.match_in(tensors, sizes, images, problem, key)

    def match_in(
        self,
        tensors: dict[str, Tensor],
        sizes: Sequence[int],
        images: Tensor,
        problem: Problem,
        key: Key,
    ) -> list[Match]:
        """Return the same in a given network.

        Args:
            tensors: of the network, as `training_embedding` takes them; batch normalization
                updates its running statistics in place.
            sizes: each the number of images per class to compare.
            images: B×C×H×W network inputs, detached.
            problem: holds the data and the layout of the images.
            key: decides the real images, and the augmentation.
        """
        embedding = training_embedding(problem)
        mixed = problem.mixes_samples
        real = self.real_means(
            embedding, tensors, problem, key, None if mixed else problem.compute.chunk
        )
        chunk = None if mixed else problem.compute.graph_chunk

        found = []
        for size in sizes:
            layout = problem.layout
            if size != layout.per_class:
                layout = replace(layout, per_class=size)
            rows = problem.layout.first(size).to(images.device)
            total, gradient = self._towards(
                real, embedding, tensors, images[rows], layout, key, chunk
            )
            found.append(Match(total, torch.zeros_like(images).index_copy(0, rows, gradient)))
        return found

    def _towards(
        self,
        real: Tensor,
        embedding: Functional,
        tensors: dict[str, Tensor],
        images: Tensor,
        layout: Layout,
        key: Key,
        chunk: int | None,
    ) -> tuple[Tensor, Tensor]:
        """Return the distance of the images of ``layout`` from real means, and its gradient."""
        sizes = layout.sizes()
        gradient = torch.empty_like(images)
        total = torch.zeros((), device=images.device)
        for classes in _groups(layout, chunk):
            present = [label for label in classes if sizes[label]]
            if not present:
                continue
            own = [sizes[label] for label in present]
            rows = slice(layout.rows_of(classes.start).start, layout.rows_of(classes.stop - 1).stop)
            leaf = images[rows].detach().requires_grad_()
            seen = self._augmented(leaf.split(own), present, key)
            target = real[present]
            if chunk is not None and max(own) > chunk:
                loss, gradient[rows] = _in_two_passes(embedding, tensors, leaf, seen, target, chunk)
            else:
                filled = seen if layout.is_equal or chunk is None else _filled(seen, chunk)
                loss = _distance(embedding(tensors, filled)[: len(seen)], target, own)
                (gradient[rows],) = torch.autograd.grad(loss, leaf)
            total += loss.detach()
        return total, gradient

    def passes(self, layout: Layout, data: LabelledImages) -> float:
        """Return the images sent forward: real ones once, synthetic ones there and back."""
        return data.drawn(self.batch_real) + super().passes(layout, data)

    @torch.no_grad()
    def real_means(
        self,
        embedding: Functional,
        tensors: dict[str, Tensor],
        problem: Problem,
        key: Key,
        chunk: int | None,
    ) -> Tensor:
        """Return K×D mean features of a real batch of each class, without gradients.

        Where the set is a slice, those of the other classes are zero.

        Args:
            embedding: from tensors and images to features.
            tensors: of the network.
            problem: holds the data.
            key: decides which images, and their augmentation.
            chunk: the most images per call; None for all at once.
        """
        classes = problem.layout.classes
        sums = counts = None
        for images, owner in _rechunked(self._real_batches(problem, key), chunk):
            features = embedding(tensors, images)[: len(owner)]
            if sums is None or counts is None:
                sums = features.new_zeros(classes, features.shape[1])
                counts = torch.zeros(classes, dtype=torch.long, device=features.device)
            sums.index_add_(0, owner, features)
            counts += torch.bincount(owner, minlength=classes)
        assert sums is not None and counts is not None
        return sums / counts.clamp_min(1).unsqueeze(1)

    def _real_batches(self, problem: Problem, key: Key) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield an augmented real batch of every class that the set has, with its labels."""
        device = problem.compute.device
        for label in problem.layout.present():
            index = problem.data.draw(label, self.batch_real, key.fold("real", label))
            batch = problem.data.take(index).to(device)
            seen = self._augmented([batch], [label], key)
            yield seen, torch.full((len(seen),), label, device=device)

    def _augmented(
        self, batches: list[Tensor] | tuple[Tensor, ...], classes: Sequence[int], key: Key
    ) -> Tensor:
        """Return one batch of all classes; a class's key is the same for real and synthetic."""
        strategy = parse_strategy(self.augment)
        return torch.cat(
            [
                augment(batch, strategy, key.fold("augment", label), shared=True)
                for batch, label in zip(batches, classes, strict=True)
            ]
        )


def training_embedding(problem: Problem) -> Functional:
    """Return the features of a network in training mode as a function, made once per run."""
    if "embedding" not in problem.cache:
        module = problem.network.draw(Key(0), problem.compute.device)
        problem.cache["embedding"] = Functional(module.train(), "embed", problem.compute)
    return problem.cache["embedding"]


def _groups(layout: Layout, chunk: int | None) -> Iterator[range]:
    """Yield consecutive classes whose images go through the network in one call.

    Groups are of equal size, so that a compiled function meets one shape; where classes differ
    they have at most a chunk of images, or one class.
    """
    classes, n = layout.classes, layout.per_class
    if chunk is not None and not layout.is_equal:
        yield from _unequal_groups(layout.sizes(), chunk)
        return
    together = classes if chunk is None else max(1, min(classes, chunk // n))
    while classes % together:
        together -= 1
    for first in range(0, classes, together):
        yield range(first, first + together)


def _unequal_groups(sizes: Sequence[int], chunk: int) -> Iterator[range]:
    first, taken = 0, 0
    for label, size in enumerate(sizes):
        if label > first and taken + size > chunk:
            yield range(first, label)
            first, taken = label, 0
        taken += size
    yield range(first, len(sizes))


def _distance(features: Tensor, target: Tensor, sizes: Sequence[int]) -> Tensor:
    """Return the summed squared distance of class means to ``target``.

    Args:
        features: of the images, class after class.
        target: a mean for each class.
        sizes: images of each class.
    """
    if len(set(sizes)) == 1:
        means = features.view(len(target), -1, features.shape[1]).mean(dim=1)
    else:
        means = torch.stack([own.mean(dim=0) for own in features.split(list(sizes))])
    return (target - means).square().sum()


def _rechunked(
    batches: Iterator[tuple[Tensor, Tensor]], chunk: int | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the images and labels of ``batches`` in parts of ``chunk`` images, or all at once.

    Where there are several parts, the last one is filled up with zero images, so that all have
    one shape; its labels are those of the true images alone.
    """
    images, labels = next(batches)
    several = False
    for more in itertools.chain(batches, [None]):
        if more is not None:
            images, labels = torch.cat([images, more[0]]), torch.cat([labels, more[1]])
        while chunk is not None and len(images) > chunk:
            several = True
            yield images[:chunk], labels[:chunk]
            images, labels = images[chunk:], labels[chunk:]
    yield (_filled(images, chunk) if several and chunk is not None else images), labels


def _filled(images: Tensor, size: int) -> Tensor:
    """Return ``images`` with zero images behind them, ``size`` in all."""
    return torch.cat([images, images.new_zeros(size - len(images), *images.shape[1:])])


def in_chunks(
    embedding: Functional, tensors: dict[str, Tensor], images: Tensor, chunk: int | None
) -> Tensor:
    """Return the features of ``images``, at most ``chunk`` images per call.

    The last call is filled up with zero images, so that all have one shape.
    """
    if chunk is None or len(images) <= chunk:
        return embedding(tensors, images)
    padded = _filled(images, len(images) + -len(images) % chunk)
    return torch.cat([embedding(tensors, part) for part in padded.split(chunk)])[: len(images)]


def _in_two_passes(
    embedding: Functional,
    tensors: dict[str, Tensor],
    leaf: Tensor,
    seen: Tensor,
    target: Tensor,
    chunk: int,
) -> tuple[Tensor, Tensor]:
    """Return loss and gradient of one large class, holding the graph of one chunk at a time.

    The gradient for a feature needs only the class mean, which a first pass finds.
    """
    with torch.no_grad():
        features = in_chunks(embedding, tensors, seen.detach(), chunk)
    features.requires_grad_()
    loss = _distance(features, target, [len(features)])
    (slope,) = torch.autograd.grad(loss, features)
    pieces = []
    for part, part_slope in zip(seen.detach().split(chunk), slope.split(chunk), strict=True):
        part = part.requires_grad_()
        padded, weight = _filled(part, chunk), _filled(part_slope, chunk)
        pieces.append(torch.autograd.grad((embedding(tensors, padded) * weight).sum(), part)[0])
    (gradient,) = torch.autograd.grad(seen, leaf, torch.cat(pieces))
    return loss, gradient
