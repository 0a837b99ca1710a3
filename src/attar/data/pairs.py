"""Pairs of images and labels, as arrays or tensors, made the parts of a data set."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from attar.data.array_files import ArrayFile, file_of, open_rows
from attar.data.arrays import ClassNames, as_images, as_labels, name_classes, renumber
from attar.data.dividing import divide, joined
from attar.data.resizing import fit_rows
from attar.data.rows import Rows
from attar.data.splits import Parts
from attar.data.subsets import EVERYTHING, Subset
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
    validation: tuple[object, object] | None = None,
    share: float | None = None,
    default: float = 0.0,
) -> Parts:
    """Return the parts of arrays or tensors; see `divide` for ``share`` and ``default``."""
    train = pair_of(images, labels, class_names, name, value_range)
    if not len(train[1]):
        raise BadRequest(f"{name}: there are no images")
    names = name_classes(train[1], class_names, name)
    others = [
        None if pair is None else pair_of(*pair, class_names, f"{name} {part}", value_range)
        for part, pair in (("test", test), ("validation", validation))
    ]
    of_test, of_validation = (None if pair is None else pair[1] for pair in others)
    division = divide(
        train[1],
        of_test,
        of_validation,
        names,
        name,
        share=share,
        default=default,
        subset=subset,
    )
    chosen = [
        None if taken is None else (fit_rows(taken.of((pair or train)[0]), size), taken.labels)
        for pair, taken in zip(others, (division.test, division.validation), strict=True)
    ]
    return Parts(
        fit_rows(division.train.of(train[0]), size),
        division.train.labels,
        *(chosen[0] or (None, None)),
        division.class_names,
        joined(note, division.note),
        validation=chosen[1],
        test_share=division.test_share,
    )


def pair_of(
    images: object,
    labels: object,
    class_names: ClassNames,
    name: str,
    value_range: tuple[float, float] | None = None,
) -> tuple[Rows, Tensor]:
    """Return images and labels of one part."""
    pixels = rows_of(images, name, value_range)
    numbers = renumber(as_labels(labels, name), class_names, name)
    if len(pixels) != len(numbers):
        raise BadRequest(
            f"{name}: {len(pixels)} images but {len(numbers)} labels; one class index per image "
            "is needed"
        )
    return pixels, numbers


def rows_of(given: Any, name: str, value_range: tuple[float, float] | None = None) -> Rows:
    """Return rows by index: those of a file stay in it, all else becomes a tensor.

    Args:
        given: array, tensor, an `ArrayFile`, an array that NumPy has mapped, or `Rows`.
        name: how messages call it.
        value_range: see `as_images`.

    Raises:
        BadRequest: as `as_images` does; or there is a range for rows that have their values.
    """
    if is_rows(given):
        if value_range is not None:
            raise BadRequest(f"--range: {name} gives rows with their values; leave it out")
        return given
    stored = file_of(given) if isinstance(given, np.ndarray) else given
    if isinstance(stored, ArrayFile):
        return open_rows(stored, name, value_range)
    return as_images(given, name, value_range)


def is_rows(given: Any) -> bool:
    """Tell whether this is an object of a user's own that gives rows by index."""
    if isinstance(given, Tensor):
        return False
    parts = ("shape", "device", "__len__", "__getitem__")
    return isinstance(getattr(given, "dtype", None), torch.dtype) and all(
        hasattr(given, part) for part in parts
    )
