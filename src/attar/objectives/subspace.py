"""Expert subspace projection (ESP): gradients of the set kept where the experts' training went.

Source: Ma et al., Dataset Condensation via Expert Subspace Projection, 2023, Algorithm 1 and
equations 2 to 10. Shape letters: P parameters, B images, K classes, T epochs of a segment.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from attar.augmentation.dsa import augment, parse_strategy
from attar.data.images import LabelledImages
from attar.errors import BadRequest, RunFailed, unknown
from attar.objectives.base import NOTHING, Match, Objective, Problem, State, experts_of
from attar.objectives.class_means import ClassMeans, training_embedding
from attar.objectives.exchanging import once, summed
from attar.objectives.flat import (
    LOSSES,
    FlatLoss,
    flat_loss,
    refuse_to_share_mixed,
    refuse_without_second_derivatives,
)
from attar.objectives.span import NORMS, SPANS, Span, spanned
from attar.parallel.peers import ALONE, own
from attar.rng import Key
from attar.synthetic import Layout, Synthetic


@dataclass(frozen=True)
class SubspaceProjection(Objective):
    """The norm of what a gradient of the set has outside an expert's subspace, and class means.

    A segment of an expert's trajectory is drawn, and a student starts from its first snapshot.
    Then the set is updated ``steps`` times. Each time the gradient G of the student's loss on the
    set is split into its projection on the span of the segment's snapshots and the rest. The loss
    is ``projection`` times the norm of the rest, plus ``matching`` times distribution matching in
    the student as it is. The projection of G, with G as it was before the update of the set, then
    moves the student. No gradient flows through that, so that memory does not depend on ``steps``.

    G sees the set as networks in training do, every image with augmentation parameters of its own;
    distribution matching augments real and synthetic images of a class alike. Batch normalization
    uses the statistics of the batch. Binary cross-entropy is the mean over classes and images; the
    norm is of all P values; class means of features are
    compared as in `DistributionMatching`, summed over features, but averaged over classes.

    Args:
        length: T, epochs from the first to the last snapshot of a segment.
        steps: N, updates of the set and of the student with one segment.
        max_start: segments start at an epoch below this; 0 for all that the experts have.
        lr_network: learning rate of the student.
        projection: β, weight of the norm; 0 leaves it out.
        matching: weight of distribution matching; 0 leaves it out.
        span: ``snapshots`` spans the snapshots themselves, ``differences`` those from the first.
        norm: ``l1``, as equation 7 is printed; ``l2``, as the paper's text has it; or
            ``relative``, the l2 norm divided by that of G: the sine of the angle between G and the
            subspace, which a smaller G does not lower.
        loss: ``binary_cross_entropy``, as printed, or ``cross_entropy``; of the student.
        batch_real: real images per class and step; a smaller class gives all it has.
        augment: siamese operations joined by ``_``, or ``none``.
        batch: synthetic images per class and step, drawn anew each time; 0 for all.
    """

    name: ClassVar[str] = "subspace"
    follows_experts: ClassVar[bool] = True

    length: int = 3
    steps: int = 10
    max_start: int = 0
    lr_network: float = 0.1
    projection: float = 1e-5
    matching: float = 1.0
    span: str = "snapshots"
    norm: str = "l1"
    loss: str = "binary_cross_entropy"
    batch_real: int = 256
    augment: str = "color_crop_cutout_flip_scale_rotate"
    batch: int = 0

    def __post_init__(self) -> None:
        for name, least in (("length", 1), ("steps", 1), ("max_start", 0), ("batch", 0)):
            if getattr(self, name) < least:
                raise BadRequest(f"{name} {getattr(self, name)}: {least} or more is needed")
        for name in ("lr_network", "projection", "matching"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise BadRequest(f"{name} {value:g}: a number of 0 or more is needed")
        if not self.lr_network:
            raise BadRequest("lr_network 0: a positive number is needed")
        if not (self.projection or self.matching):
            raise BadRequest("projection and matching are both 0: nothing is matched")
        for name, known in (("span", SPANS), ("norm", NORMS), ("loss", LOSSES)):
            if getattr(self, name) not in known:
                raise unknown(name, getattr(self, name), known)
        # what it refuses is refused here
        _ = self._means

    def check(self, problem: Problem) -> None:
        """Refuse missing or short trajectories, and networks that cannot go both ways."""
        experts = experts_of(problem, "expert subspace projection")
        if self.length > experts.epochs:
            raise BadRequest(
                f"length {self.length}: the experts were trained for {experts.epochs} epochs; set "
                f"length to at most {experts.epochs}, or train them for longer"
            )
        most = experts.epochs - self.length + 1
        if self.max_start > most:
            raise BadRequest(
                f"max_start {self.max_start}: segments of length {self.length} would reach epoch "
                f"{self.max_start - 1 + self.length}, and the experts have {experts.epochs}; set "
                f"max_start to at most {most}, or train them for longer"
            )
        refuse_without_second_derivatives(problem, self.loss, "expert subspace projection")

    def init(self, problem: Problem, key: Key) -> State:
        """Return the student at the start of the first segment."""
        return self._begun(problem, key)

    def select(self, problem: Problem, state: State, key: Key) -> Tensor:
        """Return all rows, or ``batch`` of every class, drawn without replacement."""
        classes, n = problem.layout.classes, problem.layout.per_class
        if not 0 < self.batch < n:
            return super().select(problem, state, key)
        drawn = [
            torch.randperm(n, generator=key.fold("batch", own).generator())[: self.batch] + own * n
            for own in range(classes)
        ]
        return torch.cat(drawn)

    def match(
        self,
        images: Tensor,
        labels: Tensor,
        problem: Problem,
        state: State,
        key: Key,
        learned: Mapping[str, Tensor] = NOTHING,
    ) -> Match:
        """Return the loss of this step (equation 9), its gradients, and the projection of G."""
        del learned
        student, span = state["student"], self._span(problem, state)
        flat = flat_loss(problem, self.loss)
        leaf = images.detach().requires_grad_()
        strategy = parse_strategy(self.augment)
        seen = augment(leaf, strategy, key.fold("training"), shared=False)
        gradient = flat.gradient(student, seen.detach(), labels)
        kept = {"projected": span.onto(gradient)}
        means = self._means_matched(images, problem, flat, student, key)
        if not self.projection:
            (found,) = summed([means], problem)
            return dataclasses.replace(found, kept=kept)
        size = NORMS[self.norm](gradient - kept["projected"], gradient)
        slope = span.beside(size.residual)
        direction = self.projection * (slope if size.vector is None else slope + size.vector)
        back = flat.pull(
            student, seen.detach(), labels, direction, gradient=False, parameters=False
        )
        (image,) = torch.autograd.grad(seen, leaf, back.images)
        image = image if means.images is None else image + means.images
        loss = means.loss + self.projection * once(size.value, problem)
        (found,) = summed([Match(loss, image, back.labels)], problem)
        return dataclasses.replace(found, kept=kept)

    def advance(
        self,
        synthetic: Synthetic,
        problem: Problem,
        state: State,
        key: Key,
        learned: Mapping[str, Tensor] = NOTHING,
        kept: Mapping[str, Any] = NOTHING,
    ) -> State:
        """Return the student one projected step on (equation 6), or at the start of a segment."""
        del synthetic, learned
        inner = state["inner"] + 1
        if inner == self.steps:
            return self._begun(problem, key)
        moved = state["student"] - self.lr_network * kept["projected"]
        return {
            "student": moved,
            "expert": state["expert"],
            "start": state["start"],
            "inner": inner,
        }

    def parts(self, problem: Problem) -> int:
        """Return the classes: peers share the images for G, and the classes whose means match.

        Raises:
            BadRequest: images affect each other.
        """
        refuse_to_share_mixed(problem)
        return problem.layout.classes

    def passes(self, layout: Layout, data: LabelledImages) -> float:
        """Return the images sent forward: there and back for G, twice that for its way back."""
        per_class = min(self.batch or layout.per_class, layout.per_class)
        seen = dataclasses.replace(layout, per_class=per_class)
        once = super().passes(seen, data)
        means = data.drawn(self.batch_real) + once if self.matching else 0.0
        return once + (2 * once if self.projection else 0.0) + means

    @cached_property
    def _means(self) -> ClassMeans:
        return ClassMeans(self.batch_real, self.augment)

    def _means_matched(
        self, images: Tensor, problem: Problem, flat: FlatLoss, student: Tensor, key: Key
    ) -> Match:
        """Return distribution matching in the student (equation 8), weighted."""
        if not self.matching:
            return Match(torch.zeros((), device=images.device), None)
        classes = problem.layout.classes
        each = len(images) // classes
        if each != problem.layout.per_class:
            layout = dataclasses.replace(problem.layout, per_class=each)
            problem = dataclasses.replace(problem, layout=layout)
        tensors = _embedding_tensors(problem, flat, student)
        peers, weight = problem.peers, self.matching / classes
        if peers.count == 1:
            real = self._means.real(tensors, problem, key)
            loss, slope = self._means.towards(real, tensors, images, problem, key)
            return Match(weight * loss, weight * slope)
        mine = own(peers, classes)
        rows = problem.layout.index_of(mine).to(images.device)
        problem = dataclasses.replace(problem, layout=problem.layout.of_classes(mine), peers=ALONE)
        real = self._means.real(tensors, problem, key)
        loss, slope = self._means.towards(real, tensors, images[rows], problem, key)
        return Match(weight * loss, torch.zeros_like(images).index_copy(0, rows, weight * slope))

    def _begun(self, problem: Problem, key: Key) -> State:
        """Return the state at the start of a segment drawn from ``key`` (Algorithm 1)."""
        experts = experts_of(problem)
        starts = self.max_start or experts.epochs - self.length + 1
        generator = key.fold("segment").generator()
        expert = int(torch.randint(experts.count, (), generator=generator))
        start = int(torch.randint(starts, (), generator=generator))
        student = experts.segment(expert, start, 0)[0].to(problem.compute.device)
        return {"student": student, "expert": expert, "start": start, "inner": 0}

    def _span(self, problem: Problem, state: State) -> Span:
        """Return the span of the student's segment, found once."""
        which = (state["expert"], state["start"], self.length, self.span)
        known, span = problem.cache.get("expert span", (None, None))
        if known == which:
            return span
        expert, start = state["expert"], state["start"]
        span = spanned(experts_of(problem).segment(expert, start, self.length), self.span)
        if not len(span.basis):
            raise RunFailed(
                f"epochs {start} to {start + self.length} of expert {expert} span nothing: its "
                f"{self.span} are all zero, so training did not move it. Train others with "
                "'attar experts'"
            )
        span = Span(span.basis.to(problem.compute.device))
        problem.cache["expert span"] = (which, span)
        return span


def _embedding_tensors(problem: Problem, flat: FlatLoss, student: Tensor) -> dict[str, Tensor]:
    """Return the student as `training_embedding` takes it, with fresh running statistics."""
    name = "buffers of students"
    if name not in problem.cache:
        module = problem.network.draw(Key(0), problem.compute.device)
        problem.cache[name] = {f"module.{path}": one for path, one in module.named_buffers()}
    buffers = {path: one.clone() for path, one in problem.cache[name].items()}
    return training_embedding(problem).arranged({**flat.tensors(student), **buffers})
