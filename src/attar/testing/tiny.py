"""Tiny data, experts and runs on them: a step takes milliseconds on a CPU."""

from __future__ import annotations

import dataclasses

import torch
from torch.nn import functional

from attar.compute import Compute
from attar.condensing.engine import Run
from attar.data import LabelledImages, Preprocessing
from attar.networks import Network, make_for
from attar.objectives import Objective, Problem
from attar.optimisers import Optimiser
from attar.rng import Key
from attar.shapes import Shape, is_picture
from attar.synthetic import Layout, Parametrization, Pixels, Synthetic

COUNTS = (9, 14, 3)
NETWORK = "convnet2:width=8"
CPU = torch.device("cpu")
COMPUTE = Compute(CPU, "float32", compile=False, chunk=32)


def _letters(number: int) -> str:
    """Return a, b, …, z, ba, bb, …"""
    more, last = divmod(number, 26)
    return (_letters(more) if more else "") + chr(ord("a") + last)


def tiny_data(
    channels: int = 1,
    counts: tuple[int, ...] = COUNTS,
    size: int | Shape = 8,
    seed: int = 0,
    name: str = "tiny",
) -> LabelledImages:
    """Return random images, their labels in a random order, each class with a brightness.

    Where ``size`` is no height and width, rows of ``channels`` and the sides of ``size``: without
    any, vectors of so many values.
    """
    generator = torch.Generator().manual_seed(seed)
    labels = torch.cat([torch.full((n,), label) for label, n in enumerate(counts)])
    labels = labels[torch.randperm(len(labels), generator=generator)]
    shape = (channels, size, size) if isinstance(size, int) else (channels, *size)
    images = torch.randint(0, 180, (len(labels), *shape), generator=generator)
    images += labels.view(-1, *(1,) * len(shape)) * (70 // len(counts))
    return LabelledImages(
        images.to(torch.uint8) if is_picture(shape) else images / 255,
        labels,
        tuple(map(_letters, range(len(counts)))),
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
        drawn = self.network.draw(Key(expert))
        first = torch.cat([tensor.detach().flatten() for tensor in drawn.parameters()])
        generator = torch.Generator().manual_seed(expert)
        drift = torch.randn(self.epochs + 1, len(first), generator=generator).cumsum(dim=0)
        return (first + 0.01 * drift)[start : start + length + 1]


def prepared_data(data: LabelledImages | None = None) -> LabelledImages:
    """Return data whose images are network inputs already, as those of a synthetic set are."""
    data = tiny_data() if data is None else data
    return dataclasses.replace(data, images=data.take(torch.arange(len(data))), prepared=True)


def tiny_problem(
    data: LabelledImages | None = None,
    per_class: int = 2,
    network: str | Network = NETWORK,
    compute: Compute = COMPUTE,
) -> Problem:
    """Return a problem on tiny data."""
    data = tiny_data() if data is None else data
    drawn = make_for(network, data.shape, data.classes)
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
    if synthetic.labels is not None:
        # labels may be made of what was just drawn
        classes = functional.one_hot(problem.layout.class_of_row(), problem.layout.classes)
        synthetic.labels.fit(classes.float())
    optimiser = optimiser or Optimiser(0.1, 0.5)
    optimisers = dict.fromkeys(synthetic.roles(), optimiser)
    # numbers beside the set, such as a step size, are far smaller than its values
    optimisers |= dict.fromkeys(objective.learned(problem), Optimiser(1e-6))
    return Run(synthetic, objective, problem, optimisers, key, steps, average)
