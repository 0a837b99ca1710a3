"""Objectives: each turns images and labels into a loss and gradients."""

from attar.objectives.base import Match, Objective, Penalty, Problem, State, gradients
from attar.objectives.distribution import DistributionMatching
from attar.objectives.gradient import GradientMatching

OBJECTIVES: dict[str, type[Objective]] = {
    kind.name: kind for kind in (DistributionMatching, GradientMatching)
}

__all__ = [
    "OBJECTIVES",
    "DistributionMatching",
    "GradientMatching",
    "Match",
    "Objective",
    "Penalty",
    "Problem",
    "State",
    "gradients",
]
