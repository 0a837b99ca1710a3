"""Images of one base kept apart: their likeness to an extractor that learns to see them as one.

Source: Liu et al. 2022, Dataset Distillation via Factorization (HaBa), section 3.3, and their code;
Khosla et al. 2020, Supervised Contrastive Learning, for the contrastive loss.

Shape letters: B bases of a step, K classes, f features.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from attar.augmentation.dsa import augment, parse_strategy
from attar.compute import Functional
from attar.data.images import LabelledImages
from attar.errors import BadRequest
from attar.objectives.base import NOTHING, Match, Objective, Problem, State, check_variants
from attar.objectives.flat import drop_running_statistics
from attar.objectives.last_layer import last_layer
from attar.rng import Key
from attar.synthetic import Layout, Synthetic
from attar.training.evaluation_card import EvaluationCard
from attar.training.learning import Learning, Midway


@dataclass(frozen=True)
class Contrast(Objective):
    """The mean of (cos(f(x_a), f(x_b)) + 1) / 2 over pairs of images of one base.

    One step draws two variants a ≠ b for all bases, such as two hallucinators, and looks at the
    images with an extractor f: a network of the run's own kind, which is trained by one update for
    every update of the set, on images drawn anew, by a loss of its own:
    ``classify`` · cross-entropy + ``likeness`` · (1 − cos) / 2 + ``supervised`` · SupCon. So it
    learns to see the images of a base as one, while these learn to differ. Its loss reaches no
    image, and that of the images does not train it; no file keeps it.

    Args:
        bases: how many of them a step draws, of all classes together; 0 for all.
        augment: operations joined by ``_``, or ``none``; one is drawn for all images of a step,
            with parameters for each.
        lr_extractor: learning rate of the extractor, by SGD.
        momentum_extractor: of it, from 0 to below 1.
        classify: weight of the cross-entropy in the extractor's loss.
        likeness: weight of the distance of the two images of a base in it.
        supervised: weight of the supervised contrastive loss in it.
        temperature: of that loss.

    Raises:
        BadRequest: a setting out of range.
    """

    name: ClassVar[str] = "contrast"

    bases: int = 0
    augment: str = "color_crop_cutout_flip_scale_rotate"
    lr_extractor: float = 0.001
    momentum_extractor: float = 0.9
    classify: float = 1.0
    likeness: float = 0.1
    supervised: float = 0.1
    temperature: float = 0.07

    def __post_init__(self) -> None:
        parse_strategy(self.augment)
        if self.bases < 0:
            raise BadRequest(f"bases {self.bases}: 0 or more")
        for name in ("lr_extractor", "temperature"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise BadRequest(f"{name} {value:g}: a positive number is needed")
        if not 0 <= self.momentum_extractor < 1:
            raise BadRequest(f"momentum_extractor {self.momentum_extractor:g}: from 0 to below 1")
        for name in ("classify", "likeness", "supervised"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise BadRequest(f"{name} {value:g}: 0 or more")

    def check(self, problem: Problem) -> None:
        """Refuse sets with one image of each base, and networks without features."""
        check_variants(problem, self.name)
        module = problem.network.draw(Key(0), problem.compute.device)
        if last_layer(module) is None:
            raise BadRequest(
                f"network {problem.network.name}: its last linear layer was not found, and the "
                f"objective {self.name!r} needs features before it; take a ConvNet, such as "
                "convnet3"
            )

    def init(self, problem: Problem, key: Key) -> State:
        """Return the extractor as it is drawn."""
        drawn = problem.network.draw(key.fold("extractor"), problem.compute.device)
        extractor = _extractor(problem)
        return Midway(0, extractor.tensors(_Extractor(drawn))).tree(extractor.parameter_names)

    def select(self, problem: Problem, state: State, key: Key) -> Tensor:
        """Return the rows of the first variant, then those of the second in the same order."""
        del state
        rows, variants = len(problem.layout), problem.variants
        count = rows // variants
        order = torch.randperm(count, generator=key.fold("bases").generator())
        first = order[: self.bases or count] * variants
        pair = torch.randperm(variants, generator=key.fold("variants").generator())[:2]
        return torch.cat([first + variant for variant in pair])

    def match(
        self,
        images: Tensor,
        labels: Tensor,
        problem: Problem,
        state: State,
        key: Key,
        learned: Mapping[str, Tensor] = NOTHING,
    ) -> Match:
        """Return how alike the images of each base are, and the gradient for them."""
        del labels, learned
        extractor = _extractor(problem)
        tensors = extractor.arranged(Midway.of(state, extractor.parameter_names).tensors)
        leaf = images.detach().requires_grad_()
        _, one, other = self._seen(extractor, tensors, leaf, problem, key)
        loss = (functional.cosine_similarity(one, other) + 1).mean() / 2
        (slope,) = torch.autograd.grad(loss, leaf)
        return Match(loss.detach(), slope)

    def advance(
        self,
        synthetic: Synthetic,
        problem: Problem,
        state: State,
        key: Key,
        learned: Mapping[str, Tensor] = NOTHING,
        kept: Mapping[str, Any] = NOTHING,
    ) -> State:
        """Return the extractor after one update on the set as it is now."""
        del learned, kept
        index = self.select(problem, state, key).to(problem.compute.device)
        with torch.no_grad():
            images, labels = synthetic(index)
        extractor = _extractor(problem)
        before = Midway.of(state, extractor.parameter_names)
        tensors = {name: one.clone() for name, one in extractor.arranged(before.tensors).items()}
        learning = Learning(tensors, extractor.parameter_names, self._card)
        learning.restore(before.optimiser)
        scores, one, other = self._seen(extractor, tensors, images, problem, key)
        classes = synthetic.class_of_row[index[: len(one)]]
        loss = self.classify * functional.cross_entropy(scores, labels)
        loss = loss + self.likeness * (1 - functional.cosine_similarity(one, other)).mean() / 2
        loss = loss + self.supervised * contrastive(one, other, classes, self.temperature)
        learning.update([loss])
        return learning.midway(1).tree(extractor.parameter_names)

    def passes(self, layout: Layout, data: LabelledImages) -> float:
        """Return about how many images go forward: two of each base, there and back twice."""
        del data
        return 12.0 * min(self.bases or layout.rows, layout.rows)

    def _seen(
        self,
        extractor: Functional,
        tensors: dict[str, Tensor],
        images: Tensor,
        problem: Problem,
        key: Key,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return scores of all images (2B×K), and features of either half (B×f)."""
        seen = augment(images, parse_strategy(self.augment), key.fold("augment"), shared=False)
        found = extractor(tensors, seen)
        scores, features = found.split(
            (problem.layout.classes, found.shape[1] - problem.layout.classes), dim=1
        )
        one, other = features.chunk(2)
        return scores, one, other

    @property
    def _card(self) -> EvaluationCard:
        """How the extractor is updated."""
        return EvaluationCard(
            "extractor",
            "SGD",
            1,
            "none",
            lr=self.lr_extractor,
            momentum=self.momentum_extractor,
            weight_decay=0.0,
        )


