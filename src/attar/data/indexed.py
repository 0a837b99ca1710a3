"""Pictures listed first and decoded after: what is not wanted is never decoded."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from attar.data.cache import decoded
from attar.data.dividing import Taken, divide, joined
from attar.data.picture_files import Pictures
from attar.data.reading import Reading
from attar.data.splits import Parts


@dataclass(frozen=True)
class Listing:
    """The pictures of one part and their class indices."""

    pictures: Pictures
    labels: Tensor
    class_names: tuple[str, ...]

    def chosen(self, taken: Taken) -> Pictures:
        """Return the pictures that are taken."""
        return self.pictures if taken.index is None else self.pictures.at(taken.index)


@dataclass(frozen=True)
class Index:
    """What a source consists of, nothing decoded yet.

    Args:
        train: the training pictures.
        test: the test pictures, of the same classes; None has a part of ``train`` held out.
        place: what tells this source from others on this machine, such as its absolute path.
        note: how the parts were told.
        name: how messages call the training part.
        mode: Pillow's mode of the images (``L`` or ``RGB``); None is grayscale where all are.
        validation: pictures of the same classes to select an iterate by.
        more: what else is to be told of the source.
    """

    train: Listing
    test: Listing | None
    place: str
    note: str
    name: str
    mode: str | None = None
    validation: Listing | None = None
    more: str = ""


def load_index(index: Index, reading: Reading) -> Parts:
    """Choose the wanted pictures and decode them.

    Raises:
        BadRequest: the subset does not fit the data, a class is too small to hold out images
            of it, or a picture cannot be used.
    """
    division = divide(
        index.train.labels,
        None if index.test is None else index.test.labels,
        None if index.validation is None else index.validation.labels,
        index.train.class_names,
        index.name,
        share=reading.test_share,
        default=reading.default_share,
        subset=reading.subset,
        found=index.note,
    )
    parts = [
        (listed or index.train, taken)
        for listed, taken in (
            (index.train, division.train),
            (index.test, division.test),
            (index.validation, division.validation),
        )
        if taken is not None
    ]
    pictures = [listed.chosen(taken) for listed, taken in parts]
    images, *others = decoded(pictures, index.place, index.mode, reading)
    pairs = [(one, taken.labels) for one, (_, taken) in zip(others, parts[1:], strict=True)]
    test = pairs.pop(0) if division.test is not None else (None, None)
    return Parts(
        images,
        division.train.labels,
        *test,
        division.class_names,
        joined(division.note, index.more),
        validation=pairs[0] if pairs else None,
        test_share=division.test_share,
    )


def listing(pictures: Pictures, labels: list[int], class_names: tuple[str, ...]) -> Listing:
    """Return a listing of pictures with a list of labels."""
    return Listing(pictures, torch.tensor(labels, dtype=torch.int64), class_names)
