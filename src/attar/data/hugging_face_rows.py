"""Rows of the library `datasets`: which columns hold images and classes, and what is in them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from attar.data import multi_label
from attar.data.indexed import Listing
from attar.data.picture_files import open_regular
from attar.data.reading import Columns
from attar.data.table_labels import classes_of
from attar.errors import BadRequest, unknown

# which of several columns of the right kind is taken
IMAGE_COLUMNS = ("image", "img")
LABEL_COLUMNS = ("label", "labels", "fine_label")
# a column of numbers or texts is one of labels only by its name
PLAIN_LABEL_COLUMNS = (*LABEL_COLUMNS, "class", "target")


@dataclass(frozen=True)
class Rows:
    """Pictures in the rows of a column; read undecoded, so that Pillow can decode in threads.

    Args:
        dataset: whose image column gives ``bytes`` or a ``path``.
        column: its name.
        rows: which rows.
        source: how messages call the data set.
    """

    dataset: Any
    column: str
    rows: Tensor
    source: str

    def __len__(self) -> int:
        return len(self.rows)

    def at(self, index: Tensor) -> Rows:
        """Return the pictures of some of the rows."""
        return replace(self, rows=self.rows[index])

    def stream(self, index: int) -> BinaryIO:
        """Return the file of one picture, opened."""
        found = self.dataset[int(self.rows[index])][self.column]
        if found is None or (found["bytes"] is None and found["path"] is None):
            raise BadRequest(f"{self.name(index)} has no image; remove the row")
        if found["bytes"] is None:
            return open_regular(Path(found["path"]))
        return io.BytesIO(found["bytes"])

    def name(self, index: int) -> str:
        """Return the row of one picture."""
        return f"{self.source}, row {int(self.rows[index])}"


def list_rows(
    dataset: Any, where: str, columns: Columns, class_names: tuple[str, ...] | None = None
) -> Listing:
    """List the pictures of one split by its image column and its label column.

    Args:
        dataset: of the library.
        where: how messages call the split.
        columns: which were asked for by name.
        class_names: those of the training split, for another one.

    Raises:
        BadRequest: there is no such column, or several, or it holds no such values.
    """
    import datasets

    dataset = dataset.with_format(None)
    image = image_column(dataset, columns.path, where)
    label = label_column(dataset, columns.label, where)
    # undecoded images can be decoded in threads
    pictures = dataset.select_columns([image]).cast_column(image, datasets.Image(decode=False))
    labels, names = read_labels(dataset, label, class_names, where)
    return Listing(Rows(pictures, image, torch.arange(len(dataset)), where), labels, names)


def image_column(dataset: Any, wanted: str | None, where: str) -> str:
    """Return the column of the images."""
    import datasets

    if wanted is None:
        return find_column(dataset, datasets.Image, IMAGE_COLUMNS, "image", where)
    feature = feature_of(dataset, wanted, "path", where)
    if not isinstance(feature, datasets.Image):
        raise BadRequest(
            f"--path-column {wanted}: {where} holds {feature} there; cast it to images with the "
            f"library 'datasets': cast_column({wanted!r}, datasets.Image())"
        )
    return wanted


def label_column(dataset: Any, wanted: str | None, where: str) -> str:
    """Return the column of the classes: class labels, or numbers or texts of a usual name."""
    import datasets

    if wanted is not None:
        feature_of(dataset, wanted, "label", where)
        return wanted
    plain = [name for name in PLAIN_LABEL_COLUMNS if name in dataset.features]
    features = dataset.features.values()
    if plain and not any(isinstance(one, datasets.ClassLabel) for one in features):
        return plain[0]
    return find_column(dataset, datasets.ClassLabel, LABEL_COLUMNS, "class label", where)


def feature_of(dataset: Any, name: str, column: str, where: str) -> Any:
    """Return the feature of a column that was asked for."""
    if name not in dataset.features:
        raise unknown(f"column of {where} (--{column}-column)", name, dataset.features)
    return dataset.features[name]


def find_column(dataset: Any, kind: type, preferred: tuple[str, ...], what: str, where: str) -> str:
    """Return the one column of a kind, or the preferred of several."""
    found = [name for name, feature in dataset.features.items() if isinstance(feature, kind)]
    if len(found) == 1:
        return found[0]
    for name in preferred:
        if name in found:
            return name
    listed = ", ".join(
        f"{name} ({type(feature).__name__})" for name, feature in dataset.features.items()
    )
    number = "no column" if not found else "several columns"
    option = "--label-column" if what == "class label" else "--path-column"
    raise BadRequest(
        f"{where} has {number} of type {what} ({kind.__name__}); its columns are {listed}. Choose "
        f"one with {option}"
    )


def read_labels(
    dataset: Any, column: str, class_names: tuple[str, ...] | None, where: str
) -> tuple[Tensor, tuple[str, ...]]:
    """Return what `labels_of` makes of a column."""
    # the other columns may be large
    values = dataset.select_columns([column])[:][column]
    feature = dataset.features[column]
    return labels_of(values, feature, class_names, f"{where}, column {column}", where)


def labels_of(
    values: Sequence[Any],
    feature: Any,
    class_names: tuple[str, ...] | None,
    place: str,
    where: str,
) -> tuple[Tensor, tuple[str, ...]]:
    """Return class indices, -1 for a row without a label, and the names of the classes.

    Numbers are in the order of numbers, texts in that of names; class labels in their own.

    Args:
        values: of the column.
        feature: of it, as the library has it.
        class_names: those of the training split, for another one.
        place: how messages call the column.
        where: how they call the split.
    """
    import datasets

    if isinstance(feature, datasets.ClassLabel):
        numbers = [-1 if one is None else one for one in values]
        return torch.tensor(numbers, dtype=torch.int64), tuple(map(str, feature.names))
    check_kind(feature, place)
    texts = [None if one is None or one == "" else str(one) for one in values]
    labels = {text for text in texts if text is not None}
    multi_label.refuse_joined(texts, lambda index: f"{where}, row {index}")
    names = tuple(classes_of(labels, ())[0]) if class_names is None else class_names
    position: dict[str | None, int] = {name: index for index, name in enumerate(names)}
    # splits of challenges say with -1 that there is no label
    position |= {None: -1, "-1": position.get("-1", -1)}
    strange = [text for text in labels if text not in position]
    if strange:
        row = texts.index(strange[0])
        raise BadRequest(
            f"{where}, row {row}: no training row has the class {strange[0]!r}; remove the row"
        )
    return torch.tensor([position[text] for text in texts], dtype=torch.int64), names


def check_kind(feature: Any, where: str) -> None:
    """Refuse a column whose values are no classes."""
    kind = str(getattr(feature, "dtype", ""))
    if kind.startswith(("int", "uint", "bool", "string", "large_string")):
        return
    if type(feature).__name__ in ("List", "LargeList"):
        raise multi_label.refused(where, "a row holds a list")
    raise BadRequest(
        f"{where} holds {feature}; whole numbers, texts or a ClassLabel are needed: choose another "
        "with --label-column, or cast it with the library 'datasets'"
    )
