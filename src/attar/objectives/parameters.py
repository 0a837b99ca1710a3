"""Parameter matching: a slimmed set that trains a last linear layer as the set it is made from.

Source: Slimmable Dataset Condensation, section 3.3, equations 6 and 7, and algorithm 1.

Shape letters: N images of the source, B of the slimmed set, f features, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from attar.data.images import LabelledImages
from attar.errors import BadRequest
from attar.objectives.base import NOTHING, Match, Objective, Problem, State, gradients
from attar.objectives.derivatives import Tensors
from attar.objectives.features import features_of
from attar.objectives.last_layer import name_of_last
from attar.objectives.pool import Pool, centred_targets, mirrored, seen_labels
from attar.objectives.ridge import ridge_solution
from attar.rng import Key
from attar.synthetic import Layout, Synthetic


@dataclass(frozen=True)
class ParameterMatching(Objective):
    """first·L¹ + infinity·L∞ + performance·L, in the features of a pool of networks.

    With features X and labels Y of the source, X' and Y' of the slimmed set, and the last linear
    layer w, all in sums of squares:

    - L¹ = ‖X'ᵀ(X'w − Y') − Xᵀ(Xw − Y)‖²: one step of training changes w alike (equation 6).
      The predictions are the network's own, its bias included.
    - L∞ = ‖X'†Y' − X†Y‖²: training to the end leaves the same weights (equation 7). † is that
      of a ridge regression, see `ridge_solution`.
    - L, the performance matching that L∞ replaces: half the squared error of X·X'†Y' against Y,
      summed over classes, the mean over the source (equation 2).

    Only the last layer's gradients are matched, so nothing is differentiated twice. Each step
    takes one network of the pool, in evaluation mode; the networks are trained on the slimmed
    set. Labels that are one-hot count minus 1/K. The data of the problem are the source.

    Source: Slimmable Dataset Condensation, section 3.3 and algorithm 1; the size and the age of
    the pool, which it does not give, are those of FRePo.

    Args:
        first: weight of L¹, λ₁.
        infinity: weight of L∞, λ∞.
        performance: weight of L.
        averaged: take the gradients of L¹ of the mean over images, as networks are trained, in
            place of the sum, which differs between sets of different sizes.
        ridge: of the regressions, relative to the mean square norm of a row of features.
        mirror: see every image mirrored, too.
        pool: number of networks.
        age: updates of a network before it is drawn anew.
        lr_network: learning rate of these updates, by Adam.

    Raises:
        BadRequest: a setting out of range, or nothing to match.
    """

    name: ClassVar[str] = "parameters"

    first: float = 1e-2
    infinity: float = 1.0
    performance: float = 0.0
    averaged: bool = False
    ridge: float = 1e-6
    mirror: bool = False
    pool: int = 10
    age: int = 100
    lr_network: float = 3e-4

    def __post_init__(self) -> None:
        for name in ("first", "infinity", "performance", "ridge"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise BadRequest(f"{name} {value}: a number of 0 or more is needed")
        if not (self.first or self.infinity or self.performance):
            raise BadRequest("first, infinity and performance are all 0: nothing is matched")
        self._pool.check()

    def check(self, problem: Problem) -> None:
        """Refuse real images, and networks without a last linear layer.

        Raises:
            BadRequest: it is one of these; says what to take.
        """
        if not problem.data.prepared:
            raise BadRequest(
                f"parameter matching slims an artefact, and {problem.data.name} are real images: "
                "use attar slim, or another method to condense them"
            )
        if self.first and _last_layer(problem, self._pool) is None:
            raise BadRequest(
                f"network {problem.network.name!r} has no last linear layer whose gradient could "
                "be matched; take another network, such as convnet3, or set first to 0"
            )
        self._pool.check_together(problem)

    def init(self, problem: Problem, key: Key) -> State:
        """Return the networks, and which of them the first step takes."""
        return {"pool": self._pool.init(problem, key), "network": self._pool.chosen(key)}

    def match(
        self,
        images: Tensor,
        labels: Tensor,
        problem: Problem,
        state: State,
        key: Key,
        learned: Mapping[str, Tensor] = NOTHING,
    ) -> Match:
        """Return the loss in one network of the pool and its gradients."""
        del key, learned
        embedding = self._pool.embedding(problem)
        tensors = self._pool.tensors(problem, state["pool"], state["network"])
        index = torch.arange(len(problem.data))
        with torch.no_grad():
            source = problem.data.take(index).to(problem.compute.device)
            source, targets = self._seen(source, centred_targets(problem, index))
            source = features_of(embedding, tensors, source, problem.compute)
        leaf, values = images.detach().requires_grad_(), labels.detach().requires_grad_()
        seen, known = self._seen(leaf, seen_labels(values, problem))
        found = features_of(embedding, tensors, seen, problem.compute)
        layer = self._layer(problem, tensors) if self.first else None
        loss = self._loss(found, known, source, targets, layer, len(index))
        return gradients(loss, leaf, values)

    def advance(
        self,
        synthetic: Synthetic,
        problem: Problem,
        state: State,
        key: Key,
        learned: Mapping[str, Tensor] = NOTHING,
        kept: Mapping[str, Any] = NOTHING,
    ) -> State:
        """Return the state with the network of this step trained on the slimmed set, or redrawn."""
        del learned, kept
        pool = self._pool.advance(synthetic, problem, state["pool"], state["network"], key)
        return {"pool": pool, "network": self._pool.chosen(key)}

    def passes(self, layout: Layout, data: LabelledImages) -> float:
        """Return the images sent forward: the source once, the slimmed set there and back twice."""
        seen = 2 if self.mirror else 1
        pool = self._pool
        return seen * (len(data) + super().passes(layout, data)) + 3 * min(pool.batch, layout.rows)

    @property
    def _pool(self) -> Pool:
        return Pool(self.pool, self.age, self.lr_network)

    def _seen(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return mirrored(images, labels) if self.mirror else (images, labels)

    def _layer(self, problem: Problem, tensors: Tensors) -> tuple[Tensor, Tensor | None]:
        """Return weights (K×f) and bias (K) of the last layer of a network."""
        layer = _last_layer(problem, self._pool)
        return tensors[f"{layer}.weight"], tensors.get(f"{layer}.bias")

    def _loss(
        self,
        features: Tensor,
        labels: Tensor,
        source: Tensor,
        targets: Tensor,
        layer: tuple[Tensor, Tensor | None] | None,
        plain: int,
    ) -> Tensor:
        """Return the weighted sum, for features and labels of the slimmed set and of the source.

        ``plain`` is how many rows the source has without its mirror images.
        """
        loss = features.new_zeros(())
        if layer is not None:
            change = layer_gradient(features, labels, *layer, averaged=self.averaged)
            wanted = layer_gradient(source, targets, *layer, averaged=self.averaged)
            loss = loss + self.first * (change - wanted).square().sum()
        if not (self.infinity or self.performance):
            return loss
        learnt = ridge_solution(features, labels, self.ridge)
        if self.infinity:
            wanted = ridge_solution(source, targets, self.ridge)
            loss = loss + self.infinity * (learnt - wanted).square().sum()
        if self.performance:
            error = source[:plain] @ learnt - targets[:plain]
            loss = loss + self.performance * error.square().sum(dim=1).mean() / 2
        return loss


def layer_gradient(
    features: Tensor,
    labels: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    averaged: bool = False,
) -> Tensor:
    """Return the gradient of ½‖X·w + bias − Y‖² for w, f×K (equation 5).

    Args:
        features: X, B×f.
        labels: Y, B×K.
        weight: w transposed, K×f, as `torch.nn.Linear` keeps it.
        bias: K, or None.
        averaged: divide it by B.
    """
    found = features.mT @ (torch.nn.functional.linear(features, weight, bias) - labels)
    return found / len(features) if averaged else found


def _last_layer(problem: Problem, pool: Pool) -> str | None:
    """Return what the names of the last linear layer begin with; None where there is none."""
    names = pool.embedding(problem).parameter_names
    return name_of_last(names, "module")
