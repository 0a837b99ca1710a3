"""A training and a test set that belong together, put together from checked parts."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from attar.data.images import (
    LabelledImages,
    channel_statistics,
    check_images,
    check_labels,
    stratified,
)
from attar.data.preprocessing import Preprocessing
from attar.data.whitening import KINDS, fit_whitening
from attar.errors import BadRequest, unknown
from attar.rng import Key

HELD_OUT = 0.2
ZCA_NAMES = ("none", *KINDS)
# the forms that take pixels in [0, 1] as they are
ON_PIXELS = ("mtt", "rtp", "kip")


@dataclass(frozen=True)
class Splits:
    """What a run reads.

    Args:
        train: the set to condense.
        test: the set to measure on, with the same classes, shape and preprocessing. It may
            lack a class.
        note: how the parts were made, to be shown with results; may be empty.
        source: what was asked for: ``digits``, ``folder:DIR``, or a name given from Python.

    Raises:
        BadRequest: the two sets differ in image shape, class names or preprocessing.
    """

    train: LabelledImages
    test: LabelledImages
    note: str = ""
    source: str = "data"

    def __post_init__(self) -> None:
        if self.train.shape != self.test.shape:
            raise BadRequest(
                f"{self.source}: training images are C×H×W = {self.train.shape}, test images "
                f"{self.test.shape}; give one size, or resize both"
            )
        if self.train.class_names != self.test.class_names:
            raise BadRequest(
                f"{self.source}: the classes of the test part "
                f"({', '.join(self.test.class_names)}) are not those of the training part "
                f"({', '.join(self.train.class_names)})"
            )
        if self.train.preprocessing != self.test.preprocessing:
            raise BadRequest(f"{self.source}: training and test part have another preprocessing")

    def to(self, device: str | torch.device) -> Splits:
        """Return both sets on ``device``."""
        return dataclasses.replace(self, train=self.train.to(device), test=self.test.to(device))


@dataclass(frozen=True)
class Parts:
    """What a loader found: N×C×H×W images and labels of both parts, and the constants.

    Without ``mean`` and ``std`` the per-channel statistics of the training part are taken.
    ``frepo_std`` is used instead of ``std`` with the frepo whitening, ``zca_strength`` with
    rtp and kip. ``name`` is the data set's own, where it differs from what was asked for.
    """

    images: Tensor
    labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    class_names: tuple[str, ...]
    note: str = ""
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    frepo_std: tuple[float, ...] | None = None
    zca_strength: float = 0.1
    name: str = ""


def check_zca(zca: str) -> None:
    """Refuse the name of a whitening that does not exist, before any data is read."""
    if zca not in ZCA_NAMES:
        raise unknown("whitening (zca)", zca, ZCA_NAMES)


def assemble(parts: Parts, *, name: str, source: str, zca: str = "none") -> Splits:
    """Check the parts, settle the preprocessing on the training part, and return the splits."""
    check_zca(zca)
    classes = len(parts.class_names)
    check_images(parts.images, parts.labels, classes, name)
    # before the whitening, which may take a minute
    check_images(
        parts.test_images, parts.test_labels, classes, f"{name} test", may_lack_classes=True
    )
    check_different(parts.images, name)
    preprocessing = settle_preprocessing(parts, zca)
    train = LabelledImages(parts.images, parts.labels, parts.class_names, preprocessing, name)
    test = LabelledImages(
        parts.test_images,
        parts.test_labels,
        parts.class_names,
        preprocessing,
        f"{name} test",
        may_lack_classes=True,
    )
    return Splits(train, test, joined(parts.note, channels_note(parts.images)), source)


def check_different(images: Tensor, name: str) -> None:
    """Refuse a training part whose images are all the same.

    Raises:
        BadRequest: they are.
    """
    if all(bool((part == images[:1]).all()) for part in images.split(256)):
        raise BadRequest(
            f"{name}: all {len(images)} training images are the same, so there is nothing to "
            "learn from them; where transparent pictures came to one colour, choose another "
            "--background"
        )


def channels_note(images: Tensor) -> str:
    """Return how many channels the images have where they are neither gray nor in colours."""
    channels = images.shape[1]
    if channels in (1, 3):
        return ""
    more = ", none of them taken for transparency" if channels in (2, 4) else ""
    return f"images of {channels} channels{more}"


def settle_preprocessing(parts: Parts, zca: str) -> Preprocessing:
    """Return the preprocessing of one of `ZCA_NAMES`, fitted on the whole training part."""
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


def hold_out(
    labels: Tensor,
    class_names: tuple[str, ...],
    name: str,
    positions: Sequence[int] | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the indices of the training part and of a fixed, stratified test part of 20 %.

    Args:
        labels: N class indices.
        class_names: their names.
        name: how messages call the set.
        positions: the only classes to consider, for a slice; they are held out of just as when
            all are.

    Raises:
        BadRequest: the labels do not fit the classes, or a class has a single image.
    """
    check_labels(labels, len(class_names), name, may_lack_classes=positions is not None)
    wanted = range(len(class_names)) if positions is None else positions
    own = [
        torch.nonzero(labels == label).flatten() if label in wanted else labels.new_empty(0)
        for label in range(len(class_names))
    ]
    for label in wanted:
        if len(own[label]) < 2:
            many = "one image" if len(own[label]) else "no images"
            raise BadRequest(
                f"{name}: class {class_names[label]!r} has {many}, so none can be held out as "
                "test; add images, or give a test part"
            )
    return stratified(own, HELD_OUT, Key(0).fold("test part"))


def joined(*notes: str) -> str:
    """Return the notes that say something, as one line."""
    return "; ".join(filter(None, notes))
