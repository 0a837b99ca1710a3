"""What networks are trained on: targets made of labels, and the loss against them.

Shape letters: B images, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from attar.training.evaluation_card import EvaluationCard


def targets(labels: Tensor, classes: int, card: EvaluationCard) -> Tensor:
    """Return what a network is trained to give for each image.

    Args:
        labels: N class indices, or N×K label values, which are taken as they are.
        classes: K.
        card: squared error needs N×K values, so class indices become one-hot labels minus 1/K;
            mixing needs probabilities; else class indices stay.
    """
    if labels.is_floating_point():
        return labels
    if card.loss == "squared":
        return functional.one_hot(labels, classes).float() - 1 / classes
    if card.mixing != "none":
        return functional.one_hot(labels, classes).float()
    return labels


def _squared(scores: Tensor, truth: Tensor) -> Tensor:
    return (scores - truth).square().sum(dim=1).mean() / 2


# from scores (B×K) and targets (B, or B×K) to the mean over images
LOSSES = {"cross_entropy": functional.cross_entropy, "squared": _squared}


def loss(scores: Tensor, truth: Tensor, kind: str) -> Tensor:
    """Return the mean loss of a batch.

    Args:
        scores: B×K.
        truth: B class indices, or B×K target values.
        kind: ``cross_entropy``, or ``squared``: half the sum over classes of squared differences.
    """
    return LOSSES[kind](scores, truth)


def summed(scores: Tensor, truth: Tensor, kind: str) -> Tensor:
    """Return the sum over M networks of their mean losses, so that none affects another.

    Args:
        scores: M×B×K.
        truth: M×B or M×B×K.
        kind: as `loss` takes it.
    """
    return torch.mul(loss(scores.flatten(0, 1), truth.flatten(0, 1), kind), len(scores))
