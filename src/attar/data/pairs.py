"""Pairs of images and labels, as arrays or tensors, made the parts of a data set."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from attar.data.arrays import ClassNames, as_images, as_labels, name_classes, renumber
from attar.data.images import check_labels
from attar.data.resizing import fit_images
from attar.data.splits import Parts, hold_out, joined
from attar.data.subsets import EVERYTHING, Subset, narrowed
from attar.errors import BadRequest


def parts_from_arrays(
    images: object,
    labels: object,
    test: tuple[object, object] | None,
    class_names: ClassNames,
    *,
    name: str,
    size: tuple[int, int] | None = None,
    subset: Subset = EVERYTHING,
    value_range: tuple[float, float] | None = None,
    note: str = "",
) -> Parts:
    """Return the parts of arrays or tensors; without a test pair 20 % are held out."""
    train = pair_of(images, labels, class_names, name, value_range)
    if not len(train[1]):
        raise BadRequest(f"{name}: there are no images")
    names = name_classes(train[1], class_names, name)
    positions = subset.positions(names, name)
    if test is None:
        kept, held = hold_out(train[1], names, name, positions)
        note = joined(note, "a fixed 20 % of every class is held out as test")
        train, other = take(train, kept), take(train, held)
    else:
        other = pair_of(*test, class_names, f"{name} test", value_range)
    if positions is not None:
        train = of_classes(train, positions, len(names), name)
        other = of_classes(other, positions, len(names), f"{name} test")
        names = tuple(names[one] for one in positions)
    sample = subset.sample(train[1], names)
    if sample is not None:
        train = take(train, sample)
    return Parts(
        fit_images(train[0], size),
        train[1],
        fit_images(other[0], size),
        other[1],
        names,
        joined(note, subset.note),
    )


def pair_of(
    images: object,
    labels: object,
    class_names: ClassNames,
    name: str,
    value_range: tuple[float, float] | None = None,
) -> tuple[Tensor, Tensor]:
    """Return images and labels of one part as tensors."""
    pixels = as_images(images, name, value_range)
    numbers = renumber(as_labels(labels, name), class_names, name)
    if len(pixels) != len(numbers):
        raise BadRequest(
            f"{name}: {len(pixels)} images but {len(numbers)} labels; one class index per image "
            "is needed"
        )
    return pixels, numbers


def take(pair: tuple[Tensor, Tensor], index: Tensor) -> tuple[Tensor, Tensor]:
    """Return the images and labels at ``index``."""
    return pair[0][index], pair[1][index]


def of_classes(
    pair: tuple[Tensor, Tensor], positions: Sequence[int], classes: int, name: str
) -> tuple[Tensor, Tensor]:
    """Return the images of some classes, numbered in their order."""
    images, labels = pair
    if len(labels):
        check_labels(labels, classes, name, may_lack_classes=True)
    index, numbered = narrowed(labels, positions)
    if not len(index):
        raise BadRequest(
            f"{name}: there are no images of the chosen classes; choose others with --classes"
        )
    return images[index], numbered.to(labels.device)
