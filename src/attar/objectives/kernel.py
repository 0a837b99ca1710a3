"""Kernel regression (FRePo): the error on real images of a regression on the synthetic set.

Source: Zhou et al. 2022, Dataset Distillation using Neural Feature Regression, and its authors'
code; equation 1 of the Slimmable Dataset Condensation paper.

Shape letters: N synthetic images, B real images, K classes.
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
from attar.objectives.features import features_of
from attar.objectives.pool import Pool, centred_targets, mirrored, seen_labels
from attar.objectives.ridge import ridge_solution
from attar.rng import Key
from attar.synthetic import Layout, Synthetic


@dataclass(frozen=True)
class KernelRegression(Objective):
    """½‖X_t·X_s†·Y_s − Y_t‖² per real image, in the features of a pool of networks.

    X_t and X_s are features of a real batch and of the synthetic set in one network of the pool,
    with running statistics; X_s†·Y_s are the weights of a ridge regression. Y_t are one-hot
    labels minus 1/K, and so are Y_s where they are not learnt. Learnt labels have a second term,
    the mean over the set of −min(largest − second largest, 1/K). After the update of the set the
    network is trained on it for a step, or drawn anew when it is old, and the next one is chosen.

    Args:
        batch_real: real images per step, drawn from all classes together; a smaller data set
            gives all it has.
        pool: number of networks.
        age: updates of a network before it is drawn anew.
        lr_network: learning rate of these updates, by Adam.
        ridge: of the regression, relative to the mean square norm of a row of features.
        mirror: let the regression see every synthetic image mirrored, too, with the same label.
        margin: add the second term where labels are learnt.

    Raises:
        BadRequest: a setting out of range.
    """

    name: ClassVar[str] = "kernel"
    takes_unequal: ClassVar[bool] = True

    batch_real: int = 1024
    pool: int = 10
    age: int = 100
    lr_network: float = 3e-4
    ridge: float = 1e-6
    mirror: bool = False
    margin: bool = True

    def __post_init__(self) -> None:
        if self.batch_real < 1:
            raise BadRequest(f"batch_real {self.batch_real}: at least one real image is needed")
        self._pool.check()
        if not (math.isfinite(self.ridge) and self.ridge >= 0):
            raise BadRequest(f"ridge {self.ridge:g}: a number of 0 or more is needed")

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
        embedding, compute = self._pool.embedding(problem), problem.compute
        tensors = self._pool.tensors(problem, state["pool"], state["network"])
        index = self._drawn(problem, key)
        with torch.no_grad():
            real = problem.data.take(index).to(compute.device)
            real = features_of(embedding, tensors, real, compute)
        leaf, values = images.detach().requires_grad_(), labels.detach().requires_grad_()
        seen, known = leaf, seen_labels(values, problem)
        if self.mirror:
            seen, known = mirrored(seen, known)
        found = features_of(embedding, tensors, seen, compute)
        error = real @ ridge_solution(found, known, self.ridge) - centred_targets(problem, index)
        loss = error.square().sum(dim=1).mean() / 2
        if self.margin and problem.learned_labels:
            loss = loss + label_margin(values)
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
        """Return the state with this step's network a step older, and the next one chosen."""
        del learned, kept
        pool = self._pool.advance(synthetic, problem, state["pool"], state["network"], key)
        return {"pool": pool, "network": self._pool.chosen(key)}

    def passes(self, layout: Layout, data: LabelledImages) -> float:
        """Return the images sent forward: real ones once, the set there and back twice."""
        seen = 2 if self.mirror else 1
        trained = min(self._pool.batch, layout.rows)
        return min(self.batch_real, len(data)) + seen * super().passes(layout, data) + 3 * trained

    @property
    def _pool(self) -> Pool:
        return Pool(self.pool, self.age, self.lr_network)

    def _drawn(self, problem: Problem, key: Key) -> Tensor:
        order = torch.randperm(len(problem.data), generator=key.fold("real").generator())
        return order[: self.batch_real]


def label_margin(labels: Tensor) -> Tensor:
    """Return the mean of −min(largest − second largest, 1/K) over the rows of N×K labels."""
    largest = labels.topk(2, dim=1).values
    return -(largest[:, 0] - largest[:, 1]).clamp_max(1 / labels.shape[1]).mean()
