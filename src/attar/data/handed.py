"""What people have in their hands, made what is read: the one door of data from Python."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from attar.data.array_files import file_of
from attar.data.collecting import is_pillow, pair_of
from attar.data.dividing import joined
from attar.data.hugging_face_given import given_splits
from attar.data.loaders import of_loader
from attar.data.one_scale import on_one_scale
from attar.data.pairs import is_rows
from attar.data.reading import Columns
from attar.data.splits import Splits
from attar.data.standardised import plain_pixels
from attar.data.values import ValueRange
from attar.errors import BadRequest


@dataclass(frozen=True)
class Handed:
    """What is read in the place of what was given.

    Args:
        data: a map-style data set, a pair of images and labels, or a pair (train, test) of these;
            what is none of them as it was given.
        class_names: of labels that were names.
        notes: what was taken for what, in sentences.
    """

    data: Any
    class_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[Any, Any]:
        """The training part, and the test part or None."""
        both = isinstance(self.data, _Both)
        return (self.data[0], self.data[1]) if both else (self.data, None)

    def told(self, splits: Splits) -> Splits:
        """Return what was read with the notes in its own."""
        return replace(splits, note=joined(splits.note, *self.notes))


class _Both(tuple[Any, ...]):
    """A training part and a test part, told from images and labels."""


class Items(Dataset[Any]):
    """A list of pairs of image and label as a data set."""

    def __init__(self, items: Sequence[Any]) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


def handed(data: Any, value_range: ValueRange, columns: Columns) -> Handed:
    """Return what is read of something given from Python.

    Args:
        data: (images, labels), images as arrays, tensors or lists of Pillow images or arrays,
            labels as whole numbers or names; a list of pairs or of mappings; a ``DataLoader``; a
            map-style data set; or a pair, or mapping ``train`` and ``test``, of two of one kind.
        value_range: as given; None lets floats tell whether they are 0…1 or 0…255.
        columns: the keys of items that are mappings.

    Raises:
        BadRequest: a stream, labels that are missing or of a kind that is none, or a data set
            whose images are standardised in a way that cannot be undone.
    """
    notes: list[str] = []
    if isinstance(data, Mapping) and set(data) == {"train", "test"} and type(data) is dict:
        data = (data["train"], data["test"])
    if isinstance(data, DataLoader):
        data = of_loader(data, notes)
    if given_splits(data) is not None:
        return Handed(data, None, tuple(notes))
    parts = list(data) if _are_parts(data) else [data]
    if isinstance(data, list) and len(parts) == 2:
        notes.append(
            "a list of two parts is taken for training and test part; join batches of one part, or "
            "give their DataLoader"
        )
    made = [_part(part, columns, notes) for part in parts]
    names = _names_of(made)
    if names is not None:
        made = [_numbered(part, names) for part in made]
    if value_range is None:
        made = on_one_scale(made, notes)
    whole = made[0] if len(made) == 1 else _Both(made)
    return Handed(whole, names, tuple(dict.fromkeys(notes)))


def _are_parts(data: Any) -> bool:
    """Tell whether this is a pair of training and test part, and not of images and labels."""
    if not isinstance(data, tuple | list) or len(data) != 2 or all(map(_is_item, data)):
        return False
    return all(isinstance(one, Dataset | DataLoader) or _is_part(one) for one in data)


def _is_part(one: Any) -> bool:
    """Tell whether this is a pair of images and labels, or a list of items."""
    if not isinstance(one, tuple | list) or not one:
        return False
    return all(map(_is_item, one[:2])) or (len(one) == 2 and not any(map(_is_single, one)))


def _is_item(one: Any) -> bool:
    """Tell whether this is one image with its label."""
    if isinstance(one, Mapping):
        return True
    return (
        isinstance(one, tuple | list) and len(one) == 2 and _is_image(one[0]) and _is_label(one[1])
    )


def _is_image(one: Any) -> bool:
    return is_pillow(one) or (isinstance(one, Tensor | np.ndarray) and 0 < one.ndim < 4)


def _is_label(one: Any) -> bool:
    if isinstance(one, Tensor | np.ndarray):
        return math.prod(one.shape) == 1
    return isinstance(one, int | float | str | np.generic)


def _is_single(one: Any) -> bool:
    """Tell whether this is one value or picture, so that a pair of two is no (images, labels)."""
    return is_pillow(one) or isinstance(one, int | float | str | np.generic)


def _part(data: Any, columns: Columns, notes: list[str]) -> Any:
    """Return one part as a data set, as a pair of images and labels, or as it is."""
    if isinstance(data, DataLoader):
        data = of_loader(data, notes)
    if isinstance(data, IterableDataset):
        raise BadRequest(
            f"{type(data).__name__} is a stream, which has no rows that can be chosen; give a "
            "map-style Dataset, or a list of its items where they fit into memory"
        )
    if isinstance(data, Dataset):
        return plain_pixels(data, notes)
    if isinstance(data, Iterator):
        data = list(data)
    if isinstance(data, tuple | list) and len(data) == 2 and not all(map(_is_item, data)):
        return _pair(*data)
    if isinstance(data, tuple | list) and data and all(map(_is_item, data)):
        return _items(data, columns)
    if isinstance(data, tuple | list) and len(data) > 2 and all(map(_is_part, data)):
        raise BadRequest(
            f"data: a list of {len(data)} pairs of images and labels is neither a part nor train "
            "and test; join the batches (torch.cat), or give their DataLoader"
        )
    if isinstance(data, np.ndarray | Tensor):
        raise BadRequest(
            "these are images without labels; give both, as in attar.condense(images, labels)"
        )
    return data


def _items(items: Sequence[Any], columns: Columns) -> Any:
    """Return a list of pairs, or of mappings, as images and labels."""
    pairs = [
        pair_of(item, columns, f"data: item {index}") if isinstance(item, Mapping) else item
        for index, item in enumerate(items)
    ]
    return _pair([pair[0] for pair in pairs], [pair[1] for pair in pairs])


def _pair(images: Any, labels: Any) -> Any:
    """Return images and labels as arrays where they are, else as a data set of items."""
    if is_rows(images) or (isinstance(images, np.ndarray) and file_of(images) is not None):
        return images, _plain_labels(labels)
    labels = _plain_labels(labels)
    if isinstance(images, tuple | list) and len(images):
        return _listed(images, labels)
    if not isinstance(images, Tensor | tuple | list):
        images = np.asarray(images)  # a table of pandas
    return images, labels


def _listed(images: Sequence[Any], labels: Any) -> Any:
    """Return a list of images as one array where they are arrays of one kind, else as items."""
    if len(images) != len(labels):
        raise BadRequest(
            f"data: {len(images)} images but {len(labels)} labels; one class per image is needed"
        )
    first = images[0]
    if isinstance(first, list | int | float):
        try:
            return np.asarray(images), labels
        except ValueError:
            raise BadRequest(
                "data: lists of numbers of unequal length are no images; give arrays"
            ) from None
    if isinstance(first, Tensor | np.ndarray) and all(
        type(one) is type(first) and (one.shape, one.dtype) == (first.shape, first.dtype)
        for one in images
    ):
        return (torch.stack if isinstance(first, Tensor) else np.stack)(list(images)), labels
    return Items(list(zip(images, np.asarray(labels).tolist(), strict=True)))


def _plain_labels(labels: Any) -> Any:
    """Return labels as whole numbers, or as an array of names.

    Raises:
        BadRequest: floats that are no whole numbers, or names among other values.
    """
    if isinstance(labels, Tensor):
        found = labels.detach().cpu()
        found = found.numpy() if found.dtype != torch.bfloat16 else found.float().numpy()
    else:
        values = (
            [one.item() if isinstance(one, Tensor) else one for one in labels]
            if isinstance(labels, tuple | list)
            else labels
        )
        try:
            found = np.asarray(values)
        except ValueError:  # rows of unequal length
            return labels
        if found.dtype.kind in "UO" and found.ndim == 1:
            _refuse_mixed(values)
    if found.dtype.kind == "O" and found.size and all(isinstance(one, str) for one in found.flat):
        found = found.astype(str)
    if found.dtype.kind == "f" and found.ndim == 1 and len(found):
        odd = np.flatnonzero(~(np.isfinite(found) & (found == np.round(found))))
        if len(odd):
            raise BadRequest(
                f"data: label {int(odd[0])} is {found[odd[0]]:g}; a whole number, or a name, is "
                "needed for each class"
            )
        return found.astype(np.int64)
    return found if found.dtype.kind == "U" else labels


def _refuse_mixed(labels: Any) -> None:
    """Refuse names among which something is none: numpy makes a name of it, of NaN as well."""
    named = [isinstance(one, str) for one in labels]
    if any(named) and not all(named):
        place = named.index(False)
        raise BadRequest(
            f"data: label {place} is {labels[place]!r}, where others are names; give all as names, "
            "or all as whole numbers, and leave out images that have no label"
        )


def _names_of(made: Sequence[Any]) -> tuple[str, ...] | None:
    """Return the names that the labels of the first part are, sorted; None for numbers."""
    labels = _labels(made[0])
    if labels is None or labels.dtype.kind != "U":
        return None
    return tuple(map(str, np.unique(labels)))


def _labels(part: Any) -> np.ndarray | None:
    if isinstance(part, Items):
        return np.asarray([label for _, label in part.items])
    if isinstance(part, tuple) and len(part) == 2 and isinstance(part[1], np.ndarray):
        return part[1]
    return None


def _numbered(part: Any, names: tuple[str, ...]) -> Any:
    """Return a part with the places of its labels among the names."""
    labels = _labels(part)
    if labels is None:
        return part
    places = {name: place for place, name in enumerate(names)}
    refuse_unknown([one for one in map(str, labels.flat) if one not in places], names)
    if isinstance(part, Items):
        return Items([(image, places[label]) for image, label in part.items])
    return part[0], np.vectorize(places.__getitem__, otypes=[np.int64])(labels)


def refuse_unknown(others: Sequence[str], names: Sequence[str]) -> None:
    """Refuse classes of a test part that the training part does not have.

    Raises:
        BadRequest: naming the first.
    """
    if others:
        raise BadRequest(
            f"data test: the class {others[0]!r} is none of the training part "
            f"({', '.join(sorted(names))})"
        )
