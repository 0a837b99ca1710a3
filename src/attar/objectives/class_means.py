"""Class means of features in a network: of real images, and how far a set is from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attar.augmentation.dsa import augment, parse_strategy
from attar.compute import Functional
from attar.errors import BadRequest
from attar.objectives.base import Problem
from attar.objectives.chunked import filled, groups, in_chunks, rechunked
from attar.rng import Key
from attar.synthetic import Layout

# real images of a class that are augmented together; what is drawn for a class is one for all
_TOGETHER = 1024


@dataclass(frozen=True)
class ClassMeans:
    """Mean features of every class, under one transform for its real and synthetic images.

    Networks with batch normalization see the images of all classes at once.

    Args:
        batch_real: real images per class; a smaller class gives all it has.
        augment: siamese operations joined by ``_``, or ``none``.

    Raises:
        BadRequest: a setting out of range.
    """

    batch_real: int
    augment: str

    def __post_init__(self) -> None:
        parse_strategy(self.augment)
        if self.batch_real < 1:
            raise BadRequest(f"batch_real {self.batch_real}: at least one real image is needed")

    @torch.no_grad()
    def real(self, tensors: dict[str, Tensor], problem: Problem, key: Key) -> Tensor:
        """Return K×D mean features of a real batch of each class, without gradients.

        Where the set is a slice, those of the other classes are zero, and those of its own are
        bit for bit what they are in the whole: images take the places that they have there in
        calls of the same shapes.

        Args:
            tensors: of the network, as `training_embedding` takes them.
            problem: holds the data.
            key: decides which images, and their augmentation.
        """
        embedding, classes = training_embedding(problem), problem.layout.classes
        chunk = None if problem.mixes_samples else problem.compute.chunk
        sums = counts = None
        for images, owner in rechunked(self._real_batches(problem, key, chunk), chunk):
            features = embedding(tensors, images)[: len(owner)]
            if problem.layout.is_slice:
                features, owner = features[owner >= 0], owner[owner >= 0]
            if sums is None or counts is None:
                sums = features.new_zeros(classes, features.shape[1])
                counts = torch.zeros(classes, dtype=torch.long, device=features.device)
            sums.index_add_(0, owner, features)
            counts += torch.bincount(owner, minlength=classes)
        assert sums is not None and counts is not None
        return sums / counts.clamp_min(1).unsqueeze(1)

    def towards(
        self,
        real: Tensor,
        tensors: dict[str, Tensor],
        images: Tensor,
        problem: Problem,
        key: Key,
        whole: Layout | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return Σ_K ‖real − mean of features‖², and its gradient for the images.

        Args:
            real: K×D means.
            tensors: of the network, as `training_embedding` takes them; batch normalization
                updates its running statistics in place.
            images: B×C×H×W network inputs, detached.
            problem: holds the layout of these images.
            key: decides the augmentation, which is that of the real ones.
            whole: the layout that the images were drawn from; None where they are all there.
        """
        embedding, layout = training_embedding(problem), problem.layout
        chunk = None if problem.mixes_samples else problem.compute.graph_chunk
        sizes, complete = layout.sizes(), layout.whole or layout
        gradient = torch.empty_like(images)
        total = torch.zeros((), device=images.device)
        for classes in groups(complete, chunk):
            present = [label for label in classes if sizes[label]]
            if not present:
                continue
            own = [sizes[label] for label in present]
            of = None if whole is None else [whole.sizes()[label] for label in present]
            rows = slice(layout.rows_of(classes.start).start, layout.rows_of(classes.stop - 1).stop)
            leaf = images[rows].detach().requires_grad_()
            seen = self._augmented(leaf.split(own), present, key)
            target = real[present]
            if chunk is not None and max(own) > chunk:
                loss, gradient[rows] = _in_two_passes(
                    embedding, tensors, leaf, seen, target, chunk, of
                )
            else:
                places = slice(0, len(seen))
                if layout.is_slice:
                    seen, places = _among(seen, present, classes, complete)
                full = seen if complete.is_equal or chunk is None else filled(seen, chunk)
                loss = _distance(embedding(tensors, full)[places], target, own, of)
                (gradient[rows],) = torch.autograd.grad(loss, leaf)
            total += loss.detach()
        return total, gradient

    def _real_batches(
        self, problem: Problem, key: Key, chunk: int | None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield augmented real images of every class that the set has, with their labels.

        Of a slice, zero images of the label −1 stand for those of other classes that share a call
        of ``chunk`` images with them in the whole.
        """
        device, present = problem.compute.device, problem.layout.present()
        if not problem.layout.is_slice:
            yield from self._real_of(present, problem, key)
            return
        counts = [min(self.batch_real, len(own)) for own in problem.data.indices_of_class]
        whole = sum(counts)
        size = whole if chunk is None else min(chunk, whole)
        for run in _runs(present):
            begin, end = sum(counts[: run.start]), sum(counts[: run.stop])
            for others, own in ((begin % size, run), (-end % size, ())):
                if others:
                    zeros = torch.zeros(others, *problem.data.shape, device=device)
                    yield zeros, torch.full((others,), -1, device=device)
                yield from self._real_of(own, problem, key)

    def _real_of(
        self, labels: Iterable[int], problem: Problem, key: Key
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield augmented real images of some classes, with their labels."""
        device = problem.compute.device
        for label in labels:
            index = problem.data.draw(label, self.batch_real, key.fold("real", label))
            for part in index.split(_TOGETHER):
                batch = problem.data.take(part).to(device)
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


def _runs(labels: Sequence[int]) -> Iterator[range]:
    """Yield runs of classes that follow each other, of classes in order."""
    first = labels[0]
    for label, after in zip(labels, (*labels[1:], -1), strict=True):
        if after != label + 1:
            yield range(first, label + 1)
            first = after


def _among(
    seen: Tensor, present: Sequence[int], classes: Iterable[int], whole: Layout
) -> tuple[Tensor, Tensor]:
    """Return images of some classes where they lie among those of others, which are zero here.

    Args:
        seen: images of the classes ``present``, in order.
        present: some of ``classes``.
        classes: of a call in the whole.
        whole: its layout.

    Returns:
        Images of all of these classes, and the places of the ones given.
    """
    sizes = whole.sizes()
    parts = iter(seen.split([sizes[label] for label in present]))
    own = set(present)
    images = torch.cat(
        [
            next(parts) if label in own else seen.new_zeros(sizes[label], *seen.shape[1:])
            for label in classes
        ]
    )
    owner = torch.cat([torch.full((sizes[label],), label in own) for label in classes])
    return images, owner.nonzero().flatten().to(seen.device)


def training_embedding(problem: Problem) -> Functional:
    """Return the features of a network in training mode as a function, made once per run."""
    if "embedding" not in problem.cache:
        module = problem.network.draw(Key(0), problem.compute.device)
        problem.cache["embedding"] = Functional(module.train(), "embed", problem.compute)
    return problem.cache["embedding"]


def _distance(
    features: Tensor, target: Tensor, sizes: Sequence[int], whole: Sequence[int] | None = None
) -> Tensor:
    """Return the summed squared distance of class means to ``target``.

    Where m images of a class were drawn from n, the square of their mean is too large by
    (1/m − 1/n)·s² on average, s² being the variance of features as the m show it (divided by
    m − 1). This is subtracted, so that distance and gradient are on average those of all n.

    Args:
        features: of the images, class after class.
        target: a mean for each class.
        sizes: images of each class, m.
        whole: n of each class; None where they are all there.
    """
    if len(set(sizes)) == 1:
        means = features.view(len(target), -1, features.shape[1]).mean(dim=1)
    else:
        means = torch.stack([own.mean(dim=0) for own in features.split(list(sizes))])
    found = (target - means).square().sum()
    for own, size in zip(features.split(list(sizes)), whole or (), strict=whole is not None):
        if size > len(own):
            found = found - (1 / len(own) - 1 / size) * own.var(dim=0).sum()
    return found


def _in_two_passes(
    embedding: Functional,
    tensors: dict[str, Tensor],
    leaf: Tensor,
    seen: Tensor,
    target: Tensor,
    chunk: int,
    whole: Sequence[int] | None = None,
) -> tuple[Tensor, Tensor]:
    """Return loss and gradient of one large class, holding the graph of one chunk at a time.

    The gradient for a feature needs only the features of the class, which a first pass finds.
    """
    with torch.no_grad():
        features = in_chunks(embedding, tensors, seen.detach(), chunk)
    features.requires_grad_()
    loss = _distance(features, target, [len(features)], whole)
    (slope,) = torch.autograd.grad(loss, features)
    pieces = []
    for part, part_slope in zip(seen.detach().split(chunk), slope.split(chunk), strict=True):
        part = part.requires_grad_()
        padded, weight = filled(part, chunk), filled(part_slope, chunk)
        pieces.append(torch.autograd.grad((embedding(tensors, padded) * weight).sum(), part)[0])
    (gradient,) = torch.autograd.grad(seen, leaf, torch.cat(pieces))
    return loss, gradient
