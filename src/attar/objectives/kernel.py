"""Kernel regression (FRePo): the error on real images of a regression on the synthetic set.

Source: Zhou et al. 2022, Dataset Distillation using Neural Feature Regression, and its authors'
code; equation 1 of the Slimmable Dataset Condensation paper.

Shape letters: N synthetic images, B real images, K classes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from attar.compute import Functional
from attar.data.images import LabelledImages
from attar.errors import BadRequest
from attar.objectives.base import NOTHING, Match, Objective, Problem, State, gradients
from attar.objectives.derivatives import Tensors
from attar.objectives.exchanging import summed
from attar.objectives.features import features_of
from attar.objectives.pool import Pool, centred_targets, mirrored, seen_labels
from attar.objectives.ridge import ridge_solution
from attar.parallel.peers import own
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
        uses: steps that a network serves as it is, one after the other, before it is trained.
            They share a real batch, whose features the first of them finds, so that the others
            cost the synthetic side alone; networks live ``uses`` times as many steps. 1 is
            published.

    Raises:
        BadRequest: a setting out of range.
    """

    name: ClassVar[str] = "kernel"
    takes_unequal: ClassVar[bool] = True
    later: ClassVar[frozenset[str]] = frozenset({"uses"})

    batch_real: int = 1024
    pool: int = 10
    age: int = 100
    lr_network: float = 3e-4
    ridge: float = 1e-6
    mirror: bool = False
    margin: bool = True
    uses: int = 1

    def __post_init__(self) -> None:
        if self.batch_real < 1:
            raise BadRequest(f"batch_real {self.batch_real}: at least one real image is needed")
        if self.uses < 1:
            raise BadRequest(f"uses {self.uses}: at least one step is needed")
        self._pool.check()
        if not (math.isfinite(self.ridge) and self.ridge >= 0):
            raise BadRequest(f"ridge {self.ridge:g}: a number of 0 or more is needed")

    def check(self, problem: Problem) -> None:
        """Refuse a set that memory cannot hold in the one call that trains a network on it."""
        self._pool.check_together(problem)

    def init(self, problem: Problem, key: Key) -> State:
        """Return the networks, and which of them the first step takes."""
        state = {"pool": self._pool.init(problem, key), "network": self._pool.chosen(key)}
        return state if self.uses == 1 else state | self._nothing_seen(problem, state)

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
        peers = problem.peers
        real, index = self._seen(embedding, tensors, problem, state, key)
        mine = own(peers, len(index))
        rows = slice(mine.start, mine.stop)
        leaf, values = images.detach().requires_grad_(), labels.detach().requires_grad_()
        seen, known = leaf, seen_labels(values, problem)
        if self.mirror:
            seen, known = mirrored(seen, known)
        found = features_of(embedding, tensors, seen, compute)
        aim = centred_targets(problem, index[rows].cpu())
        error = real[rows] @ ridge_solution(found, known, self.ridge) - aim
        loss = error.square().sum(dim=1).mean() / 2 * (len(mine) / len(index))
        if self.margin and problem.learned_labels and peers.number == 0:
            loss = loss + label_margin(values)
        (match,) = summed([gradients(loss, leaf, values)], problem)
        if self.uses == 1:
            return match
        kept = {"real": real, "index": index.to(compute.device)}
        return dataclasses.replace(match, kept=kept)

    def advance(
        self,
        synthetic: Synthetic,
        problem: Problem,
        state: State,
        key: Key,
        learned: Mapping[str, Tensor] = NOTHING,
        kept: Mapping[str, Any] = NOTHING,
    ) -> State:
        """Return the state with this step's network a step older, and the next one chosen.

        Or, before the last use of the network, with what was seen of the real side.
        """
        del learned
        used = state.get("used", 0) + 1
        if used < self.uses:
            return {**state, **kept, "used": used}
        pool = self._pool.advance(synthetic, problem, state["pool"], state["network"], key)
        later = {**state, "pool": pool, "network": self._pool.chosen(key)}
        return later if self.uses == 1 else later | {"used": 0}

    def usual(self, state: State) -> State:
        """Return a state in which the real side was seen before."""
        return state if self.uses == 1 else {**state, "used": 1}

    def unusual(self, steps: int) -> float:
        """Return the share of steps that look at real images."""
        return 1 / self.uses

    def parts(self, problem: Problem) -> int:
        """Return the real images of a step, which peers share."""
        return min(self.batch_real, len(problem.data))

    def passes(self, layout: Layout, data: LabelledImages) -> float:
        """Return the images sent forward: real ones once, the set there and back twice."""
        seen = 2 if self.mirror else 1
        trained = min(self._pool.batch, layout.rows)
        once = min(self.batch_real, len(data)) + 3 * trained
        return once / self.uses + seen * super().passes(layout, data)

    def _nothing_seen(self, problem: Problem, state: State) -> State:
        """Return what a state holds of the real side, before anything is seen of it."""
        embedding, device = self._pool.embedding(problem), problem.compute.device
        tensors = self._pool.tensors(problem, state["pool"], state["network"])
        one = torch.zeros(1, *problem.layout.shape, device=device)
        with torch.no_grad():
            features = embedding.plain(tensors, one)
        batch = min(self.batch_real, len(problem.data))
        return {
            "used": 0,
            "real": torch.zeros(batch, features.shape[1], device=device),
            "index": torch.zeros(batch, dtype=torch.int64, device=device),
        }

    @property
    def _pool(self) -> Pool:
        return Pool(self.pool, self.age, self.lr_network)

    @torch.no_grad()
    def _seen(
        self, embedding: Functional, tensors: Tensors, problem: Problem, state: State, key: Key
    ) -> tuple[Tensor, Tensor]:
        """Return features of the real batch, and which images these are.

        Where peers share it, features of the others are there only if they are to be kept.
        """
        if state.get("used", 0):
            return state["real"], state["index"]
        index, peers = self._drawn(problem, key), problem.peers
        mine = own(peers, len(index))
        rows = slice(mine.start, mine.stop)
        images = problem.data.take(index[rows]).to(problem.compute.device)
        real = features_of(embedding, tensors, images, problem.compute)
        if peers.count == 1:
            return real, index
        whole = real.new_zeros(len(index), real.shape[1])
        whole[rows] = real
        return (whole if self.uses == 1 else peers.added([whole])[0]), index

    def _drawn(self, problem: Problem, key: Key) -> Tensor:
        order = torch.randperm(len(problem.data), generator=key.fold("real").generator())
        return order[: self.batch_real]


def label_margin(labels: Tensor) -> Tensor:
    """Return the mean of −min(largest − second largest, 1/K) over the rows of N×K labels."""
    largest = labels.topk(2, dim=1).values
    return -(largest[:, 0] - largest[:, 1]).clamp_max(1 / labels.shape[1]).mean()
