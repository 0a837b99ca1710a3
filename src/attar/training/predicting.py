"""Prediction by regression with the kernel of an infinitely wide network, in place of training."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from attar.compute import Compute
from attar.data.images import LabelledImages
from attar.kernels import Infinite, infinite, solved
from attar.networks import Network
from attar.rng import Key
from attar.training.by_class import Hits
from attar.training.evaluation_card import EvaluationCard
from attar.training.losses import targets
from attar.training.trainer import Images, Labelling, Tensors, Trainer, hits_of

# test images whose kernel is made at once
_TESTED = 1024


class Judge(Protocol):
    """What learns from a set and is tested: networks, or a regression."""

    vectorized: int

    def fit(
        self,
        images: Images,
        labels: Tensor,
        card: EvaluationCard,
        strategy: str,
        keys: Sequence[Key],
        teacher: Labelling | None = None,
    ) -> list[Tensors]:
        """Learn once for every key, as `Trainer.fit` does."""
        ...

    def scores(self, tensors: Tensors, images: Tensor) -> Tensor:
        """Return N×K scores of network inputs."""
        ...

    def hits(self, tensors: Tensors, data: LabelledImages) -> Hits:
        """Return how many images of each class are classified right."""
        ...


def trainer_of(
    card: EvaluationCard, network: Network, compute: Compute, vectorized: int = 1
) -> Judge:
    """Return what learns under a card.

    Raises:
        BadRequest: the card asks for the kernel of a network that has no infinite form.
    """
    if card.kernel:
        return KernelPredictor(network, compute)
    return Trainer(network, compute, vectorized)


class KernelPredictor:
    """Scores K_ts·(K_ss + λ·tr(K_ss)/N·I)⁻¹·Y_s; nothing in them is random.

    Args:
        network: whose kernel at infinite width is taken.
        compute: says where; the arithmetic is float64.
    """

    # all repeats agree, so they are made together
    vectorized = 10**6

    def __init__(self, network: Network, compute: Compute) -> None:
        self._kernel: Infinite = infinite(network)
        self._classes = network.classes
        self._compute = compute
        self._kind = "ntk"
        self._tested: tuple[Tensors, LabelledImages, Hits] | None = None

    def fit(
        self,
        images: Images,
        labels: Tensor,
        card: EvaluationCard,
        strategy: str,
        keys: Sequence[Key],
        teacher: Labelling | None = None,
    ) -> list[Tensors]:
        """Return the images and the weight of each in the scores, once for every key.

        Raises:
            BadRequest: the kernel does not fit into memory.
        """
        del strategy, teacher
        self._kernel.check(len(images), len(images))
        self._kind = card.kernel
        if not isinstance(images, Tensor):
            images = images.take(torch.arange(len(images)))
        images = images.to(self._compute.device)
        truth = targets(labels.to(images.device), self._classes, card)
        with torch.no_grad():
            weights = solved(self._kernel.gram(images, None, self._kind), truth, card.ridge)
        return [{"images": images, "weights": weights}] * len(keys)

    def scores(self, tensors: Tensors, images: Tensor) -> Tensor:
        """Return the scores, N×K, of N×C×H×W network inputs."""
        parts = images.to(self._compute.device).split(_TESTED)
        with torch.no_grad():
            return torch.cat(
                [
                    self._kernel.gram(part, tensors["images"], self._kind) @ tensors["weights"]
                    for part in parts
                ]
            )

    def hits(self, tensors: Tensors, data: LabelledImages) -> Hits:
        """Return how many images of each class are classified right."""
        known = self._tested
        if known is None or known[0] is not tensors or known[1] is not data:
            found = hits_of(partial(self.scores, tensors), data, _TESTED)
            known = self._tested = (tensors, data, found)
        return known[2]
