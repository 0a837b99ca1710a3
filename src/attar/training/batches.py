"""How many images a step takes, and which where the steps were learnt with the set."""

from __future__ import annotations

import torch
from torch import Tensor

from attar.training.evaluation_card import EvaluationCard
from attar.training.schedules import steps


def largest(card: EvaluationCard, count: int, classes: int) -> int:
    """Return the images of the largest batch of a training.

    Args:
        card: the recipe.
        count: images of the set.
        classes: K.
    """
    if card.rates:
        return max(map(len, batches(count, classes, len(card.rates[0]))))
    # none is larger than the first
    return next(steps(card, count)).size


def batches(count: int, classes: int, steps: int) -> list[Tensor]:
    """Return the images of every step of an epoch, as they lie in the set.

    The images, which lie class after class, are dealt out to as many batches as the steps, or as
    each class has images; where these are fewer, they take turns. So every step sees about as many
    images of one class as of another, and each image has its step.

    Args:
        count: images of the set.
        classes: K.
        steps: of an epoch, 1 or more.
    """
    groups = max(1, min(steps, count // max(1, classes)))
    dealt = [torch.arange(group, count, groups) for group in range(groups)]
    return [dealt[step % groups] for step in range(steps)]
