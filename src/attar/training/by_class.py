"""Accuracy class by class, and what it is worth where classes have unequal numbers of images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeGuard

# how often the most frequent class has as many images as the rarest before accuracy favours it
_UNEQUAL = 1.5
# where the share of the largest class is worth a word: so many points, or so much more, than 1/K
_POINTS, _TIMES = 2.0, 1.2
# percentage points by which an accuracy that was written and read may differ
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Hits:
    """What a network recognises of some images, class by class.

    Args:
        right: images of each class that it classifies right.
        tested: images of each class.
    """

    right: tuple[int, ...]
    tested: tuple[int, ...]

    @property
    def accuracy(self) -> float:
        """The share of all images that are classified right, in percent."""
        return 100 * sum(self.right) / sum(self.tested)

    @property
    def by_class(self) -> tuple[float | None, ...]:
        """The share of each class's images, in percent; None where a class has no image."""
        pairs = zip(self.right, self.tested, strict=True)
        return tuple(100 * right / tested if tested else None for right, tested in pairs)

    @property
    def balanced(self) -> float:
        """Balanced accuracy: the mean of `by_class` over the classes with images, in percent.

        Source: Brodersen et al., The balanced accuracy and its posterior distribution, 2010; the
        same as ``sklearn.metrics.balanced_accuracy_score``.
        """
        found = [share for share in self.by_class if share is not None]
        return sum(found) / len(found)

    @property
    def fair(self) -> float:
        """What settings and iterates are chosen by.

        Balanced accuracy where classes are so unequal that accuracy favours the largest one
        (`unequal`), else accuracy.
        """
        return self.balanced if unequal(self.tested) else self.accuracy


def unequal(tested: Sequence[int]) -> bool:
    """Tell whether accuracy on so many images of each class favours the frequent ones.

    It does where the most frequent class has more than 1.5 times the images of the rarest one
    that has any.
    """
    there = [count for count in tested if count]
    return bool(there) and max(there) > _UNEQUAL * min(there)


def largest_share(tested: Sequence[int]) -> float:
    """Return the accuracy in percent of naming the most frequent class for every image."""
    return 100 * max(tested) / sum(tested)


def largest_stands_out(tested: Sequence[int]) -> bool:
    """Tell whether naming the most frequent class gives noticeably more than 1/K."""
    chance = 100 / sum(count > 0 for count in tested)
    share = largest_share(tested)
    return share - chance >= _POINTS or share >= _TIMES * chance


def fits(right: object, tested: object, accuracies: Sequence[float]) -> bool:
    """Tell whether what a file says class by class can be, and gives the accuracies.

    Args:
        right: for each network, the images of each class that it classifies right.
        tested: images of each class.
        accuracies: in percent, one per network.
    """
    if not (_counts(tested) and isinstance(right, list | tuple)):
        return False
    if not sum(tested) or len(right) != len(accuracies):
        return False
    for one, accuracy in zip(right, accuracies, strict=True):
        if not _counts(one) or len(one) != len(tested):
            return False
        if any(own > most for own, most in zip(one, tested, strict=True)):
            return False
        if abs(Hits(tuple(one), tuple(tested)).accuracy - accuracy) > _ROUNDING:
            return False
    return True


def _counts(given: object) -> TypeGuard[Sequence[int]]:
    if not isinstance(given, list | tuple):
        return False
    return all(type(one) is int and one >= 0 for one in given)
