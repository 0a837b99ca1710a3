"""Regression in features of wide random networks (RFAD).

Source: Loo et al. 2022, Efficient Dataset Distillation using Random Feature Approximation, and its
authors' code.

Shape letters: N synthetic images, B real images, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from attar.compute import Functional
from attar.data.images import LabelledImages
from attar.errors import BadRequest
from attar.kernels import infinite, solved
from attar.objectives.base import NOTHING, Match, Objective, Problem, State
from attar.objectives.derivatives import Tensors
from attar.objectives.exchanging import summed
from attar.objectives.features import features_of
from attar.objectives.pool import centred_targets, seen_labels
from attar.parallel.peers import own as own_part
from attar.rng import Key
from attar.synthetic import Layout

PLATT = "platt"
# variances of weights, times the inputs of an output, and of biases
_WEIGHT, _BIAS = 2.0, 0.01


@dataclass(frozen=True)
class RandomFeatures(Objective):
    """The error on real images of a regression with K = 2φφᵀ/D + 0.01 on the set.

    φ are the D features of several networks drawn anew at every step, with normal weights of
    variance 2/fan-in and biases of 0.01, as those of the infinite network whose covariances K
    estimates. With s the scores of the regression, the loss is the cross-entropy of eᵏ·s with a
    learnt k, or without it half the mean of (s − Y)² with one-hot labels minus 1/K.

    Args:
        batch_real: real images per step, drawn from all classes together; a smaller data set
            gives all it has.
        networks: networks per step.
        ridge: λ of K_ss + λ·tr(K_ss)/N·I.
        platt: take the cross-entropy.

    Raises:
        BadRequest: a setting out of range.
    """

    name: ClassVar[str] = "random_features"
    takes_unequal: ClassVar[bool] = True

    batch_real: int = 5120
    networks: int = 8
    ridge: float = 5e-3
    platt: bool = True

    def __post_init__(self) -> None:
        if self.batch_real < 1:
            raise BadRequest(f"batch_real {self.batch_real}: at least one real image is needed")
        if self.networks < 1:
            raise BadRequest(f"networks {self.networks}: at least one network is needed")
        if not (math.isfinite(self.ridge) and self.ridge >= 0):
            raise BadRequest(f"ridge {self.ridge:g}: a number of 0 or more is needed")

    def check(self, problem: Problem) -> None:
        """Refuse a network whose features are no estimate of a kernel, such as one with norms."""
        infinite(problem.network)

    def learned(self, problem: Problem) -> Mapping[str, Tensor]:
        """Return k, which starts at 0."""
        return {PLATT: torch.zeros((), device=problem.compute.device)} if self.platt else {}

    def match(
        self,
        images: Tensor,
        labels: Tensor,
        problem: Problem,
        state: State,
        key: Key,
        learned: Mapping[str, Tensor] = NOTHING,
    ) -> Match:
        """Return the loss of the regression and its gradients."""
        del state
        order = torch.randperm(len(problem.data), generator=key.fold("real").generator())
        drawn = order[: self.batch_real]
        mine = own_part(problem.peers, len(drawn))
        index = drawn[mine.start : mine.stop]
        real = problem.data.take(index).to(problem.compute.device)
        leaves = {
            "images": images.detach().requires_grad_(),
            "labels": labels.detach().requires_grad_(),
            **{name: value.detach().requires_grad_() for name, value in learned.items()},
        }
        own, across = self._kernels(leaves["images"], real, problem, key)
        dual = solved(own.double(), seen_labels(leaves["labels"], problem), self.ridge)
        loss = self._loss(across.double() @ dual, centred_targets(problem, index), leaves)
        loss = loss * (len(mine) / len(drawn))
        slopes = torch.autograd.grad(loss, list(leaves.values()))
        found = dict(zip(leaves, slopes, strict=True))
        of_set = found.pop("images"), found.pop("labels")
        (whole,) = summed([Match(loss.detach().float(), *of_set, found)], problem)
        return whole

    def parts(self, problem: Problem) -> int:
        """Return the real images of a step, which peers share; each has the set's own kernel."""
        return min(self.batch_real, len(problem.data))

    def passes(self, layout: Layout, data: LabelledImages) -> float:
        """Return the images sent forward: real ones once, the set there and back."""
        return self.networks * (min(self.batch_real, len(data)) + super().passes(layout, data))

    def _loss(self, scores: Tensor, truth: Tensor, leaves: Mapping[str, Tensor]) -> Tensor:
        if not self.platt:
            return (scores - truth).square().mean() / 2
        scaled = scores * leaves[PLATT].double().exp()
        return functional.cross_entropy(scaled, truth.argmax(dim=1))

    def _kernels(
        self, images: Tensor, real: Tensor, problem: Problem, key: Key
    ) -> tuple[Tensor, Tensor]:
        """Return K of the set with itself, N×N, and of real images with it, B×N."""
        embedding = _embedding(problem)
        own, across = images.new_zeros(()), images.new_zeros(())
        for number in range(self.networks):
            tensors = _drawn(problem, embedding, key.fold("network", number))
            found = features_of(embedding, tensors, images, problem.compute).float()
            with torch.no_grad():
                seen = features_of(embedding, tensors, real, problem.compute).float()
            share = _WEIGHT / (self.networks * found.shape[1])
            own, across = own + found @ found.T * share, across + seen @ found.T * share
        return own + _BIAS, across + _BIAS


def _embedding(problem: Problem) -> Functional:
    name = "random features: embedding"
    if name not in problem.cache:
        module = problem.network.draw(Key(0), problem.compute.device).eval()
        problem.cache[name] = Functional(module, "embed", problem.compute)
    return problem.cache[name]


def _drawn(problem: Problem, embedding: Functional, key: Key) -> Tensors:
    """Return the tensors of a network with normal weights."""
    module = problem.network.draw(key, "cpu")
    generator = key.fold("weights").generator()
    with torch.no_grad():
        for tensor in module.parameters():
            variance = _WEIGHT / tensor[0].numel() if tensor.ndim > 1 else _BIAS
            tensor.normal_(0, math.sqrt(variance), generator=generator)
    return embedding.tensors(module.to(problem.compute.device))
