"""Which batches of a training keep their labels, and which of these an update takes.

An epoch beyond those that are kept takes one of them, drawn at random, and an update whose batch is
pruned takes a batch that is kept: labels are pruned by epochs and by batches so in Xiao & He, Are
Large-scale Soft Labels Necessary for Large-scale Dataset Distillation?, 2024 (LPLD).
"""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass
from functools import cached_property

import torch

from attar.rng import Key
from attar.training.evaluation_card import EvaluationCard
from attar.training.schedules import Step, steps


@dataclass(frozen=True)
class Pool:
    """Batches of the first epochs of a training, all of them or a share.

    Args:
        epochs: that are kept.
        share: of their batches that is kept, drawn at random; those that are shorter than the
            others are left out where it is below 1, as LPLD does.
        key: of the draw.
        card: of the training.
        images: that it sees in an epoch, as it is asked for them.
    """

    epochs: int
    share: float
    key: Key
    card: EvaluationCard
    images: int

    @cached_property
    def batches(self) -> tuple[tuple[int, int, int], ...]:
        """Epoch, start and size of every batch that is kept, in their order."""
        seen = self.card.seen(self.images)
        first = itertools.takewhile(
            lambda one: one.epoch < self.epochs, steps(self.card, self.images)
        )
        found = [(one.epoch, one.start, min(one.size, seen - one.start)) for one in first]
        if self.share == 1:
            return tuple(found)
        longest = max(size for *_, size in found)
        whole = [one for one in found if one[2] == longest]
        drawn = torch.randperm(len(whole), generator=self.key.fold("kept").generator())
        kept = drawn[: max(1, round(self.share * len(whole)))].sort().values
        return tuple(whole[one] for one in kept.tolist())

    @cached_property
    def places(self) -> dict[tuple[int, int], int]:
        """The number of the first label of each, by epoch and start."""
        ends = itertools.accumulate((size for *_, size in self.batches), initial=0)
        return {one[:2]: end for one, end in zip(self.batches, ends, strict=False)}

    @cached_property
    def rows(self) -> int:
        """Labels that are kept."""
        return sum(size for *_, size in self.batches)

    def step(self, step: Step, key: Key) -> Step:
        """Return the update that one of a student's takes: its own, where that is kept.

        Args:
            step: of the student.
            key: of the student.
        """
        if self.share == 1:
            if step.epoch < self.epochs:
                return step
            own = key.fold("stored", step.epoch)
            drawn = torch.randint(self.epochs, (1,), generator=own.generator())
            return dataclasses.replace(step, epoch=int(drawn))
        if (step.epoch, step.start) in self.places:
            return step
        own = key.fold("stored", step.epoch, step.start).generator()
        drawn = torch.randint(len(self.batches), (1,), generator=own)
        epoch, start, size = self.batches[int(drawn)]
        return dataclasses.replace(step, epoch=epoch, start=start, size=size)
