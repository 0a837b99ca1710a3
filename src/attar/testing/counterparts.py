"""One tiny instance of every form, objective and network: what a part of your own is run with."""

from __future__ import annotations

from attar.objectives import (
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
    Objective,
    ParameterMatching,
    RandomFeatures,
    StatisticsMatching,
    SubspaceProjection,
    TrajectoryMatching,
    UnrolledTraining,
    WeightedSum,
)
from attar.synthetic import (
    Addressed,
    Bounded,
    Decoded,
    Frequency,
    Hallucinated,
    LowRank,
    OrderedSVD,
    Parametrization,
    Pixels,
    Resized,
    Tiled,
)

FORMS: dict[str, Parametrization] = {
    "pixels": Pixels(),
    "low_rank": LowRank(2),
    "tiled": Tiled(2),
    "ordered_svd": OrderedSVD(),
    "decoded": Decoded(decoders=2, channels=2, upsamplings=1, hidden=3),
    "resized": Resized(4),
    "frequency": Frequency(0.25, "image"),
    "addressed": Addressed(bases=3),
    "hallucinated": Hallucinated(hallucinators=2, kernel=3),
    "bounded": Bounded((-1.5,), (1.5,), LowRank(2)),
}
OBJECTIVES: dict[str, Objective] = {
    "distribution": DistributionMatching(batch_real=5),
    "alignment": FeatureAlignment(
        batch_real=5, augment="crop_flip", outer=2, inner=2, batch_check=4
    ),
    "gradient": GradientMatching(batch_real=5, augment="crop_flip", outer=2, inner=2),
    "classwise": ClasswiseMatching(batch_real=5, inner=2, samples=6, batch_train=4),
    "contrast": Contrast(augment="crop_flip"),
    "distillation": DatasetDistillation(steps=2, rounds=2, batch_real=20),
    "kernel": KernelRegression(batch_real=20, pool=2, age=2, mirror=True),
    "infinite": InfiniteRegression(batch_real=9),
    "labels": LabelDistillation(batch=4, batch_real=20, gap=2),
    "nested": Nested(DistributionMatching(batch_real=5), every=1, networks=2, batch_check=4),
    "parameters": ParameterMatching(pool=2, age=3),
    "random_features": RandomFeatures(batch_real=20, networks=2),
    "statistics": StatisticsMatching(roll=2, batch=2, squeeze_epochs=1),
    "subspace": SubspaceProjection(steps=2, batch_real=5),
    "trajectory": TrajectoryMatching(steps=3, batch=4),
    "unrolled": UnrolledTraining(steps=3, batch=1, batch_real=5),
    "sum": WeightedSum(
        (DistributionMatching(batch_real=5), SubspaceProjection(steps=2, batch_real=5)), (1, 0.1)
    ),
}
# those whose data are a synthetic set in place of real images
SLIMMERS = {"parameters"}
# in the place of the usual network, for objectives that take none with norms
NETWORK_OF = {
    "infinite": "convnet2:width=8,norm=none,pooling=none",
    "random_features": "convnet2:width=8,norm=none",
    "statistics": "convnet2:width=8,norm=batch",
}
# without and with a norm that lets images of a batch affect each other
NETWORKS = ("convnet2:width=8", "convnet2:width=8,norm=batch")


def all_forms() -> dict[str, Parametrization]:
    """Return the forms, and low-rank factors over each of those that can be factored.

    Those whose ranks differ stand by themselves, and over a form that makes images of parts.
    """
    over = {
        f"low_rank over {name}": LowRank(2, form)
        for name, form in FORMS.items()
        if not isinstance(form, LowRank | Pixels | Frequency | Bounded)
    }
    own = {"": LowRank(2, auto=True), " over tiled": LowRank(2, Tiled(2), auto=True)}
    return FORMS | over | {f"low_rank of rank auto{name}": form for name, form in own.items()}
