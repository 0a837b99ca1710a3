"""How good a condensed set is: networks trained on it, tested on real images."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from attar import compute as computing
from attar.compute import Compute
from attar.data.images import LabelledImages
from attar.errors import BadRequest
from attar.evaluation.intervals import half_width
from attar.evaluation.ranking import Spread
from attar.networks import Network, Own, make_for
from attar.rng import Key
from attar.training.beginning import evaluation_key, repeat_key
from attar.training.by_class import Hits, largest_share
from attar.training.cards import EvaluationCard
from attar.training.predicting import trainer_of
from attar.training.trainer import Images, Labelling


@dataclass(frozen=True)
class Result:
    """Test accuracies of networks of one kind.

    Args:
        network: its name.
        card: the recipe's name.
        accuracies: one per network, in percent.
        seconds: spent on training and testing all of them.
        compute: device, precision and compilation, as `Compute.describe` says.
        ceiling: mean accuracy in percent of the same network on the whole training set; None
            where it was not measured.
        cached: whether the accuracies were kept from an earlier evaluation.
        tested: test images of each class; empty where only accuracies are known.
        right: for each network, the images of each class that it classifies right; likewise.
        epochs: for which each network was trained, as the card counts them; None where unknown.
        updates: of each network; None where unknown.
    """

    network: str
    card: str
    accuracies: tuple[float, ...]
    seconds: float
    compute: Mapping[str, Any] = field(default_factory=dict)
    ceiling: float | None = None
    cached: bool = False
    tested: tuple[int, ...] = ()
    right: tuple[tuple[int, ...], ...] = ()
    # a whole number is read back as one
    epochs: int | float | None = None
    updates: int | None = None

    @property
    def mean(self) -> float:
        """Mean accuracy in percent."""
        return statistics.fmean(self.accuracies)

    @property
    def std(self) -> float:
        """Population standard deviation over networks, as the papers report it."""
        return statistics.pstdev(self.accuracies)

    @property
    def interval(self) -> float | None:
        """Half width of the 95 % confidence interval of the mean; None for one network.

        In percentage points; Student's t over networks, so it says nothing about other sets
        that the same method would make.
        """
        return half_width(self.std, len(self.accuracies))

    @property
    def share(self) -> float | None:
        """Percentage of the ceiling that the mean reaches; None where there is no ceiling."""
        return 100 * self.mean / self.ceiling if self.ceiling else None

    @property
    def hits(self) -> tuple[Hits, ...]:
        """What each network recognises, class by class; empty where it is not known."""
        return tuple(Hits(right, self.tested) for right in self.right)

    @property
    def balanced(self) -> Spread | None:
        """Balanced accuracy in percent (`Hits.balanced`); None where it is not known."""
        found = tuple(one.balanced for one in self.hits)
        return Spread(found) if found else None

    @property
    def by_class(self) -> tuple[Spread | None, ...]:
        """Accuracy in percent on each class; None for a class without test images."""
        columns = zip(*(one.by_class for one in self.hits), strict=True)
        return tuple(
            None if None in column else Spread(tuple(v for v in column if v is not None))
            for column in columns
        )

    @property
    def largest(self) -> float | None:
        """Accuracy in percent of naming the largest class for every image; None if not known."""
        return largest_share(self.tested) if self.tested else None

    @property
    def beats_largest(self) -> bool | None:
        """Whether the mean is above that of naming the largest class; None if not known."""
        return None if self.largest is None else self.mean > self.largest

    def as_dict(self) -> dict[str, Any]:
        """Return the result as a plain dictionary with everything that follows from it."""
        by_class = self.by_class
        return {
            **asdict(self),
            "mean": self.mean,
            "std": self.std,
            "interval": self.interval,
            "share": self.share,
            "balanced": None if self.balanced is None else self.balanced.as_dict(),
            "by_class": [None if one is None else one.mean for one in by_class],
            "by_class_std": [None if one is None else one.std for one in by_class],
            "largest_class": self.largest,
            "beats_largest_class": self.beats_largest,
        }


def evaluate_images(
    images: Images,
    labels: Tensor,
    test: LabelledImages,
    card: EvaluationCard,
    *,
    dataset: str,
    networks: Sequence[str | Network | Own] = ("convnet3",),
    repeats: int = 5,
    first: int = 0,
    key: Key | None = None,
    compute: Compute | None = None,
    vectorized: int | None = None,
    progress: Callable[[str, int, float | None], None] | None = None,
    teacher: Labelling | None = None,
) -> list[Result]:
    """Train networks from scratch on images and test them on real ones.

    Args:
        images: N×C×H×W network inputs, or real images.
        labels: N class indices, or N×K label values.
        test: real images, with the preprocessing under which ``images`` were made.
        card: the training recipe.
        dataset: the name that decides whether images may be mirrored.
        networks: names of networks, or a user's own modules (see `attar.networks.from_module`).
        repeats: how many of each.
        first: number of the first repeat, where earlier ones are known.
        key: of initialisation, order and augmentation.
        compute: device, precision and compilation; None chooses what pays for this set.
        vectorized: networks per training step; None takes what is faster on the device.
        progress: called with network, number of the repeat and its accuracy; with None when
            its training begins.
        teacher: labels every batch as it is made, in place of ``labels``.

    Raises:
        BadRequest: no network, no repeat, an unknown network, or images that do not fit the
            test set.
    """
    card = card.suited(test.modality)
    if teacher is None and not labels.is_floating_point():
        card = card.hard()
    if repeats < 1 or not networks:
        raise BadRequest(f"--repeats {repeats}: at least one network is needed")
    shape = tuple(images.shape[1:]) if isinstance(images, Tensor) else images.shape
    if shape != test.shape:
        raise BadRequest(
            f"the set has images of {shape}, {test.name} of {test.shape}; "
            "evaluate on the data it was made from, or give --resize"
        )
    built = [make_for(given, test.shape, test.classes) for given in networks]
    key = key or evaluation_key()
    if vectorized is not None and vectorized < 1:
        raise BadRequest(f"--vectorized {vectorized}: at least one network per step")
    chosen = compute or computing.choose(pixels=training_effort(len(images), card, repeats, built))
    results = []
    for network in built:
        began = time.perf_counter()
        together = default_vectorized(chosen, repeats) if network.vectorizes else 1
        several = (vectorized or together) if network.vectorizes else 1
        trainer = trainer_of(card, network, chosen, several)
        strategy = card.strategy(dataset, network.name)
        found: list[Hits] = []
        keys = [repeat_key(key, network.name, first + i) for i in range(repeats)]
        for start in range(0, repeats, trainer.vectorized):
            group = keys[start : start + trainer.vectorized]
            if progress is not None:
                progress(network.name, first + start + 1, None)
            for tensors in trainer.fit(images, labels, card, strategy, group, teacher):
                found.append(trainer.hits(tensors, test))
                if progress is not None:
                    progress(network.name, first + len(found), found[-1].accuracy)
        seconds = time.perf_counter() - began
        results.append(
            Result(
                network.name,
                card.name,
                tuple(one.accuracy for one in found),
                seconds,
                chosen.record(),
                tested=found[0].tested,
                right=tuple(one.right for one in found),
                epochs=None if card.kernel else card.epochs_of(len(images)),
                updates=None if card.kernel else card.steps(len(images)),
            )
        )
    return results


def training_effort(
    count: int, card: EvaluationCard, repeats: int, networks: Sequence[Network]
) -> float:
    """Estimate the effort of training on a set, backward passes included.

    Each network is compiled for itself, so of several the mean tells whether that pays.
    """
    passes = 3.0 * count * card.passes(count) * repeats
    return sum(one.effort(passes) for one in networks) / len(networks)


def default_vectorized(compute: Compute, repeats: int) -> int:
    """Return how many networks train in one step: all on a GPU, one on a CPU.

    On a CPU one network fills the cores, and several at once measured slower.
    """
    return repeats if compute.device.type == "cuda" else 1
