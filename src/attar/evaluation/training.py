"""Training freshly drawn networks on a small set, one by one or several in one step.

Shape letters: M networks, B images of a batch, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from attar.compute import Compute, Functional
from attar.data.augment import augment, augment_as_dc, parse_strategy
from attar.data.images import LabelledImages
from attar.evaluation.cards import EvaluationCard
from attar.networks import Network
from attar.rng import Key

Tensors = dict[str, Tensor]
# network inputs that are all there, or a set from which they are made batch by batch
Images = Tensor | LabelledImages


class Trainer:
    """Trains networks of one kind and tests them; what is compiled is compiled once.

    Args:
        network: what is drawn.
        compute: device, precision, compilation.
        vectorized: how many networks train in one step; 1 trains one after the other.
            Networks with batch normalization are always trained one by one.
    """

    def __init__(self, network: Network, compute: Compute, vectorized: int = 1) -> None:
        self.network = network
        self.compute = compute
        self.vectorized = 1 if network.mixes_samples() else max(1, vectorized)
        module = network.draw(Key(0), compute.device)
        self._training = Functional(module.train(), "forward", compute)
        self._several = torch.func.vmap(self._training.plain, randomness="error")
        testing = network.draw(Key(0), compute.device)
        self._testing = Functional(testing.eval(), "forward", compute)

    def fit(
        self,
        images: Images,
        labels: Tensor,
        card: EvaluationCard,
        strategy: str,
        keys: Sequence[Key],
    ) -> list[Tensors]:
        """Train one network for every key and return their tensors.

        Args:
            images: N×C×H×W network inputs, or real images, from which batches are made as
                they are needed.
            labels: N class indices, or N×K label values.
            card: the recipe.
            strategy: the augmentation, as `EvaluationCard.strategy` returns it.
            keys: of initialisation, shuffling and augmentation, one per network.
        """
        if isinstance(images, Tensor):
            images = images.to(self.compute.device)
        labels = labels.to(self.compute.device)
        trained: list[Tensors] = []
        for first in range(0, len(keys), self.vectorized):
            trained += self._fit(
                images, labels, card, strategy, keys[first : first + self.vectorized]
            )
        return trained

    @torch.no_grad()
    def accuracy(self, tensors: Tensors, data: LabelledImages) -> float:
        """Return the share of ``data`` that a trained network classifies right, in percent."""
        right = 0
        size = self.compute.chunk
        for index in torch.arange(len(data)).split(size):
            images = data.take(index).to(self.compute.device)
            missing = images.new_zeros(size - len(images), *images.shape[1:])
            scores = self._testing(tensors, torch.cat([images, missing]))[: len(index)]
            truth = data.labels[index.to(data.labels.device)].to(scores.device)
            right += int((scores.argmax(dim=1) == truth).sum())
        return 100 * right / len(data)

    def _fit(
        self,
        images: Images,
        labels: Tensor,
        card: EvaluationCard,
        strategy: str,
        keys: Sequence[Key],
    ) -> list[Tensors]:
        device = self.compute.device
        drawn = [
            self._training.tensors(self.network.draw(key.fold("network"), device)) for key in keys
        ]
        learnt = {name for name, _ in self.network.draw(Key(0)).named_parameters()}
        stacked = drawn[0] if len(keys) == 1 else _stack(drawn)
        learnable = [
            tensor.requires_grad_()
            for name, tensor in stacked.items()
            if name.removeprefix("module.") in learnt
        ]
        lr = card.lr
        optimiser = _sgd(learnable, lr, card)
        for epoch in range(card.epochs + 1):
            order = [_permutation(len(labels), key.fold("order", epoch)) for key in keys]
            for start in range(0, len(labels), card.batch):
                rows = [own[start : start + card.batch] for own in order]
                batches = [
                    augmented(self._batch(images, row), strategy, key.fold("augment", epoch, start))
                    for row, key in zip(rows, keys, strict=True)
                ]
                truth = torch.stack([labels[row.to(device)] for row in rows])
                loss = self._loss(stacked, batches, truth)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
            if epoch == card.epochs // 2 + 1:
                lr *= 0.1
                optimiser = _sgd(learnable, lr, card)
        stacked = {name: tensor.detach() for name, tensor in stacked.items()}
        return [stacked] if len(keys) == 1 else _unstack(stacked, len(keys))

    def _batch(self, images: Images, rows: Tensor) -> Tensor:
        """Return the network inputs at ``rows``, on the device."""
        if isinstance(images, Tensor):
            return images[rows.to(images.device)]
        return images.take(rows).to(self.compute.device)

    def _loss(self, tensors: Tensors, batches: list[Tensor], truth: Tensor) -> Tensor:
        """Return the sum over networks of the mean cross-entropy, so that none affects another."""
        if len(batches) == 1:
            return functional.cross_entropy(self._training(tensors, batches[0]), truth[0])
        scores = self._several(tensors, torch.stack(batches))
        losses = functional.cross_entropy(scores.flatten(0, 1), truth.flatten(0, 1))
        return losses * len(batches)


def augmented(images: Tensor, strategy: str, key: Key) -> Tensor:
    """Return a training batch: one operation per batch, parameters per image."""
    if strategy == "dc":
        return augment_as_dc(images, key)
    return augment(images, parse_strategy(strategy), key, shared=False)


def _sgd(parameters: list[Tensor], lr: float, card: EvaluationCard) -> torch.optim.SGD:
    return torch.optim.SGD(
        parameters, lr=lr, momentum=card.momentum, weight_decay=card.weight_decay
    )


def _permutation(count: int, key: Key) -> Tensor:
    return torch.randperm(count, generator=key.generator())


def _stack(drawn: list[Tensors]) -> Tensors:
    return {name: torch.stack([one[name] for one in drawn]) for name in drawn[0]}


def _unstack(stacked: Tensors, count: int) -> list[Tensors]:
    return [{name: tensor[i] for name, tensor in stacked.items()} for i in range(count)]
