"""One tiny instance of everything that is registered, and tiny data to run it on.

Whoever registers a parametrization or an objective adds a row here; `test_compose` then runs
it with everything else.
"""

import dataclasses
from typing import Any

import torch

from attar.compute import Compute
from attar.condensing.engine import Run
from attar.data import LabelledImages, Preprocessing
from attar.networks import Network, build
from attar.objectives import (
    DistributionMatching,
    GradientMatching,
    KernelRegression,
    Nested,
    Objective,
    ParameterMatching,
    Problem,
    SubspaceProjection,
    TrajectoryMatching,
    WeightedSum,
)
from attar.optimisers import Optimiser
from attar.rng import Key
from attar.synthetic import (
    Decoded,
    Layout,
    LowRank,
    OrderedSVD,
    Parametrization,
    Pixels,
    Synthetic,
    Tiled,
)

PARAMETRIZATIONS: dict[str, Parametrization] = {
    "pixels": Pixels(),
    "low_rank": LowRank(2),
    "tiled": Tiled(2),
    "ordered_svd": OrderedSVD(),
    "decoded": Decoded(decoders=2, channels=2, upsamplings=1, hidden=3),
}
OBJECTIVES: dict[str, Objective] = {
    "distribution": DistributionMatching(batch_real=5),
    "gradient": GradientMatching(batch_real=5, augment="crop_flip", outer=2, inner=2),
    "kernel": KernelRegression(batch_real=20, pool=2, age=2, mirror=True),
    "nested": Nested(DistributionMatching(batch_real=5), every=1, networks=2, batch_check=4),
    "parameters": ParameterMatching(pool=2, age=3),
    "subspace": SubspaceProjection(steps=2, batch_real=5),
    "trajectory": TrajectoryMatching(steps=3, batch=4),
    "sum": WeightedSum(
        (DistributionMatching(batch_real=5), SubspaceProjection(steps=2, batch_real=5)), (1, 0.1)
    ),
}
# those whose data are a synthetic set in place of real images
SLIMMERS = {"parameters"}

COUNTS = (9, 14, 3)
NETWORK = "convnet2:width=8"
CPU = torch.device("cpu")
COMPUTE = Compute(CPU, "float32", compile=False, chunk=32)


def tiny_data(
    channels: int = 1,
    counts: tuple[int, ...] = COUNTS,
    size: int = 8,
    seed: int = 0,
    name: str = "tiny",
) -> LabelledImages:
    """Return random images, their labels in a random order, each class with a brightness."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.cat([torch.full((n,), label) for label, n in enumerate(counts)])
    labels = labels[torch.randperm(len(labels), generator=generator)]
    images = torch.randint(0, 180, (len(labels), channels, size, size), generator=generator)
    images += labels.view(-1, 1, 1, 1) * (70 // len(counts))
    return LabelledImages(
        images.to(torch.uint8),
        labels,
        tuple("abcdefghijklmnopqrstuvwxyz"[: len(counts)]),
        Preprocessing((0.4,) * channels, (0.25,) * channels),
        name,
    )


@dataclasses.dataclass(frozen=True)
class TinyExperts:
    """Networks that drift from their drawn parameters by a small step after every epoch."""

    network: Network
    count: int = 3
    epochs: int = 4

    def segment(self, expert: int, start: int, length: int) -> torch.Tensor:
        """Return snapshots as rows."""
        assert 0 <= start <= start + length <= self.epochs
        drawn = self.network.draw(Key(expert))
        first = torch.cat([tensor.detach().flatten() for tensor in drawn.parameters()])
        generator = torch.Generator().manual_seed(expert)
        drift = torch.randn(self.epochs + 1, len(first), generator=generator).cumsum(dim=0)
        return (first + 0.01 * drift)[start : start + length + 1]


class _Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: torch.Tensor) -> torch.Tensor:
        return values * 2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: torch.Tensor) -> torch.Tensor:
        return slope * 2


class OnceDifferentiable(torch.nn.Module):
    """A network for 1×8×8 images of 3 classes without second derivatives."""

    def __init__(self) -> None:
        super().__init__()
        self.body = torch.nn.Linear(64, 8)
        self.head = torch.nn.Linear(8, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(_Doubled.apply(self.body(images.flatten(1))))


def prepared_data(data: LabelledImages | None = None) -> LabelledImages:
    """Return data whose images are network inputs already, as those of a synthetic set are."""
    data = tiny_data() if data is None else data
    return dataclasses.replace(data, images=data.take(torch.arange(len(data))), prepared=True)


def tiny_problem(
    data: LabelledImages | None = None,
    per_class: int = 2,
    network: str = NETWORK,
    compute: Compute = COMPUTE,
) -> Problem:
    """Return a problem on tiny data."""
    data = tiny_data() if data is None else data
    channels, height, width = data.shape
    drawn = build(network, channels, (height, width), data.classes)
    layout = Layout(data.classes, per_class, data.shape)
    return Problem(data, drawn, layout, compute, experts=TinyExperts(drawn))


def unequal(problem: Problem, counts: tuple[int, ...] = (3, 1, 2)) -> Problem:
    """Return the problem of a set whose classes have different numbers of images."""
    layout = Layout(len(counts), max(counts), problem.layout.shape, counts)
    return dataclasses.replace(problem, layout=layout, cache={})


def tiny_run(
    objective: Objective,
    problem: Problem | None = None,
    parametrization: Parametrization | None = None,
    *,
    learned_labels: bool = False,
    optimiser: Optimiser | None = None,
    key: Key | None = None,
    steps: int | None = None,
    average: float = 0.0,
) -> Run:
    """Return a run that starts from noise, with one kind of optimiser for all of the set."""
    problem = problem or tiny_problem()
    key = key or Key(0)
    synthetic = Synthetic(problem.layout, parametrization or Pixels(), learned_labels)
    synthetic.images.start_from_noise(key.fold("start"))
    optimiser = optimiser or Optimiser(0.1, 0.5)
    optimisers = dict.fromkeys(synthetic.roles(), optimiser)
    # numbers beside the set, such as a step size, are far smaller than its values
    optimisers |= dict.fromkeys(objective.learned(problem), Optimiser(1e-6))
    return Run(synthetic, objective, problem, optimisers, key, steps, average)
