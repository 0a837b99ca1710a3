"""Validations of a run: a network is trained on the set in brief and tested on held-out images."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from attar.condensing.coding import as_kept
from attar.condensing.engine import Run
from attar.condensing.plan import Plan
from attar.synthetic import Synthetic
from attar.teachers.carried import as_carried
from attar.teachers.teacher import Teacher
from attar.text import counted
from attar.training import card as find_card
from attar.training.by_class import Hits
from attar.training.evaluation_card import EvaluationCard
from attar.training.fitting import with_learnt
from attar.training.predicting import Judge, trainer_of

# epochs below which an accuracy says nothing
_LEAST_EPOCHS = 10
# images of a first step that is timed; where it takes longer than so many seconds, the only one
_FEW, _LONG = 32, 1.0


@dataclass(frozen=True)
class Schedule:
    """How often a run validates, and how long it trains for it.

    Args:
        count: evenly spread, the last one at the end.
        epochs: of the training; None for the usual number.
    """

    count: int
    epochs: int | None = None


@dataclass(frozen=True)
class Cost:
    """What a validation takes.

    Args:
        epoch: seconds of an epoch.
        test: seconds of testing on the held-out images.
    """

    epoch: float
    test: float

    def seconds(self, epochs: int) -> float:
        """Return the seconds of one."""
        return epochs * self.epoch + self.test


def fitting(wanted: int, epochs: int, cost: Cost, allowed: float) -> Schedule:
    """Return the validations that fit into some seconds: fewer ones, else two brief ones, or none.

    Args:
        wanted: how many are asked for.
        epochs: that each has.
        cost: of one.
        allowed: seconds for all.
    """
    count = min(wanted, int(allowed / max(cost.seconds(epochs), 1e-9)))
    if count >= min(2, wanted):
        return Schedule(count)
    count = min(2, wanted)
    brief = int((allowed / count - cost.test) / max(cost.epoch, 1e-9))
    return Schedule(count, brief) if brief >= min(_LEAST_EPOCHS, epochs) else Schedule(0)


def told(count: int, epochs: int | None, wanted: int, seconds: float) -> tuple[str, ...]:
    """Return what should be known of validations that are other than asked for.

    Args:
        count: of them.
        epochs: of each; None for the usual number.
        wanted: how many were asked for.
        seconds: of one of the usual length.
    """
    usual = f"one takes {seconds:.0f} s, and a tenth of the time is theirs"
    if count == 0:
        return (f"no validation ({usual}): the last iterate will be the artefact",)
    if epochs is not None:
        each = counted(epochs, "epoch")
        return (f"{count} of {counted(wanted, 'validation')}, of {each} each ({usual})",)
    if count < wanted:
        return (f"{count} of {counted(wanted, 'validation')} ({usual})",)
    return ()


class Validator:
    """Measures iterates of one run; what is compiled is compiled once.

    Args:
        plan: of the run, with held-out images.
        timed: whether the clock ends the run. Then nothing is compiled for so little.
        kept: whether iterates are judged as their file gives them back, however little that loses.
    """

    def __init__(self, plan: Plan, *, timed: bool = False, kept: bool = False) -> None:
        self._as_kept = kept
        self._plan = plan
        self._compute = plan.compute.plain() if timed else plan.compute
        self._kept: Judge | None = None

    def epochs(self, run: Run) -> int:
        """Return the usual epochs of a training."""
        count = len(run.iterate)
        full = self._whole_card
        return min(full.epochs_for(count), 200, max(25, 20_000 // count))

    @property
    def _whole_card(self) -> EvaluationCard:
        plan = self._plan
        card = find_card(plan.recipe.card).suited(plan.train.modality)
        return card.drawing(plan.recipe.parametrization.variants(plan.layout))

    def hits(self, run: Run, epochs: int | None = None) -> Hits:
        """Train one network on the current set and test it on the held-out images."""
        assert self._plan.held_out is not None
        images, labels = training_pair(as_kept(self._plan, run, always=self._as_kept))
        tensors = self._trained(run, epochs or self.epochs(run), images, labels)
        return self._trainer.hits(tensors, self._plan.held_out)

    def cost(self, run: Run) -> Cost:
        """Return what a validation takes, by doing a little of one."""
        held, count = self._plan.held_out, len(run.iterate)
        assert held is not None
        images, labels = training_pair(run.iterate)
        batch = min(self._card(run, 1).batch, count)
        begin = time.perf_counter()
        size = min(_FEW, batch)
        tensors = self._trained(run, 1, images[:size], labels[:size])
        first = time.perf_counter() - begin
        small = first / self._steps(run, size)
        step = small * batch / size
        if first < _LONG or self._compute.compile:
            begin = time.perf_counter()
            tensors = self._trained(run, 1, images[:batch], labels[:batch])
            step = (time.perf_counter() - begin) / self._steps(run, batch)
        begin = time.perf_counter()
        some = torch.arange(min(self._compute.chunk, len(held)))
        self._trainer.scores(tensors, held.take(some))
        test = (time.perf_counter() - begin) * math.ceil(len(held) / self._compute.chunk)
        return Cost(step * math.ceil(count / batch), test)

    @property
    def _trainer(self) -> Judge:
        if self._kept is None:
            self._kept = trainer_of(self._whole_card, self._plan.network, self._compute)
        return self._kept

    def _card(self, run: Run, epochs: int) -> EvaluationCard:
        full = self._whole_card
        brief = full if full.learnt_updates else full.with_epochs(epochs)
        return with_learnt(brief, run.learned_kept())

    def _steps(self, run: Run, count: int) -> int:
        return self._card(run, 1).steps(count)

    def _trained(self, run: Run, epochs: int, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        brief = self._card(run, epochs)
        strategy = brief.strategy(self._plan.train.name, self._plan.network.name)
        key = run.key.fold("validation", run.step)
        said = self._carried.scores if self._carried is not None and brief.loss == "kl" else None
        (tensors,) = self._trainer.fit(images, labels, brief, strategy, [key], said)
        return tensors

    @cached_property
    def _carried(self) -> Teacher | None:
        """The teacher that the set will carry, as its file gives it back."""
        teacher, storage = self._plan.teacher, self._plan.recipe.carried
        return as_carried(teacher, storage) if teacher is not None and storage else None


@torch.no_grad()
def training_pair(synthetic: Synthetic) -> tuple[Tensor, Tensor]:
    """Return the images and labels that a network trains on."""
    rows = torch.arange(len(synthetic), device=synthetic.class_of_row.device)
    images, labels = synthetic(rows)
    return images, synthetic.class_of_row if synthetic.labels is None else labels
