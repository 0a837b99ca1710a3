"""Trajectory matching (MTT): a network trained on the set has to end where experts went.

Source: Cazenavette et al. 2022, Dataset Distillation by Matching Training Trajectories, and their
code; Cui et al. 2023 (TESLA) for the form in constant memory.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from attar.augmentation.dsa import parse_strategy
from attar.data.images import LabelledImages
from attar.errors import BadRequest, RunFailed, unknown
from attar.objectives.base import (
    NOTHING,
    Match,
    Objective,
    Problem,
    State,
    Trajectories,
    check_variants,
    experts_of,
)
from attar.objectives.exchanging import gone_back
from attar.objectives.flat import (
    flat_loss,
    refuse_to_share_mixed,
    refuse_without_second_derivatives,
)
from attar.objectives.unrolling import UNROLLS, Steps, Student, checkpointed, distance
from attar.rng import Key
from attar.synthetic import Layout, Synthetic
from attar.training.fitting import LEARNT_LR

LOSS = "cross_entropy"
# images that go forward, a backward pass counting as two, for every image of a minibatch: the
# step, and its derivatives
_PASSES = 12.0
# and to find a step again
_AGAIN = 3.0


@dataclass(frozen=True)
class TrajectoryMatching(Objective):
    """‖θ_N − θ*_{t+M}‖² / ‖θ*_t − θ*_{t+M}‖² (equation 1), summed over all parameters.

    A student starts from an expert's parameters θ*_t after t epochs and takes N steps of SGD on
    minibatches of the set, with a learnt step size, the learnt tensor ``learned_lr``, or one for
    each of them. The loss is the mean cross-entropy of a minibatch. t is drawn anew at every
    update of the set; experts take turns in a random order, another one for every pass over them.
    Batch normalization uses the statistics of the minibatch.

    Args:
        steps: N, inner steps per update of the set.
        expert_epochs: M, epochs of the expert that the N steps have to match.
        max_start: t is uniform in 0 to below this.
        batch: synthetic images per inner step, in the order of a permutation that is drawn again
            when it is used up; 0 for all of them.
        augment: operations joined by ``_``, or ``none``; one is drawn for every inner step, with
            parameters for every image.
        lr_teacher: what the learnt step size starts from.
        unroll: ``checkpointed`` for the exact gradient, doing every step again on the way back;
            ``kept`` for the same gradient from one graph of all steps, in memory that grows with
            ``steps``; ``detached`` for an approximation whose memory ``steps`` does not change,
            in which the student's parameters at every step are constants (TESLA).
        momentum_student: of the N steps, from 0 to below 1.
        lr_per_step: learn N step sizes, one for each inner step, in place of one; ``learned_lr``
            then has N values.
        held: steps whose parameters ``checkpointed`` holds at a time; every ``held``-th of the
            others is kept, and those between are found again. Memory is least for √N; 0 holds
            all. The gradient is the same.
        one_variant: where several images are made of every base, each inner step takes one variant,
            drawn for all, of the bases in its minibatch, which ``batch`` and the permutation then
            count.
        lr_least: what the learnt step size is moved back to after an update that takes it lower; 0
            for nothing, where a run fails once it is not above 0.

    Raises:
        BadRequest: a setting out of range.
    """

    name: ClassVar[str] = "trajectory"
    takes_unequal: ClassVar[bool] = True
    follows_experts: ClassVar[bool] = True
    later: ClassVar[frozenset[str]] = frozenset(
        {"momentum_student", "lr_per_step", "held", "one_variant", "lr_least"}
    )

    steps: int = 50
    expert_epochs: int = 2
    max_start: int = 2
    batch: int = 0
    augment: str = "color_crop_cutout_flip_scale_rotate"
    lr_teacher: float = 0.01
    unroll: str = "checkpointed"
    momentum_student: float = 0.0
    lr_per_step: bool = False
    held: int = 0
    one_variant: bool = False
    lr_least: float = 0.0

    def __post_init__(self) -> None:
        least_of = {"steps": 1, "expert_epochs": 1, "max_start": 1, "batch": 0, "held": 0}
        for name, least in least_of.items():
            if getattr(self, name) < least:
                raise BadRequest(f"{name} {getattr(self, name)}: {least} or more is needed")
        if not (math.isfinite(self.lr_teacher) and self.lr_teacher > 0):
            raise BadRequest(f"lr_teacher {self.lr_teacher:g}: a positive number is needed")
        if self.unroll not in UNROLLS:
            raise unknown("unroll", self.unroll, UNROLLS)
        if not 0 <= self.momentum_student < 1:
            raise BadRequest(f"momentum_student {self.momentum_student:g}: from 0 to below 1")
        if self.held and self.unroll != "checkpointed":
            raise BadRequest(
                f"held {self.held}: unroll {self.unroll!r} holds no steps apart; leave it out, or "
                "take unroll 'checkpointed'"
            )
        if not (math.isfinite(self.lr_least) and self.lr_least >= 0):
            raise BadRequest(f"lr_least {self.lr_least:g}: 0 or more")
        parse_strategy(self.augment)

    def check(self, problem: Problem) -> None:
        """Refuse missing or short trajectories, and networks without second derivatives."""
        if self.one_variant:
            check_variants(problem, self.name)
        experts = experts_of(problem, "trajectory matching")
        last = self.max_start - 1 + self.expert_epochs
        if last > experts.epochs:
            raise BadRequest(
                f"max_start {self.max_start} and expert_epochs {self.expert_epochs} reach up to "
                f"epoch {last} of experts that have {experts.epochs}; {self._shorter(experts)}"
                f"train experts with 'attar experts --epochs {last}'"
            )
        refuse_without_second_derivatives(problem, LOSS, "trajectory matching")

    def init(self, problem: Problem, key: Key) -> State:
        """Return the order of the experts, and how many of them were followed."""
        return {"order": _order(problem, key), "followed": 0}

    def learned(self, problem: Problem) -> dict[str, Tensor]:
        """Return where the learnt step size starts, or each of N."""
        del problem
        shape = (self.steps,) if self.lr_per_step else ()
        return {LEARNT_LR: torch.full(shape, float(self.lr_teacher))}

    def least(self) -> dict[str, float]:
        """Return what the learnt step size must not fall below, if anything is said."""
        return {LEARNT_LR: self.lr_least} if self.lr_least else {}

    def match(
        self,
        images: Tensor,
        labels: Tensor,
        problem: Problem,
        state: State,
        key: Key,
        learned: Mapping[str, Tensor] = NOTHING,
    ) -> Match:
        """Return the loss of one piece of one expert's trajectory and its gradients.

        Raises:
            RunFailed: the expert did not move in these epochs, or the state, from a checkpoint,
                names one that there is not.
        """
        expert = _expert(state, experts_of(problem).count)
        first, target = self._ends(problem, expert, key)
        steps = Steps(
            images,
            labels,
            [rows.to(images.device) for rows in self._rows(problem, key)],
            parse_strategy(self.augment),
            key.fold("augment"),
        )
        lr = learned[LEARNT_LR]
        loss = flat_loss(problem, LOSS)
        student = Student(loss, steps, first, lr, self.momentum_student)
        unroll = UNROLLS[self.unroll]
        if self.held:
            unroll = functools.partial(checkpointed, held=self.held)
        found = unroll(student, distance(first, target))
        return gone_back(found, problem, {LEARNT_LR: found.lr})

    def advance(
        self,
        synthetic: Synthetic,
        problem: Problem,
        state: State,
        key: Key,
        learned: Mapping[str, Tensor] = NOTHING,
        kept: Mapping[str, Any] = NOTHING,
    ) -> State:
        """Return the state with the next expert in turn.

        Raises:
            RunFailed: the learnt step size is no longer positive.
        """
        del synthetic, kept
        lr = learned[LEARNT_LR].min().item()
        if not lr > 0:
            raise RunFailed(
                f"the learnt step size fell to {lr:g}, and must stay above 0. Start it higher "
                f"(--set lr_teacher={2 * self.lr_teacher:g})"
            )
        followed = state["followed"] + 1
        if followed < len(state["order"]):
            return {**state, "followed": followed}
        return {**state, "order": _order(problem, key), "followed": 0}

    def parts(self, problem: Problem) -> int:
        """Return the images of a minibatch, which peers share.

        Raises:
            BadRequest: they affect each other, or the graph of all steps is kept.
        """
        if self.unroll == "kept":
            raise BadRequest(
                "unroll 'kept' goes back through one graph of all steps, which workers cannot "
                "share; take unroll 'checkpointed', which finds the same gradient"
            )
        refuse_to_share_mixed(problem)
        bases = problem.layout.rows // (problem.variants if self.one_variant else 1)
        return min(self.batch or bases, bases)

    def minibatches(self, count: int, key: Key) -> list[Tensor]:
        """Return the rows of a set of ``count`` images that each inner step takes."""
        size = min(self.batch or count, count)
        found: list[Tensor] = []
        drawn = 0
        while len(found) < self.steps:
            generator = key.fold("minibatches", drawn).generator()
            found += torch.randperm(count, generator=generator).split(size)
            drawn += 1
        return found[: self.steps]

    def _rows(self, problem: Problem, key: Key) -> list[Tensor]:
        """Return the rows of each inner step; of bases, as the variant of the step."""
        count, variants = len(problem.layout), problem.variants
        if not self.one_variant:
            return self.minibatches(count, key)
        generator = key.fold("variants").generator()
        drawn = torch.randint(variants, (self.steps,), generator=generator)
        bases = self.minibatches(count // variants, key)
        return [rows * variants + variant for rows, variant in zip(bases, drawn, strict=True)]

    def passes(self, layout: Layout, data: LabelledImages) -> float:
        """Return about how many images go forward: each minibatch's, there and back twice."""
        del data
        again = _AGAIN if 0 < self.held < self.steps else 0.0
        return (_PASSES + again) * self.steps * min(self.batch or layout.rows, layout.rows)

    def _ends(self, problem: Problem, expert: int, key: Key) -> tuple[Tensor, Tensor]:
        """Return an expert's parameters at t and at t + M."""
        experts = experts_of(problem)
        start = int(torch.randint(self.max_start, (), generator=key.fold("start").generator()))
        end = start + self.expert_epochs
        device = problem.compute.device
        first, target = (experts.segment(expert, epoch, 0)[0].to(device) for epoch in (start, end))
        if not (first - target).square().sum() > 0:
            raise RunFailed(
                f"expert {expert} did not move from epoch {start} to {end}, so there is nothing to "
                "match. Train others with 'attar experts', at a higher learning rate"
            )
        return first, target

    def _shorter(self, experts: Trajectories) -> str:
        """Say what would fit these experts, if anything."""
        most = experts.epochs - self.expert_epochs + 1
        if most >= 1:
            return f"set max_start to at most {most} (--set max_start={most}), or "
        return f"set expert_epochs to at most {experts.epochs} (--set expert_epochs=…), or "


def _expert(state: State, count: int) -> int:
    """Return the expert whose turn it is."""
    order, followed = state["order"], state["followed"]
    expert = int(order[followed]) if 0 <= followed < len(order) else -1
    if not 0 <= expert < count:
        raise RunFailed(
            f"the checkpoint names an expert that is not among the {count} that there are, so it "
            "is damaged; --overwrite starts again"
        )
    return expert


def _order(problem: Problem, key: Key) -> Tensor:
    return torch.randperm(experts_of(problem).count, generator=key.fold("experts").generator())
