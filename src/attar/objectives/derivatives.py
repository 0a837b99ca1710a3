"""Gradients of a network's loss for its parameters, and the way back from these to images.

Every function takes weights, images and targets as inputs, so that one compiled graph serves
all classes and all networks. Shape letters: B images, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from attar.compute import Compute, Functional, compiled
from attar.objectives.distances import Counted, Distance, Gradients
from attar.parallel.peers import ALONE, Peers, own

Tensors = dict[str, Tensor]


class LossGradients:
    """The mean cross-entropy's gradients of one kind of network, compiled once.

    Batch normalization uses its running statistics, so that images do not affect each other
    and a batch may come in parts.

    Args:
        module: any drawn network; gives the structure.
        distance: compares synthetic with real gradients.
        counted: whether a parameter is compared; others need no gradient.
        compute: device, precision, compilation.
    """

    def __init__(
        self,
        module: nn.Module,
        distance: Distance,
        counted: Counted,
        compute: Compute,
    ) -> None:
        self._network = Functional(module.eval(), "forward", compute)
        self._names = {
            f"module.{name}" for name, tensor in module.named_parameters() if counted(tensor)
        }
        self._distance = distance
        self._compute = compute
        self._gradient = compiled(self._gradient_of_part, compute)
        self._matched = compiled(self._match_whole, compute)
        self._pulled = compiled(self._pull_part, compute)

    def shapes(self, tensors: Tensors) -> list[tuple[int, ...]]:
        """Return the shapes of what `gradient` returns."""
        return [tuple(one.shape) for one in self._parted(tensors)[0].values()]

    def gradient(
        self,
        tensors: Tensors,
        images: Tensor,
        labels: Tensor,
        size: int,
        peers: Peers = ALONE,
    ) -> Gradients:
        """Return the gradients of the mean loss of a batch.

        Args:
            tensors: of the network, as `Functional.tensors` gives them.
            images: B×C×H×W network inputs.
            labels: B×K.
            size: images per call; what is missing in the last one is filled up.
            peers: that share the images of the batch.
        """
        wanted, rest = self._parted(tensors)
        total: list[Tensor] = []
        for part in parts(images, labels, size, peers):
            found = self._gradient(wanted, rest, *self._laid_out(part))
            total = list(found) if not total else [a + b for a, b in zip(total, found, strict=True)]
        return tuple(peers.added(total))

    def match(
        self,
        tensors: Tensors,
        images: Tensor,
        labels: Tensor,
        target: Gradients,
        filled: int | None = None,
        peers: Peers = ALONE,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the distance of a batch's gradients from ``target``, and its own gradients.

        Args:
            tensors: of the network, as `Functional.tensors` gives them.
            images: B×C×H×W network inputs.
            labels: B×K.
            target: the gradients to compare with.
            filled: where B differs from call to call, the most that it is; calls of compiled
                functions are filled up to it.
            peers: that share the images of the batch; all of them get what one process would.

        Returns:
            The distance, its gradient for the images, its gradient for the labels.
        """
        wanted, rest = self._parted(tensors)
        most = self._compute.second_order_chunk
        size = min(most, filled or most)
        whole = filled is None or not self._compute.compile or len(images) == filled
        if len(images) <= size and whole and peers.count == 1:
            return self._matched(wanted, rest, self._compute.lay_out(images), labels, target)
        # the distance needs the whole batch's gradient, which a first pass finds; its slope then
        # lets every part go back by itself
        gradients = self.gradient(tensors, images, labels, size, peers)
        found = tuple(gradient.requires_grad_() for gradient in gradients)
        distance = self._distance(found, target)
        slope = torch.autograd.grad(distance, found)
        back = [
            self._pulled(wanted, rest, *self._laid_out(part), slope)
            for part in parts(images, labels, size, peers)
        ]
        mine = own(peers, len(images))
        image, label = (torch.cat(parts)[: len(mine)] for parts in zip(*back, strict=True))
        if peers.count > 1:
            image, label = peers.added([among(image, images, mine), among(label, labels, mine)])
        return distance.detach(), image, label

    def _laid_out(self, part: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        images, labels, shares = part
        return self._compute.lay_out(images), labels, shares

    def _parted(self, tensors: Tensors) -> tuple[Tensors, Tensors]:
        wanted = {name: tensors[name] for name in tensors if name in self._names}
        return wanted, {name: tensors[name] for name in tensors if name not in self._names}

    def _loss(
        self, wanted: Tensors, rest: Tensors, images: Tensor, labels: Tensor, shares: Tensor
    ) -> Tensor:
        scores = self._network.plain({**wanted, **rest}, images)
        return -(functional.log_softmax(scores, dim=1) * labels).sum(dim=1) @ shares

    def _gradient_of_part(self, *arguments: Any) -> Gradients:
        return tuple(torch.func.grad(self._loss)(*arguments).values())

    def _match_whole(
        self, wanted: Tensors, rest: Tensors, images: Tensor, labels: Tensor, target: Gradients
    ) -> tuple[Tensor, Tensor, Tensor]:
        shares = images.new_full((len(images),), 1 / len(images))

        def distance(images: Tensor, labels: Tensor) -> Tensor:
            found = self._gradient_of_part(wanted, rest, images, labels, shares)
            return self._distance(found, target)

        (image, label), value = torch.func.grad_and_value(distance, argnums=(0, 1))(images, labels)
        return value, image, label

    def _pull_part(
        self,
        wanted: Tensors,
        rest: Tensors,
        images: Tensor,
        labels: Tensor,
        shares: Tensor,
        slope: Gradients,
    ) -> tuple[Tensor, Tensor]:
        def product(images: Tensor, labels: Tensor) -> Tensor:
            found = self._gradient_of_part(wanted, rest, images, labels, shares)
            return torch.stack([(a * b).sum() for a, b in zip(found, slope, strict=True)]).sum()

        return torch.func.grad(product, argnums=(0, 1))(images, labels)


def among(part: Tensor, like: Tensor, mine: range) -> Tensor:
    """Return rows where they lie among those of peers, which are zero here."""
    whole = torch.zeros_like(like, memory_format=torch.contiguous_format)
    whole[mine.start : mine.stop] = part
    return whole


def parts(
    images: Tensor, labels: Tensor, size: int, peers: Peers = ALONE
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield images, labels and their shares in the mean, ``size`` at a time.

    The last part is filled up with zero images of no share, so that all have one shape; one whose
    peers have all images gets such alone.
    """
    whole, mine = len(images), own(peers, len(images))
    images, labels = images[mine.start : mine.stop], labels[mine.start : mine.stop]
    count = len(images)
    missing = -count % size if count else size
    images = torch.cat([images, images.new_zeros(missing, *images.shape[1:])])
    labels = torch.cat([labels, labels.new_zeros(missing, labels.shape[1])])
    shares = torch.full((count,), 1 / whole, device=images.device, dtype=images.dtype)
    shares = torch.cat([shares, shares.new_zeros(missing)])
    yield from zip(images.split(size), labels.split(size), shares.split(size), strict=True)
