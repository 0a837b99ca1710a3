"""When each update of a network's training comes, and at which learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from attar.training.evaluation_card import EvaluationCard

WARM_UP = 500
# of a cosine: what is left of the rate at its end
FLOOR = 0.01


@dataclass(frozen=True)
class Moment:
    """A place in a training, everything counted from 0.

    Args:
        epoch: of this update.
        epochs: as the card says; 0 where updates count.
        update: its number.
        updates: of the whole training.
    """

    epoch: int
    epochs: int
    update: int
    updates: int


@dataclass(frozen=True)
class Schedule:
    """How the learning rate changes.

    Args:
        share: of the card's rate at a moment.
        restarts: whether a change also begins the optimiser's momentum anew.
    """

    share: Callable[[Moment], float]
    restarts: bool = False


@dataclass(frozen=True)
class Step:
    """One update.

    Args:
        epoch: counted from 0.
        start: of its batch in the epoch's order; the number of the batch, where the steps were
            learnt.
        size: of its batch; the last one of an epoch may have less. 0 where the steps were learnt.
        lr: learning rate.
        restart: whether the momentum begins anew before it.
    """

    epoch: int
    start: int
    size: int
    lr: float
    restart: bool


def _drop(at: Moment) -> float:
    """A tenth after the epoch of index E // 2 + 1; of a number of updates, in its second half."""
    if not at.epochs:
        return 0.1 if 2 * at.update >= at.updates else 1.0
    return 0.1 if at.epoch > at.epochs // 2 + 1 else 1.0


def _steps(at: Moment) -> float:
    """A fifth after two thirds of the epochs or updates, and again after five sixths."""
    done, all_of_them = (at.epoch, at.epochs) if at.epochs else (at.update, at.updates)
    passed = (done >= 2 * all_of_them // 3) + (done >= 5 * all_of_them // 6)
    return 0.2**passed


def _warm_cosine(at: Moment) -> float:
    """From 0 up for 500 updates (half of fewer than 1000), then a cosine down to a hundredth."""
    warm = min(WARM_UP, at.updates // 2)
    if at.update < warm:
        return at.update / warm
    passed = (at.update - warm) / max(at.updates - warm, 1)
    return FLOOR + (1 - FLOOR) * (1 + math.cos(math.pi * passed)) / 2


def _cosine(at: Moment) -> float:
    """A cosine down to 0."""
    return (1 + math.cos(math.pi * at.update / max(at.updates, 1))) / 2


def _half_cosine(at: Moment) -> float:
    """The first half of a cosine, down to a half, in steps of an epoch where epochs count."""
    share = at.epoch / at.epochs if at.epochs else at.update / max(at.updates, 1)
    return (1 + math.cos(math.pi * share / 2)) / 2


SCHEDULES = {
    "drop": Schedule(_drop, restarts=True),
    "steps": Schedule(_steps),
    "constant": Schedule(lambda at: 1.0),
    "cosine": Schedule(_cosine),
    "half_cosine": Schedule(_half_cosine),
    "warm_cosine": Schedule(_warm_cosine),
}


def steps(card: EvaluationCard, count: int) -> Iterator[Step]:
    """Yield the updates of a training on ``count`` images under a card, in their order."""
    if card.rates:
        for epoch, rates in enumerate(card.rates):
            yield from (Step(epoch, step, 0, lr, False) for step, lr in enumerate(rates))
        return
    schedule, total = SCHEDULES[card.schedule], card.steps(count)
    count = card.seen(count)
    size = min(card.batch, count)
    before = None
    for update in range(total):
        if card.updates:
            epoch, start = divmod(update * size, count)
        else:
            batches = math.ceil(count / card.batch)
            epoch, batch = divmod(update, batches)
            start = batch * card.batch
            if card.even:
                least, longer = divmod(count, batches)
                start, size = batch * least + min(batch, longer), least + (batch < longer)
        share = schedule.share(Moment(epoch, card.epochs, update, total))
        restart = schedule.restarts and before is not None and share != before
        yield Step(epoch, start, size, card.lr * share, restart)
        before = share
