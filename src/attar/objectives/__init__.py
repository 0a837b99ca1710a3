"""Objectives: each turns images and labels into a loss and gradients."""

from attar.objectives.base import Match, Objective, Problem, State, gradients
from attar.objectives.distribution import DistributionMatching

OBJECTIVES: dict[str, type[Objective]] = {kind.name: kind for kind in (DistributionMatching,)}

__all__ = [
    "OBJECTIVES",
    "DistributionMatching",
    "Match",
    "Objective",
    "Problem",
    "State",
    "gradients",
]
