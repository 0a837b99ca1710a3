"""A method of your own: an objective and a form in one file, used like those of the papers.

    python examples/own_method.py digits 1000

The objective brings means and deviations of features together; the form stores the left half of
each image and mirrors it. Resume, budgets, artefacts, evaluation and suites come with them.
"""

import sys
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

import attar
from attar.objectives import Objective, Problem, gradients
from attar.rng import Key
from attar.synthetic import DENSE, Layout, Leaf, Parametrization, Store


@attar.register
@dataclass(frozen=True)
class Moments(Objective):
    """Squared distances of each class's mean and deviation of features in random networks."""

    name: ClassVar[str] = "moments"
    takes_unequal: ClassVar[bool] = True

    batch_real: int = 64

    def match(self, images: Tensor, labels, problem: Problem, state, key: Key, learned=None):
        network: Any = problem.network.draw(key.fold("network"), problem.compute.device)
        leaf = images.clone().requires_grad_()
        loss = images.new_zeros(())
        for label in range(problem.layout.classes):
            chosen = problem.data.draw(label, self.batch_real, key.fold("real", label))
            with torch.no_grad():
                real = network.embed(problem.data.take(chosen).to(images.device))
            rows = problem.layout.rows_of(label)
            made = network.embed(leaf[rows.start : rows.stop])
            loss = loss + (real.mean(0) - made.mean(0)).square().sum()
            loss = loss + (real.std(0, False) - (made.var(0, False) + 1e-6).sqrt()).square().sum()
        return gradients(loss, leaf)


class MirroredImages(Store):
    """Images whose left half is kept in the form of a leaf."""

    def __init__(self, count: int, shape: tuple[int, ...], left: Store) -> None:
        super().__init__(count, shape)
        self.left = left

    def forward(self, index: Tensor) -> Tensor:
        left = self.left(index)
        return torch.cat([left, left.flip(-1)[..., self.item[-1] % 2 :]], dim=-1)

    def start_from_noise(self, key: Key) -> None:
        self.left.start_from_noise(key)

    def fit(self, rows: Tensor) -> None:
        self.left.fit((rows + rows.flip(-1))[..., : self.left.item[-1]] / 2)


@attar.register
@dataclass(frozen=True)
class Mirrored(Parametrization):
    """The left half of each image, as an array that ``--rank`` factors like any other."""

    name: ClassVar[str] = "mirrored"

    def build(self, layout: Layout, leaf: Leaf = DENSE) -> Store:
        return MirroredImages(layout.rows, layout.shape, leaf.make(layout.rows, _half(layout)))

    def values(self, layout: Layout, leaf: Leaf = DENSE) -> int:
        return layout.rows * leaf.values(_half(layout))


def _half(layout: Layout) -> tuple[int, int, int]:
    channels, height, width = layout.shape
    return channels, height, -(-width // 2)


def recipe(task: attar.Task) -> attar.Recipe:
    optimisers = {"images": attar.Optimiser(1.0, momentum=0.5)}
    return attar.Recipe(Moments(), Mirrored(), optimisers, 1000, "real", "convnet3", "dsa-1000")


attar.register(attar.Method("mirrored_moments", "moments of features, mirrored", "you", recipe))

if __name__ == "__main__":
    source, iterations = sys.argv[1], int(sys.argv[2])
    made = attar.condense(
        source, method="mirrored_moments", ipc=1, iterations=iterations, output="own.safetensors"
    )
    for row in attar.evaluate(made, repeats=1, updates=iterations, baselines="random"):
        print(f"{row.name}: {row.results[0].mean:.1f} %")