def contrastive(one: Tensor, other: Tensor, classes: Tensor, temperature: float) -> Tensor:
    """Return the supervised contrastive loss (SupCon, outside the logarithm) of two views.

    Args:
        one: B×f features.
        other: B×f features of the same things.
        classes: of these, B.
        temperature: above 0.
    """
    features = functional.normalize(torch.cat([one, other]))
    itself = torch.eye(len(features), dtype=torch.bool, device=features.device)
    alike = (features @ features.T / temperature).masked_fill(itself, -math.inf)
    shares = alike.log_softmax(dim=1).masked_fill(itself, 0.0)
    labels = torch.cat([classes, classes])
    same = (labels[:, None] == labels) & ~itself
    return -((shares * same).sum(dim=1) / same.sum(dim=1)).mean()


class _Extractor(nn.Module):
    """A network that returns scores and features, B×(K + f)."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, images: Tensor) -> Tensor:
        features = self.module.embed(images)  # pyright: ignore[reportCallIssue]
        layer = last_layer(self.module)
        assert layer is not None
        return torch.cat([layer(features), features], dim=1)


def _extractor(problem: Problem) -> Functional:
    """Return scores and features as a function of the extractor's tensors, made once per run."""
    if "extractor" not in problem.cache:
        module = _Extractor(problem.network.draw(Key(0), problem.compute.device)).train()
        drop_running_statistics(module)
        problem.cache["extractor"] = Functional(module, "forward", problem.compute)
    return problem.cache["extractor"]
