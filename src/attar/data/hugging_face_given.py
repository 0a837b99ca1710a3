"""Objects of the library `datasets`, given from Python."""

from __future__ import annotations

import sys
from typing import Any

from attar.data.hugging_face import TEST_SPLITS, index_splits, training_split
from attar.data.indexed import load_index
from attar.data.reading import Reading
from attar.data.splits import Parts
from attar.errors import BadRequest


def given_splits(data: Any) -> dict[str, Any] | None:
    """Return the splits of what the library gave: one, a pair of train and test, or a dict.

    None where it gave nothing of it.

    Raises:
        BadRequest: a stream, which has no rows that can be chosen.
    """
    library = sys.modules.get("datasets")
    if library is None:
        return None
    if isinstance(data, library.IterableDataset | library.IterableDatasetDict):
        raise BadRequest(
            f"{type(data).__name__} is a stream; give a datasets.Dataset, such as one loaded "
            "without streaming=True"
        )
    if isinstance(data, library.DatasetDict):
        return dict(data)
    splits = list(data) if isinstance(data, tuple | list) and len(data) == 2 else [data]
    if not all(isinstance(one, library.Dataset) for one in splits):
        return None
    return dict(zip(("train", "test"), splits, strict=False))


def load_given(splits: dict[str, Any], reading: Reading, name: str) -> Parts:
    """Read splits that `given_splits` returned; see `index_splits`."""
    return load_index(index_splits(splits, "", name, reading.columns), reading)


def items_of(splits: dict[str, Any]) -> tuple[Any, Any, list[str] | None] | None:
    """Return training part, test part and class names, where rows can only be read as items.

    That is where rows come out of a function of the user, or hold images as numbers; None where
    images are in a column of their own.
    """
    import datasets

    def in_a_column(one: Any) -> bool:
        kinds = (isinstance(feature, datasets.Image) for feature in one.features.values())
        return one.format["type"] != "custom" and any(kinds)

    if all(map(in_a_column, splits.values())):
        return None
    items = {
        name: one if one.format["type"] == "custom" else one.with_format("torch")
        for name, one in splits.items()
    }
    train = items.pop(training_split(list(items), "", "data"))
    test = next((items[name] for name in TEST_SPLITS if name in items), None)
    labels = [one for one in train.features.values() if isinstance(one, datasets.ClassLabel)]
    return train, test, list(labels[0].names) if len(labels) == 1 else None
