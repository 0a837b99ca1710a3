"""A selector of your own: which real images a set starts from, by --init and by name.

uv run python examples/own_selector.py
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

import attar
from attar.compute import Compute
from attar.coresets import Selector
from attar.data import LabelledImages
from attar.data.reading import Watch
from attar.networks import Network
from attar.rng import Key


@attar.register
@dataclass(frozen=True)
class Typical(Selector):
    """The images nearest to the mean image of their class."""

    name: ClassVar[str] = "typical"

    def choose(
        self,
        data: LabelledImages,
        sizes: Sequence[int],
        network: Network,
        compute: Compute,
        key: Key,
        watch: Watch | None = None,
    ) -> list[Tensor]:
        """Return the images chosen of each class."""
        chosen = []
        for own, size in zip(data.indices_of_class, sizes, strict=True):
            images = data.take(own).flatten(1)
            distance = torch.linalg.vector_norm(images - images.mean(dim=0), dim=1)
            chosen.append(own[distance.argsort()[:size]])
        return chosen


if __name__ == "__main__":
    for init in ("real", "typical"):
        made = attar.condense("digits", method="dm", init=init, ipc=1, iterations=0)
        row = attar.evaluate(made, networks="convnet3", repeats=1, epochs=100)[0]
        print(f"{init}: {row.results[0].mean:.1f} %")
