"""A training and a test set that belong together, put together from checked parts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from attar.data.dividing import joined
from attar.data.glimpse import glimpse_note
from attar.data.images import LabelledImages, check_images
from attar.data.modality import Modality, modality_of, rows_of
from attar.data.preprocessing import Preprocessing
from attar.data.rows import Rows, in_parts
from attar.data.statistics import channel_statistics, value_statistics
from attar.data.twins import twins_note
from attar.data.whitening import KINDS, fit_whitening
from attar.errors import BadRequest, unknown
from attar.shapes import is_picture
from attar.text import printable

ZCA_NAMES = ("none", *KINDS)
# the name of a whitening, or what says it by the name of the data set, once that is read
Zca = str | Callable[[str], str]
# the forms that take pixels in [0, 1] as they are
ON_PIXELS = ("mtt", "rtp", "kip")


@dataclass(frozen=True)
class Splits:
    """What a run reads.

    Args:
        train: the set to condense.
        test: the set to measure on, with the same classes, shape and preprocessing. It may
            lack a class. None where no image is kept for testing.
        note: how many images the parts have and how they were made, to be shown with results;
            may be empty.
        source: what was asked for: ``digits``, ``folder:DIR``, or a name given from Python.
        validation: a part that is neither, to select an iterate by; None where there is none.
        test_share: of every class, cut off what was given as the test part; 0 where the test
            part was one of its own, or there is none.

    Raises:
        BadRequest: the sets differ in image shape, class names or preprocessing.
    """

    train: LabelledImages
    test: LabelledImages | None
    note: str = ""
    source: str = "data"
    validation: LabelledImages | None = None
    test_share: float = 0.0

    def __post_init__(self) -> None:
        for part, other in (("test", self.test), ("validation", self.validation)):
            if other is not None:
                self._check(part, other)

    def _check(self, part: str, other: LabelledImages) -> None:
        if self.train.shape != other.shape:
            raise BadRequest(
                f"{self.source}: the training part holds {rows_of(self.train.shape)}, the {part} "
                f"part {rows_of(other.shape)}; give rows of one shape, or resize pictures"
            )
        if self.train.class_names != other.class_names:
            raise BadRequest(
                f"{self.source}: the classes of the {part} part "
                f"({', '.join(other.class_names)}) are not those of the training part "
                f"({', '.join(self.train.class_names)})"
            )
        if self.train.preprocessing != other.preprocessing:
            raise BadRequest(f"{self.source}: training and {part} part have another preprocessing")

    @property
    def given(self) -> int:
        """How many images there were before a test part was cut off."""
        cut = len(self.test) if self.test is not None and self.test_share else 0
        return len(self.train) + cut

    def to(self, device: str | torch.device) -> Splits:
        """Return all sets on ``device``."""
        return dataclasses.replace(
            self,
            train=self.train.to(device),
            test=None if self.test is None else self.test.to(device),
            validation=None if self.validation is None else self.validation.to(device),
        )


@dataclass(frozen=True)
class Parts:
    """What a loader found: N×C×H×W images and labels of the parts, and the constants.

    There may be no test part. ``validation`` are images and labels of a part of its own, and
    ``test_share`` is of every class what was cut off as the test part.

    Without ``mean`` and ``std`` the per-channel statistics of the training part are taken.
    ``frepo_std`` is used instead of ``std`` with the frepo whitening, ``zca_strength`` with
    rtp and kip. ``name`` is the data set's own, where it differs from what was asked for.
    ``any_range`` says that pixels may lie outside [0, 1].
    """

    images: Rows
    labels: Tensor
    test_images: Rows | None
    test_labels: Tensor | None
    class_names: tuple[str, ...]
    note: str = ""
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    frepo_std: tuple[float, ...] | None = None
    zca_strength: float = 0.1
    name: str = ""
    validation: tuple[Rows, Tensor] | None = None
    test_share: float = 0.0
    any_range: bool = False

    @property
    def test(self) -> tuple[Rows, Tensor] | None:
        """Images and labels of the test part, where there is one."""
        if self.test_images is None or self.test_labels is None:
            return None
        return self.test_images, self.test_labels


def check_zca(zca: Zca) -> None:
    """Refuse the name of a whitening that does not exist, before any data is read."""
    if isinstance(zca, str) and zca not in ZCA_NAMES:
        raise unknown("whitening (zca)", zca, ZCA_NAMES)


def settled_zca(zca: Zca, name: str, modality: Modality) -> str:
    """Return the whitening of data that were read.

    What the name of the data would decide is none where rows have no whitening.

    Args:
        zca: see `Zca`.
        name: of the data set.
        modality: of its rows.

    Raises:
        BadRequest: an unknown one, or one that is asked for and these rows do not have.
    """
    kind = zca if isinstance(zca, str) else zca(name) if modality.whitens else "none"
    check_zca(kind)
    if kind != "none" and not modality.whitens:
        raise BadRequest(f"--zca {kind}: there is no whitening of {modality.name}; leave it out")
    return kind


def assemble(parts: Parts, *, name: str, source: str, zca: Zca = "none") -> Splits:
    """Check the parts, settle the preprocessing on the training part, and return the splits."""
    zca = settled_zca(zca, name, modality_of(tuple(parts.images.shape[1:])))
    classes = len(parts.class_names)
    free = parts.any_range
    check_images(parts.images, parts.labels, classes, name, any_range=free)
    others = {"test": parts.test, "validation": parts.validation}
    # before the whitening, which may take a minute
    for part, pair in others.items():
        if pair is not None:
            lacking = f"{name} {part}"
            check_images(*pair, classes, lacking, may_lack_classes=True, any_range=free)
    check_different(parts.images, name)
    preprocessing = settle_preprocessing(parts, zca)
    known: dict[str, Any] = {"class_names": parts.class_names, "preprocessing": preprocessing}
    known["any_range"] = free
    train = LabelledImages(parts.images, parts.labels, name=name, **known)
    test, validation = (
        None
        if pair is None
        else LabelledImages(*pair, name=f"{name} {part}", may_lack_classes=True, **known)
        for part, pair in others.items()
    )
    there = {part: pair for part, pair in others.items() if pair is not None}
    some = glimpse_note(parts.images)
    # every picture would have to be decoded
    twins = some or twins_note((parts.images, parts.labels), there)
    alone = f"one class only, {printable(parts.class_names[0])}" if classes == 1 else ""
    note = joined(parts.note, alone, rows_note(parts.images), dark_note(parts.images), twins)
    return Splits(train, test, note, source, validation, parts.test_share)


def check_different(images: Rows, name: str) -> None:
    """Refuse a training part whose images are all the same.

    Raises:
        BadRequest: they are.
    """
    first, row = images[:1], modality_of(tuple(images.shape[1:])).row
    if all(bool((part == first).all()) for part in in_parts(images)):
        raise BadRequest(
            f"{name}: all {len(images)} training {row}s are the same, so there is nothing to learn "
            "from them; where transparent pictures came to one colour, choose another --background"
        )


def rows_note(images: Rows) -> str:
    """Return what rows are that are no pictures, or are neither gray nor in colours."""
    shape = tuple(images.shape[1:])
    if not is_picture(shape):
        return f"{rows_of(shape)}, standardised value by value and never augmented"
    channels = images.shape[1]
    if channels in (1, 3):
        return ""
    more = ", none of them taken for transparency" if channels in (2, 4) else ""
    return f"images of {channels} channels{more}"


def dark_note(images: Rows) -> str:
    """Return that pictures of 8 bits are nearly black, where no value is above 1."""
    if images.dtype != torch.uint8 or any(int(part.max()) > 1 for part in in_parts(images)):
        return ""
    return (
        "every value is 0 or 1 of 255, so the images are nearly black; where 1 is white, give "
        "--range 0:1 (from Python value_range=(0, 1))"
    )


def settle_preprocessing(parts: Parts, zca: str) -> Preprocessing:
    """Return the preprocessing of one of `ZCA_NAMES`, fitted on the whole training part."""
    if not modality_of(tuple(parts.images.shape[1:])).bounded:
        return Preprocessing(*value_statistics(parts.images), as_tensors=True)
    if zca in ON_PIXELS:
        strength = 0.1 if zca == "mtt" else parts.zca_strength
        plain = Preprocessing.none(parts.images.shape[1])
        return dataclasses.replace(
            plain, whitening=fit_whitening(zca, parts.images, strength=strength)
        )
    if parts.mean is None or parts.std is None:
        mean, std = channel_statistics(parts.images)
    else:
        mean, std = parts.mean, parts.std
    if zca == "none":
        return Preprocessing(mean, std)
    std = parts.frepo_std or std
    return Preprocessing(mean, std, fit_whitening(zca, parts.images, mean=mean, std=std))
