"""Pictures listed first and decoded after: what is not wanted is never decoded."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from attar.data.cache import decoded
from attar.data.picture_files import Pictures
from attar.data.reading import Reading
from attar.data.splits import Parts, hold_out, joined
from attar.data.subsets import Subset, narrowed
from attar.errors import BadRequest


@dataclass(frozen=True)
class Listing:
    """The pictures of one part and their class indices."""

    pictures: Pictures
    labels: Tensor
    class_names: tuple[str, ...]

    def part(self, index: Tensor) -> Listing:
        """Return the listing of the pictures at ``index``."""
        return replace(self, pictures=self.pictures.at(index), labels=self.labels[index])

    def of_classes(self, positions: tuple[int, ...]) -> Listing:
        """Return the listing of some classes, numbered in their order."""
        index, labels = narrowed(self.labels, positions)
        names = tuple(self.class_names[one] for one in positions)
        return Listing(self.pictures.at(index), labels, names)


@dataclass(frozen=True)
class Index:
    """What a source consists of, nothing decoded yet.

    Args:
        train: the training pictures.
        test: the test pictures, of the same classes; None has a part of ``train`` held out.
        place: what tells this source from others on this machine, such as its absolute path.
        note: how the parts were made.
        name: how messages call the training part.
        mode: Pillow's mode of the images (``L`` or ``RGB``); None is grayscale where all are.
    """

    train: Listing
    test: Listing | None
    place: str
    note: str
    name: str
    mode: str | None = None


def load_index(index: Index, reading: Reading) -> Parts:
    """Choose the wanted pictures and decode them.

    Raises:
        BadRequest: the subset does not fit the data, a class is too small to hold out images
            of it, or a picture cannot be used.
    """
    train, test = parts_of(index, reading.subset)
    images, test_images = decoded((train.pictures, test.pictures), index.place, index.mode, reading)
    return Parts(
        images,
        train.labels,
        test_images,
        test.labels,
        train.class_names,
        joined(index.note, reading.subset.note),
    )


def parts_of(index: Index, subset: Subset) -> tuple[Listing, Listing]:
    """Return the wanted training and test pictures."""
    train, test = index.train, index.test
    positions = subset.positions(train.class_names, index.name)
    if test is None:
        # of the whole source, so that the test part of a class does not hang on the others
        kept, held = hold_out(train.labels, train.class_names, index.name, positions)
        train, test = train.part(kept), train.part(held)
    if positions is not None:
        train, test = train.of_classes(positions), test.of_classes(positions)
        if not len(test.labels):
            raise BadRequest(
                f"{index.name}: the test part has no images of the classes "
                f"{', '.join(train.class_names)}; choose others with --classes"
            )
    sample = subset.sample(train.labels, train.class_names)
    return (train if sample is None else train.part(sample)), test


def listing(pictures: Pictures, labels: list[int], class_names: tuple[str, ...]) -> Listing:
    """Return a listing of pictures with a list of labels."""
    return Listing(pictures, torch.tensor(labels, dtype=torch.int64), class_names)
