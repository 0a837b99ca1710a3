"""What networks are trained on: targets made of labels, and the loss against them.

Shape letters: B images, K classes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from attar.training.evaluation_card import EvaluationCard

# about the least probability that float16 has
_LEAST = 6e-8


def targets(labels: Tensor, classes: int, card: EvaluationCard) -> Tensor:
    """Return what a network is trained to give for each image.

    Args:
        labels: N class indices, or N×K label values, which are taken as they are.
        classes: K.
        card: squared error needs N×K values, so class indices become one-hot labels minus 1/K;
            mixing needs probabilities; else class indices stay. Under ``kl`` probabilities become
            what they are at the card's temperature.
    """
    if labels.is_floating_point():
        return labels if card.loss != "kl" else tempered(labels.clamp_min(_LEAST).log(), card)
    if card.loss == "squared":
        return functional.one_hot(labels, classes).float() - 1 / classes
    if card.mixing != "none":
        return functional.one_hot(labels, classes).float()
    return labels


def tempered(scores: Tensor, card: EvaluationCard) -> Tensor:
    """Return what a teacher says at the card's temperature, B×K probabilities.

    Args:
        scores: B×K, or logarithms of probabilities, which give the same.
        card: says the temperature.
    """
    return (scores / card.temperature).softmax(dim=-1)


def _divergence(scores: Tensor, truth: Tensor) -> Tensor:
    return functional.kl_div(scores.log_softmax(dim=1), truth, reduction="batchmean")


def _squared(scores: Tensor, truth: Tensor) -> Tensor:
    return (scores - truth).square().sum(dim=1).mean() / 2


# from scores (B×K) and targets (B, or B×K) to the mean over images
LOSSES = {"cross_entropy": functional.cross_entropy, "squared": _squared, "kl": _divergence}


def loss(scores: Tensor, truth: Tensor, kind: str, temperature: float = 1.0) -> Tensor:
    """Return the mean loss of a batch.

    Args:
        scores: B×K.
        truth: B class indices, or B×K target values.
        kind: ``cross_entropy``; ``squared``: half the sum over classes of squared differences; or
            ``kl``: the divergence of the scores at a temperature from probabilities that are at it
            already, without the factor of its square.
        temperature: see there; 1 for the others.
    """
    return LOSSES[kind](scores / temperature if temperature != 1 else scores, truth)


def summed(scores: Tensor, truth: Tensor, kind: str, temperature: float = 1.0) -> Tensor:
    """Return the sum over M networks of their mean losses, so that none affects another.

    Args:
        scores: M×B×K.
        truth: M×B or M×B×K.
        kind: as `loss` takes it.
        temperature: likewise.
    """
    flat = scores.flatten(0, 1), truth.flatten(0, 1)
    return torch.mul(loss(*flat, kind, temperature), len(scores))
