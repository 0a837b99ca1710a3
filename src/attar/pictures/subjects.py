"""What pictures are made of: artefacts with their files, and real images beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attar.artefact.artefact import Artefact, preprocessing_tensors
from attar.artefact.snapshots import snapshots_of
from attar.data import LabelledImages, Splits
from attar.errors import BadRequest
from attar.evaluation.real import read_splits
from attar.report.entries import Entry
from attar.rng import Key


@dataclass(frozen=True)
class Subject:
    """An artefact with everything that lies beside it.

    Args:
        path: of the artefact.
        entry: as `attar.report.read_entries` returns it.
    """

    path: Path
    entry: Entry

    @property
    def name(self) -> str:
        """What pictures call it."""
        return self.entry.name

    @property
    def artefact(self) -> Artefact:
        """The set."""
        return self.entry.artefact

    @cached_property
    def snapshots(self) -> list[Artefact]:
        """Iterates of its run, in order.

        Raises:
            BadRequest: none were kept, or those that were are of the whole that it is a part of.
        """
        if self.entry.ipc is not None:
            raise BadRequest(
                f"--ipc {self.entry.ipc}: the snapshots of {self.path} are of the whole set; "
                "leave --ipc out to see them"
            )
        return snapshots_of(self.path, self.artefact)


@dataclass(frozen=True)
class Source:
    """Where real images come from.

    Args:
        data: as `attar.evaluate` takes them; None for those that the artefact was made from.
        reading: ``resize``, ``classes``, ``per_class``, ``data_dir`` and ``watch``.
    """

    data: Any
    reading: Mapping[str, Any]

    def read(self, subjects: Sequence[Subject]) -> Splits:
        """Read the real images that all these artefacts are of.

        Raises:
            BadRequest: their classes or sizes differ, or no such images can be read.
        """
        check_alike(subjects)
        return read_splits(subjects[0].artefact, self.data, **self.reading)


def check_alike(subjects: Sequence[Subject]) -> None:
    """Refuse artefacts of different classes or sizes of images.

    Raises:
        BadRequest: names the first that differs.
    """
    first = subjects[0]
    for other in subjects[1:]:
        ours, theirs = first.artefact.header, other.artefact.header
        if (ours.class_names, ours.shape) != (theirs.class_names, theirs.shape):
            raise BadRequest(
                f"{other.path} has other classes or images of another size than {first.path} "
                f"({len(theirs.class_names)} classes of {_size(theirs.shape)}, "
                f"{len(ours.class_names)} of {_size(ours.shape)}); draw them one by one"
            )


def _size(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))


def sample(data: LabelledImages, per_class: int, key: Key) -> Tensor:
    """Return indices of at most so many images of every class, class after class."""
    drawn = [data.draw(c, per_class, key.fold("real", c)) for c in range(data.classes)]
    return torch.cat(drawn)


def preprocessing_key(artefact: Artefact) -> tuple[Any, ...]:
    """Return what tells one preprocessing from another."""
    tensors = preprocessing_tensors(artefact.preprocessing)
    sums = tuple(float(tensor.double().sum()) for tensor in tensors.values())
    header = artefact.header
    return tuple(header.mean), tuple(header.std), header.zca, sums


def inputs_like(artefact: Artefact, first: Artefact) -> Tensor:
    """Return the images of a set as network inputs under the preprocessing of another set."""
    if preprocessing_key(artefact) == preprocessing_key(first):
        return artefact.images
    return first.preprocessing.apply(artefact.preprocessing.invert(artefact.images))
