"""Ways to choose real images by name; their settings are the fields of a frozen dataclass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from attar.compute import Compute
from attar.coresets.forgetting import most_forgotten
from attar.coresets.geometry import herding, kcenter
from attar.coresets.spread import Part, each_class
from attar.data.images import LabelledImages
from attar.data.reading import Watch
from attar.errors import BadRequest
from attar.kinds import Settings
from attar.networks import Network
from attar.rng import Key
from attar.teachers.study import Study, train
from attar.teachers.teacher import Teacher
from attar.training.learning import Midway


@dataclass(frozen=True)
class Chosen:
    """Real images chosen of each class, best first.

    Args:
        rows: of each class, distinct indices into the data, int64, on the CPU.
        labels: of each class, a row of K label values for each of them, float32, on the CPU; None
            where they are labelled by their class alone.
        images: of each class, network inputs in place of those rows, on the CPU; None where these
            are taken as they are.
        teacher: the trained network that gave the labels; None where none did.
    """

    rows: list[Tensor]
    labels: list[Tensor] | None = None
    images: list[Tensor] | None = None
    teacher: Teacher | None = None


class Selector(Settings, ABC):
    """One way to choose real images of every class."""

    name: ClassVar[str]
    # whether it looks at what tells classes apart, which one class alone does not have
    tells_apart: ClassVar[bool] = False

    @abstractmethod
    def choose(
        self,
        data: LabelledImages,
        sizes: Sequence[int],
        network: Network,
        compute: Compute,
        key: Key,
        watch: Watch | None = None,
    ) -> list[Tensor]:
        """Return the images chosen of each class.

        Args:
            data: to choose from.
            sizes: images wanted of each class.
            network: to look at them with, where that is done.
            compute: device, precision and compilation.
            key: of everything random.
            watch: told what is done, with how many of them, and of how many.

        Returns:
            For each class, distinct indices into ``data`` (int64, on the CPU), best first:
            as many as wanted, or the whole class where it is smaller.
        """

    def chosen(
        self,
        data: LabelledImages,
        sizes: Sequence[int],
        network: Network,
        compute: Compute,
        key: Key,
        watch: Watch | None = None,
    ) -> Chosen:
        """Return the images of `choose`, and labels of their own where the selector gives any."""
        return Chosen(self.choose(data, sizes, network, compute, key, watch))

    def passes(self, data: LabelledImages) -> float:
        """Return about how many images go forward, a backward pass counting as two.

        It decides whether compilation pays.
        """
        del data
        return 0.0


@dataclass(frozen=True)
class RandomImages(Selector):
    """Images drawn at random, without looking at them."""

    name: ClassVar[str] = "real"

    def choose(
        self,
        data: LabelledImages,
        sizes: Sequence[int],
        network: Network,
        compute: Compute,
        key: Key,
        watch: Watch | None = None,
    ) -> list[Tensor]:
        """Return distinct images of each class; see `Selector.choose`."""
        del network, compute, watch
        return [data.draw(label, size, key.fold(label)) for label, size in enumerate(sizes)]


@dataclass(frozen=True)
class StudyingSelector(Selector):
    """Base of those that train one network on all the real images and read the choice off it.

    Selectors with equal settings and key study the same network.

    Args:
        epochs: of that training.
        lr_selection: its learning rate.
        batch_selection: its images per update.

    Raises:
        BadRequest: fewer than one epoch or image, or a learning rate that is not positive.
    """

    tells_apart: ClassVar[bool] = True
    # of the learning rate
    schedule: ClassVar[Literal["constant", "warm_cosine"]] = "constant"

    epochs: int = 10
    lr_selection: float = 0.01
    batch_selection: int = 256

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_selection"):
            if getattr(self, name) < 1:
                raise BadRequest(f"--set {name}={getattr(self, name)}: at least 1 is needed")
        if not 0 < self.lr_selection < float("inf"):
            raise BadRequest(f"--set lr_selection={self.lr_selection:g}: a positive number")

    @abstractmethod
    def rank(self, study: Study, label: int, count: int, key: Key) -> Tensor:
        """Return ``count`` images of a class, best first: distinct indices into the data."""

    def study(
        self,
        data: LabelledImages,
        network: Network,
        compute: Compute,
        key: Key,
        watch: Watch | None = None,
        begun: Midway | None = None,
        after: Callable[[Midway], None] | None = None,
    ) -> Study:
        """Return the network trained on all images.

        Arguments as those of `choose`; ``begun`` and ``after`` as those of
        `attar.teachers.study.train`.
        """
        return train(
            data,
            self.learner(data, network),
            compute,
            epochs=self.epochs,
            lr=self.lr_selection,
            batch=self.batch_selection,
            key=key.fold("study"),
            watch=watch,
            augment=self.seen(data),
            schedule=self.schedule,
            begun=begun,
            after=after,
        )

    def learner(self, data: LabelledImages, network: Network) -> Network:
        """Return the network that is trained: the one that is matched in."""
        del data
        return network

    def seen(self, data: LabelledImages) -> str:
        """Return how the images that it is trained on are augmented: not at all."""
        del data
        return "none"

    def choose(
        self,
        data: LabelledImages,
        sizes: Sequence[int],
        network: Network,
        compute: Compute,
        key: Key,
        watch: Watch | None = None,
    ) -> list[Tensor]:
        """Return the first of each class in the order of `rank`; see `Selector.choose`.

        Raises:
            RunFailed: the training diverged, or features are NaN or Inf.
        """
        return self.chosen(data, sizes, network, compute, key, watch).rows

    def chosen(
        self,
        data: LabelledImages,
        sizes: Sequence[int],
        network: Network,
        compute: Compute,
        key: Key,
        watch: Watch | None = None,
    ) -> Chosen:
        """Return the same, with what the selector says of them.

        Raises:
            RunFailed: the training diverged, or features are NaN or Inf.
        """
        study = self.study(data, network, compute, key, watch)

        def told(done: int) -> None:
            if watch is not None:
                watch(f"classes chosen by {self.name}", done, data.classes)

        parts = each_class(self, study, sizes, network, key, told)
        labels = [part.labels for part in parts if part.labels is not None]
        images = [part.images for part in parts if part.images is not None]
        rows = [part.rows for part in parts]
        return self.labelled(study, Chosen(rows, labels or None, images or None, study.teacher))

    def of_class(self, study: Study, label: int, count: int, key: Key) -> Part:
        """Return what is chosen of a class, the first of `rank`; a worker may be asked for it."""
        return Part(self.rank(study, label, count, key))

    def labelled(self, study: Study, chosen: Chosen) -> Chosen:
        """Return what was chosen with labels that take all classes at once: none more."""
        del study
        return chosen

    def passes(self, data: LabelledImages) -> float:
        """Return the images of the training; the features at its end count as one epoch more."""
        return (3.0 * self.epochs + 1) * len(data)


@dataclass(frozen=True)
class GeometricSelector(StudyingSelector):
    """Base of those that compare the features of a class with each other."""

    pick: ClassVar[Callable[[Tensor, int], Tensor]]

    def rank(self, study: Study, label: int, count: int, key: Key) -> Tensor:
        """Return the images of a class that `pick` takes by their features, in its order."""
        del key
        own = study.data.indices_of_class[label]
        return own[type(self).pick(study.features(own), count)]


@dataclass(frozen=True)
class Herding(GeometricSelector):
    """Images whose mean feature follows that of their class; see `herding`."""

    name: ClassVar[str] = "herding"
    pick = staticmethod(herding)


@dataclass(frozen=True)
class KCenter(GeometricSelector):
    """Images that cover the features of their class; see `kcenter`."""

    name: ClassVar[str] = "kcenter"
    pick = staticmethod(kcenter)


@dataclass(frozen=True)
class Forgetting(StudyingSelector):
    """Images that training forgets most often, those never learnt first; see `most_forgotten`."""

    name: ClassVar[str] = "forgetting"

    def rank(self, study: Study, label: int, count: int, key: Key) -> Tensor:
        """Return the images of a class forgotten most often."""
        own = study.data.indices_of_class[label]
        return own[most_forgotten(study.correct[:, own], count, key.fold("ties", label))]
