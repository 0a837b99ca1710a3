"""Regression with the kernel of an infinitely wide network (KIP).

Source: Nguyen, Chen and Lee 2021, Dataset Meta-Learning from Kernel Ridge-Regression; Nguyen et al.
2021, Dataset Distillation with Infinitely Wide Convolutional Networks; and their code.

Shape letters: N synthetic images, B real images, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attar.capacity import spare_memory
from attar.data.images import LabelledImages
from attar.errors import BadRequest, unknown
from attar.kernels import KINDS, Infinite, infinite, solved
from attar.objectives.base import NOTHING, Match, Objective, Problem, State, gradients
from attar.objectives.exchanging import summed
from attar.objectives.pool import centred_targets, seen_labels
from attar.parallel.peers import own
from attar.rng import Key
from attar.synthetic import Layout


@dataclass(frozen=True)
class InfiniteRegression(Objective):
    """Half the mean of (K_ts·(K_ss + λ·tr(K_ss)/N·I)⁻¹·Y_s − Y_t)² over real images and classes.

    K is the kernel of the problem's network at infinite width, in float64, between real images t
    and the synthetic set s. Y_t are one-hot labels minus 1/K, and so are Y_s where they are not
    learnt. Every class gives as many real images. Nothing is drawn but these, and no network is
    trained.

    Args:
        batch_real: real images per step, of all classes together; a smaller class gives all it
            has.
        kind: of the kernel: ``ntk``, that of a network in training, or ``nngp``, of one whose last
            layer alone is trained.
        ridge: λ.

    Raises:
        BadRequest: a setting out of range.
    """

    name: ClassVar[str] = "infinite"
    takes_unequal: ClassVar[bool] = True

    batch_real: int = 5000
    kind: str = "ntk"
    ridge: float = 1e-6

    def __post_init__(self) -> None:
        if self.batch_real < 1:
            raise BadRequest(f"batch_real {self.batch_real}: at least one real image is needed")
        if self.kind not in KINDS:
            raise unknown("kind", self.kind, KINDS)
        if not (math.isfinite(self.ridge) and self.ridge >= 0):
            raise BadRequest(f"ridge {self.ridge:g}: a number of 0 or more is needed")

    def check(self, problem: Problem) -> None:
        """Refuse a network without an infinite form, and a kernel that memory does not hold."""
        seen, rows = min(self.batch_real, len(problem.data)), len(problem.layout)
        kernel, there = _kernel(problem), spare_memory()
        fitting = self._fitting(kernel.most_pairs(there), seen, problem.layout)
        side = 0 if fitting else kernel.largest_side(max(seen, rows), rows, there)
        smaller = [f"smaller images (--resize {side})"] if side else []
        remedy = " or ".join([*fitting, *smaller, "random features (--method rfad)"])
        kernel.check(max(seen, rows), rows, f"take {remedy}")

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
        del state, learned
        index = balanced(problem.data, self.batch_real, key.fold("real"))
        mine = own(problem.peers, len(index))
        rows = index[mine.start : mine.stop]
        real = problem.data.take(rows).to(problem.compute.device)
        leaf, values = images.detach().requires_grad_(), labels.detach().requires_grad_()
        kernel = _kernel(problem)
        dual = solved(kernel.gram(leaf, None, self.kind), seen_labels(values, problem), self.ridge)
        found = kernel.gram(real, leaf, self.kind) @ dual
        error = found - centred_targets(problem, rows)
        loss = error.square().mean().float() / 2 * (len(mine) / len(index))
        (whole,) = summed([gradients(loss, leaf, values)], problem)
        return whole

    def parts(self, problem: Problem) -> int:
        """Return the real images of a step, which peers share; each has the set's own kernel."""
        each = _each(problem.data, self.batch_real)
        return sum(min(each, len(one)) for one in problem.data.indices_of_class)

    @staticmethod
    def _fitting(pairs: int, seen: int, layout: Layout) -> list[str]:
        """Return, in words, the most images with which so many pairs are enough, if any."""
        rows, classes = len(layout), len(layout.present())
        real, each = pairs // max(rows, 1), math.isqrt(pairs) // classes
        if max(rows, classes) <= real < seen:
            return [f"at most {real:,} real images (--set batch_real={real})"]
        if 0 < each * classes < rows:
            return [
                f"at most {each * classes:,} images in the set (--images-per-class {each} --set "
                f"batch_real={each * classes})"
            ]
        return []

    def passes(self, layout: Layout, data: LabelledImages) -> float:
        """Return 0: no image is sent through a network."""
        del layout, data
        return 0.0


def balanced(data: LabelledImages, count: int, key: Key) -> Tensor:
    """Return the indices of about ``count`` images, as many of each class, none of them twice.

    Args:
        data: a class with fewer gives all it has.
        count: at least one of every class is drawn.
        key: of the draw.
    """
    each = _each(data, count)
    generator = key.generator()
    return torch.cat(
        [one[torch.randperm(len(one), generator=generator)[:each]] for one in data.indices_of_class]
    )


def _each(data: LabelledImages, count: int) -> int:
    return max(1, count // data.classes)


def _kernel(problem: Problem) -> Infinite:
    if "infinite: kernel" not in problem.cache:
        problem.cache["infinite: kernel"] = infinite(problem.network)
    return problem.cache["infinite: kernel"]
