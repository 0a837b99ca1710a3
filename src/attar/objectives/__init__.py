"""Objectives: each turns images and labels into a loss and gradients."""

from attar.objectives.base import (
    NOTHING,
    Match,
    Objective,
    Penalty,
    Problem,
    State,
    SubsetObjective,
    gradients,
)
from attar.objectives.classwise import ClasswiseMatching
from attar.objectives.distribution import DistributionMatching
from attar.objectives.gradient import GradientMatching
from attar.objectives.kernel import KernelRegression
from attar.objectives.nested import Nested
from attar.objectives.parameters import ParameterMatching
from attar.objectives.significance import SignificancePenalty
from attar.objectives.subspace import SubspaceProjection
from attar.objectives.trajectory import TrajectoryMatching
from attar.objectives.weighted import WeightedSum
from attar.registry import Registry

OBJECTIVES: Registry[type[Objective]] = Registry(
    "objective",
    lambda thing: isinstance(thing, type) and issubclass(thing, Objective),
    (
        ClasswiseMatching,
        DistributionMatching,
        GradientMatching,
        KernelRegression,
        Nested,
        ParameterMatching,
        SubspaceProjection,
        TrajectoryMatching,
        WeightedSum,
    ),
)

__all__ = [
    "NOTHING",
    "OBJECTIVES",
    "ClasswiseMatching",
    "DistributionMatching",
    "GradientMatching",
    "KernelRegression",
    "Match",
    "Nested",
    "Objective",
    "ParameterMatching",
    "Penalty",
    "Problem",
    "SignificancePenalty",
    "State",
    "SubsetObjective",
    "SubspaceProjection",
    "TrajectoryMatching",
    "WeightedSum",
    "gradients",
]
