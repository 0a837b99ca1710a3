"""Robust scores: how much of an accuracy is due to the images alone.

Source: DD-Ranking (Li et al., arXiv:2505.13300), sections on the label-robust and the
augmentation-robust score. Accuracies enter as fractions from 0 to 1.

The benchmark's own package serves data sets by name on a GPU and picks learning rates and epochs
on the test images; here every network follows the evaluation card, and none is picked.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from attar.evaluation.intervals import half_width

WEIGHT = 0.5
# the fields of `Scores` that hold accuracies
SCORED = (
    "real_hard",
    "synthetic_hard",
    "synthetic",
    "random",
    "synthetic_augmented",
    "random_augmented",
    "synthetic_plain",
    "random_plain",
)


def normalised(value: float) -> float:
    """Return ``(eᵛ − e⁻¹) / (e − e⁻¹)``: 0 for −1, 1 for 1."""
    return (math.exp(value) - math.exp(-1)) / (math.e - math.exp(-1))


def label_robust(
    real_hard: float,
    synthetic_hard: float,
    synthetic: float,
    random: float,
    weight: float = WEIGHT,
) -> float:
    """Return the label-robust score (LRS).

    Args:
        real_hard: accuracy from all real images with hard labels.
        synthetic_hard: accuracy from the condensed images with hard labels.
        synthetic: accuracy from the condensed images with their own labels.
        random: accuracy from as many bytes of random real images, trained in the same way.
        weight: w, of the improvement over random images; the rest is that of hard labels.

    Source: α = w·IOR − (1 − w)·HLR, with IOR = synthetic − random and HLR = real_hard −
    synthetic_hard, and LRS = `normalised` (α).
    """
    improvement = synthetic - random
    recovery = real_hard - synthetic_hard
    return normalised(weight * improvement - (1 - weight) * recovery)


def augmentation_robust(
    synthetic: float,
    random: float,
    synthetic_plain: float,
    random_plain: float,
    weight: float = WEIGHT,
) -> float:
    """Return the augmentation-robust score (ARS).

    Args:
        synthetic: accuracy from the condensed images, trained with augmentation.
        random: accuracy from random real images of as many bytes, trained with augmentation.
        synthetic_plain: as ``synthetic``, without augmentation.
        random_plain: as ``random``, without augmentation.
        weight: γ, of the difference with augmentation.

    Source: β = γ·(synthetic − random) + (1 − γ)·(synthetic_plain − random_plain), and ARS =
    `normalised` (β).
    """
    return normalised(
        weight * (synthetic - random) + (1 - weight) * (synthetic_plain - random_plain)
    )


@dataclass(frozen=True)
class Spread:
    """A score over several networks.

    Args:
        values: one per network.
    """

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over networks."""
        return statistics.fmean(self.values)

    @property
    def std(self) -> float:
        """Population standard deviation over networks."""
        return statistics.pstdev(self.values)

    @property
    def interval(self) -> float | None:
        """Half width of the 95 % confidence interval of the mean; None below three networks."""
        return half_width(self.std, len(self.values))

    def as_dict(self) -> dict[str, Any]:
        """Return mean, spread and values as a plain dictionary."""
        return {**asdict(self), "mean": self.mean, "std": self.std, "interval": self.interval}


@dataclass(frozen=True)
class Scores:
    """The robust scores of a set for one network, with the accuracies behind them.

    The n-th network of every set begins from the same weights, and gives one value of a score.

    Args:
        network: its name.
        real_hard: accuracies in percent, one per network, from all real images.
        synthetic_hard: from the condensed images with hard labels.
        synthetic: from the condensed images with their own labels.
        random: from random real images of as many bytes.
        synthetic_augmented: as ``synthetic``, with augmentation.
        random_augmented: as ``random``, with augmentation.
        synthetic_plain: as ``synthetic``, without augmentation.
        random_plain: as ``random``, without augmentation.
        protocol: how the networks were trained, in words.
        weight: of both scores.
    """

    network: str
    real_hard: tuple[float, ...]
    synthetic_hard: tuple[float, ...]
    synthetic: tuple[float, ...]
    random: tuple[float, ...]
    synthetic_augmented: tuple[float, ...]
    random_augmented: tuple[float, ...]
    synthetic_plain: tuple[float, ...]
    random_plain: tuple[float, ...]
    protocol: str
    weight: float = WEIGHT

    @property
    def label_robust(self) -> Spread:
        """The label-robust score (LRS), from 0 to 1."""
        columns = (self.real_hard, self.synthetic_hard, self.synthetic, self.random)
        return Spread(
            tuple(label_robust(*each, weight=self.weight) for each in _fractions(columns))
        )

    @property
    def augmentation_robust(self) -> Spread:
        """The augmentation-robust score (ARS), from 0 to 1."""
        columns = (
            self.synthetic_augmented,
            self.random_augmented,
            self.synthetic_plain,
            self.random_plain,
        )
        return Spread(
            tuple(augmentation_robust(*each, weight=self.weight) for each in _fractions(columns))
        )

    @property
    def hard_label_recovery(self) -> Spread:
        """HLR in percentage points: what hard labels lack to all real images; less is better."""
        pairs = zip(self.real_hard, self.synthetic_hard, strict=True)
        return Spread(tuple(real - own for real, own in pairs))

    @property
    def improvement_over_random(self) -> Spread:
        """IOR in percentage points: what is gained over random real images."""
        pairs = zip(self.synthetic, self.random, strict=True)
        return Spread(tuple(own - other for own, other in pairs))

    def as_dict(self) -> dict[str, Any]:
        """Return accuracies and scores as a plain dictionary."""
        return {
            **asdict(self),
            "lrs": self.label_robust.as_dict(),
            "ars": self.augmentation_robust.as_dict(),
            "hlr": self.hard_label_recovery.as_dict(),
            "ior": self.improvement_over_random.as_dict(),
        }


def _fractions(
    columns: tuple[Sequence[float], Sequence[float], Sequence[float], Sequence[float]],
) -> list[tuple[float, float, float, float]]:
    return [
        (one / 100, two / 100, three / 100, four / 100)
        for one, two, three, four in zip(*columns, strict=True)
    ]
