"""What is to be drawn of which artefacts, and what several kinds of pictures share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from attar.data import LabelledImages, Splits
from attar.errors import BadRequest
from attar.evaluation.real import with_preprocessing
from attar.pictures.subjects import Source, Subject, check_alike, sample
from attar.renaming import fields
from attar.report import read_entries
from attar.rng import Key


@fields(compile="torch_compile")
@dataclass(frozen=True)
class Options:
    """How pictures are drawn.

    Args:
        ipc: memory in images per class at which artefacts are read (`attar.load`); None for
            the whole.
        shown: images of each class in a grid; None for 10, and 1 over the iterations.
        most_classes: shown in grids, from the first; None for as many as there is room for.
        real_per_class: real images of each class in t-SNE and spectrum: a sample.
        network: that gives the features for t-SNE; None for that of the first artefact.
        feature_epochs: of its training on the real images.
        repeats: networks trained on each snapshot, for their accuracy on test images; None
            trains none.
        networks: those networks; None for that of each artefact.
        card: how they are trained; None for the card of each artefact.
        epochs: another number of epochs than the card's.
        seed: of networks, samples and t-SNE.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: auto, float32 or bfloat16.
        torch_compile: auto, on or off.

    Raises:
        BadRequest: a number below 1.
    """

    ipc: int | None = None
    shown: int | None = None
    most_classes: int | None = None
    real_per_class: int = 100
    network: str | None = None
    feature_epochs: int = 5
    repeats: int | None = None
    networks: Sequence[str] | None = None
    card: str | None = None
    epochs: int | None = None
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    torch_compile: str = "auto"

    def __post_init__(self) -> None:
        for name, said in _NUMBERS.items():
            value = getattr(self, name)
            if value is not None and value < 1:
                raise BadRequest(f"{said} {value}: at least 1 is needed")

    @property
    def key(self) -> Key:
        """Everything random follows from it."""
        return Key(self.seed).fold("pictures")


_NUMBERS = {
    "shown": "--per-class-shown",
    "most_classes": "most_classes",
    "real_per_class": "--real-per-class",
    "feature_epochs": "--feature-epochs",
    "repeats": "--repeats",
    "epochs": "--epochs",
}


@dataclass(frozen=True)
class Job:
    """Pictures to be drawn of some artefacts.

    Args:
        subjects: the artefacts.
        source: of real images.
        options: how.
        tell: told what is being done, where it takes long.
    """

    subjects: Sequence[Subject]
    source: Source
    options: Options
    tell: Callable[[str], None]

    @classmethod
    def of(
        cls,
        paths: Sequence[Path],
        evaluations: Sequence[Path],
        source: Source,
        options: Options,
        tell: Callable[[str], None],
    ) -> Job:
        """Read the artefacts and what lies beside them.

        Raises:
            BadRequest: see `attar.report.read_entries`.
        """
        entries = read_entries(paths, evaluations, options.ipc)
        subjects = [Subject(path, entry) for path, entry in zip(paths, entries, strict=True)]
        return cls(subjects, source, options, tell)

    @property
    def first(self) -> Subject:
        """The artefact whose preprocessing and network stand for all."""
        return self.subjects[0]

    @cached_property
    def splits(self) -> Splits:
        """The real images, read once.

        Raises:
            BadRequest: there are none, or the artefacts are of several kinds.
        """
        check_alike(self.subjects)
        self.tell("reading the real images")
        return self.source.read(self.subjects)

    def real_like(self, subject: Subject) -> tuple[LabelledImages, LabelledImages | None]:
        """Return real training and test images under the preprocessing of an artefact."""
        artefact, test = subject.artefact, self.splits.test
        return (
            with_preprocessing(self.splits.train, artefact),
            None if test is None else with_preprocessing(test, artefact),
        )

    def sampled(self) -> Any:
        """Return indices of the sample of real training images, class after class."""
        return sample(self.splits.train, self.options.real_per_class, self.options.key)

    def measuring(self) -> Mapping[str, Any]:
        """Return how snapshots are measured, as `attar.evaluate` takes it."""
        names = ("networks", "card", "epochs", "seed", "device", "precision", "torch_compile")
        return {name: getattr(self.options, name) for name in names}
