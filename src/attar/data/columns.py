"""Which columns of a table hold the images, the classes and the parts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from attar.data.reading import Columns
from attar.errors import BadRequest, unknown

PATHS = ("path", "file", "image", "filename")
LABELS = ("label", "class")
SPLIT = "split"
# tables as they are distributed: what names their images, and their classes
DISTRIBUTED = {
    "image_id": ("dx",),  # HAM10000
    "id_code": ("diagnosis",),  # APTOS 2019
    "image_name": ("target",),  # ISIC 2020
    "isic_id": ("target",),  # ISIC 2024
    "image": ("target", "level"),  # Diabetic Retinopathy Detection
    "image index": ("finding labels",),  # ChestX-ray14
}
ZERO_OR_ONE = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}


@dataclass(frozen=True)
class Table:
    """A table in memory.

    Args:
        names: of the columns, as written.
        rows: the line number and the cells of each row, as many as there are names.
        where: how messages call it.
    """

    names: tuple[str, ...]
    rows: tuple[tuple[int, tuple[str, ...]], ...]
    where: str

    def values(self, column: int) -> set[str]:
        """Return the distinct values of a column."""
        return {cells[column].strip() for _, cells in self.rows}

    def place(self, name: str) -> int | None:
        """Return the index of a column, whatever its case, or None."""
        lower = [one.lower() for one in self.names]
        return lower.index(name.lower()) if name.lower() in lower else None


@dataclass(frozen=True)
class Chosen:
    """Which columns are read; several ``labels`` hold 1 for the class of a row, else 0."""

    path: int
    labels: tuple[int, ...]
    split: int | None
    note: str = ""


def choose(table: Table, wanted: Columns, parts: Collection[str]) -> Chosen:
    """Return the columns to read: those asked for, else those of the usual names.

    Args:
        table: whose columns they are.
        wanted: what was asked for.
        parts: how a part may be written, in lower case.

    Raises:
        BadRequest: there is no such column, or several could be meant.
    """
    path = path_column(table, wanted.path)
    labels = label_columns(table, wanted.label, path)
    split = split_column(table, wanted.split, {path, *labels}, parts)
    refuse_doubled(table, [one for one in (path, *labels, split) if one is not None])
    return Chosen(path, labels, split, told(table, path, labels, split))


def refuse_doubled(table: Table, columns: Sequence[int]) -> None:
    """Refuse columns whose name, in any case, another has, too.

    Raises:
        BadRequest: which of them is meant is not told.
    """
    lower = [name.lower() for name in table.names]
    for column in columns:
        if lower.count(lower[column]) > 1:
            raise BadRequest(
                f"{table.where}, line 1: {lower.count(lower[column])} columns are called "
                f"{table.names[column]!r}, in any case, and it is not told which counts; rename "
                "or remove the others"
            )


def path_column(table: Table, wanted: str | None) -> int:
    """Return the column that names the images."""
    if wanted is not None:
        return named(table, wanted, "path")
    for name in PATHS:
        place = table.place(name)
        if place is not None:
            return place
    return only(table, list(DISTRIBUTED), "path", PATHS)


def label_columns(table: Table, wanted: str | None, path: int) -> tuple[int, ...]:
    """Return the column of the classes, or those that are classes."""
    if wanted is not None:
        if table.place(wanted) is None and "," in wanted:
            return tuple(named(table, one.strip(), "label") for one in wanted.split(","))
        return (named(table, wanted, "label"),)
    for name in LABELS:
        place = table.place(name)
        if place is not None:
            return (place,)
    usual = DISTRIBUTED.get(table.names[path].lower(), ())
    if any(table.place(name) is not None for name in usual):
        return (only(table, usual, "label", LABELS),)
    ones = tuple(
        index
        for index in range(len(table.names))
        if index != path and table.rows and table.values(index) <= ZERO_OR_ONE.keys()
    )
    return ones if len(ones) > 1 else (only(table, (), "label", LABELS),)


def split_column(
    table: Table, wanted: str | None, taken: set[int], parts: Collection[str]
) -> int | None:
    """Return the column of the parts; without one of the usual name, the one that can be it."""
    if wanted is not None:
        return named(table, wanted, "split")
    usual = table.place(SPLIT)
    if usual is not None:
        return usual
    found = []
    for index, name in enumerate(table.names):
        values = set() if index in taken else {one.lower() for one in table.values(index)}
        if len(values) > 1 and values <= set(parts):
            found.append(name)
    return only(table, found, "split", (SPLIT,)) if found else None


def named(table: Table, name: str, column: str) -> int:
    """Return the index of a column that was asked for."""
    place = table.place(name)
    if place is None:
        raise unknown(f"column of {table.where} (--{column}-column)", name, table.names)
    return place


def only(table: Table, names: Sequence[str], column: str, usual: Sequence[str]) -> int:
    """Return the one of these columns that the table has.

    Raises:
        BadRequest: it has none of them, or several.
    """
    there = [name for name in names if table.place(name) is not None]
    if len(there) == 1:
        return named(table, there[0], column)
    if there:
        raise BadRequest(
            f"{table.where}: each of the columns {', '.join(there)} could be meant; choose one "
            f"with --{column}-column"
        )
    others = f" (or {' or '.join(usual[1:])})" if usual[1:] else ""
    raise BadRequest(
        f"{table.where}, line 1: there is no column {usual[0]}{others}; the columns are "
        f"{', '.join(table.names) or '(none)'}: choose one with --{column}-column"
    )


def told(table: Table, path: int, labels: tuple[int, ...], split: int | None) -> str:
    """Return a note about columns that do not have the usual names; empty where all do."""
    said = []
    if table.names[path].lower() not in PATHS:
        said.append(f"images from the column {table.names[path]}")
    classes = [table.names[one] for one in labels]
    if len(classes) > 1:
        said.append(f"classes are the columns {', '.join(classes)}")
    elif classes[0].lower() not in LABELS:
        said.append(f"classes from the column {classes[0]}")
    if split is not None and table.names[split].lower() != SPLIT:
        said.append(f"parts from the column {table.names[split]}")
    return ", ".join(said)
