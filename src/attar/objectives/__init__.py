"""Objectives: each turns images and labels into a loss and gradients."""

from attar.objectives.address_norm import AddressNorm
from attar.objectives.alignment import FeatureAlignment
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
from attar.objectives.contrast import Contrast
from attar.objectives.distillation import DatasetDistillation
from attar.objectives.distribution import DistributionMatching
from attar.objectives.gradient import GradientMatching
from attar.objectives.infinite import InfiniteRegression
from attar.objectives.kernel import KernelRegression
from attar.objectives.labels import LabelDistillation
from attar.objectives.nested import Nested
from attar.objectives.parameters import ParameterMatching
from attar.objectives.random_features import RandomFeatures
from attar.objectives.significance import SignificancePenalty
from attar.objectives.statistics import StatisticsMatching
from attar.objectives.subspace import SubspaceProjection
from attar.objectives.trajectory import TrajectoryMatching
from attar.objectives.unrolled import UnrolledTraining
from attar.objectives.weighted import WeightedSum
from attar.registry import Registry

OBJECTIVES: Registry[type[Objective]] = Registry(
    "objective",
    lambda thing: isinstance(thing, type) and issubclass(thing, Objective),
    (
        ClasswiseMatching,
        Contrast,
        DatasetDistillation,
        DistributionMatching,
        FeatureAlignment,
        GradientMatching,
        InfiniteRegression,
        KernelRegression,
        LabelDistillation,
        Nested,
        ParameterMatching,
        RandomFeatures,
        StatisticsMatching,
        SubspaceProjection,
        TrajectoryMatching,
        UnrolledTraining,
        WeightedSum,
    ),
)

__all__ = [
    "NOTHING",
    "OBJECTIVES",
    "AddressNorm",
    "ClasswiseMatching",
    "Contrast",
    "DatasetDistillation",
    "DistributionMatching",
    "FeatureAlignment",
    "GradientMatching",
    "InfiniteRegression",
    "KernelRegression",
    "LabelDistillation",
    "Match",
    "Nested",
    "Objective",
    "ParameterMatching",
    "Penalty",
    "Problem",
    "RandomFeatures",
    "SignificancePenalty",
    "State",
    "StatisticsMatching",
    "SubsetObjective",
    "SubspaceProjection",
    "TrajectoryMatching",
    "UnrolledTraining",
    "WeightedSum",
    "gradients",
]
