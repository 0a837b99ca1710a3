"""Training networks of several kinds on one set after another, under one choice of compute."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from attar.compute import Compute
from attar.data import LabelledImages
from attar.evaluation.results import Result, evaluate_images
from attar.evaluation.rows import Row, TrainingSet
from attar.networks import Network
from attar.rng import Key
from attar.training.call_size import check_batches

# told the set, the network, the number of the repeat, and its accuracy once it is known
Progress = Callable[[str, str, int, float | None], None]


@dataclass(frozen=True)
class Measurer:
    """Everything that the lines of a comparison share, so that they differ in their sets alone.

    Args:
        test: the real images to test on.
        networks: to be trained.
        repeats: how many of each.
        dataset: the name that decides whether images may be mirrored.
        compute: device, precision and compilation.
        key: of the networks.
        vectorized: networks that train in one step; None takes what is faster.
        progress: told how it goes.
    """

    test: LabelledImages
    networks: Sequence[Network]
    repeats: int
    dataset: str
    compute: Compute
    key: Key
    vectorized: int | None = None
    progress: Progress | None = None

    def check(self, given: TrainingSet) -> None:
        """Refuse a set whose batches memory cannot hold in one of the networks.

        Raises:
            BadRequest: batch normalization needs them whole, and they take more than there is.
        """
        for network in self.networks:
            check_batches(
                network,
                self.compute,
                given.card,
                len(given.labels),
                "name a --card of smaller batches",
            )

    def measure(self, given: TrainingSet, known: int = 0) -> tuple[Result, ...]:
        """Return what networks learn from a set, one result per network.

        Args:
            given: the set.
            known: how many repeats need not be trained, from the first on.
        """
        return tuple(
            evaluate_images(
                given.images,
                given.labels,
                self.test,
                given.card,
                dataset=self.dataset,
                networks=self.networks,
                repeats=self.repeats - known,
                first=known,
                key=self.key,
                compute=self.compute,
                vectorized=self.vectorized,
                teacher=given.labelling,
                progress=lambda *told: self.tell(given.name, *told),
            )
        )

    def row(self, given: TrainingSet) -> Row:
        """Return the line of a set."""
        return given.row(self.measure(given))

    def tell(self, name: str, network: str, repeat: int, accuracy: float | None) -> None:
        """Say how it goes, where anyone listens."""
        if self.progress is not None:
            self.progress(name, network, repeat, accuracy)

    def only(self, network: Network) -> Measurer:
        """Return the same for one of the networks."""
        return dataclasses.replace(self, networks=(network,))
