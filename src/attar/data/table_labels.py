"""The classes that the rows of a table name, in one column or in several of 0 and 1."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from attar.data import multi_label
from attar.data.columns import ZERO_OR_ONE, Table
from attar.data.subsets import is_whole
from attar.errors import BadRequest


def read_labels(table: Table, columns: Sequence[int]) -> list[str]:
    """Return the class of every row; of numbers, 07 and 7 are one class.

    Raises:
        BadRequest: a row has no class, or several.
    """
    if len(columns) > 1:
        return [hot_label(table, columns, line, cells) for line, cells in table.rows]
    (column,) = columns
    labels = [cells[column].strip() for _, cells in table.rows]
    lines = [line for line, _ in table.rows]
    if "" in labels:
        line = lines[labels.index("")]
        raise BadRequest(f"{table.where}, line {line}: the column {table.names[column]} is empty")
    return plain_labels(labels, lambda index: f"{table.where}, line {lines[index]}")


def plain_labels(labels: list[str], where: Callable[[int], str]) -> list[str]:
    """Return labels as classes: of numbers, 07 and 7 are one.

    Args:
        labels: as written.
        where: returns how messages call the place of one.

    Raises:
        BadRequest: a label joins several others.
    """
    multi_label.refuse_joined(labels, where)
    if all(map(is_number, labels)):
        return [str(int(label)) for label in labels]
    return labels


def hot_label(table: Table, columns: Sequence[int], line: int, cells: Sequence[str]) -> str:
    """Return the name of the one column that holds a 1."""
    where = f"{table.where}, line {line}"
    ones = []
    for column in columns:
        value = ZERO_OR_ONE.get(cells[column].strip())
        if value is None:
            raise BadRequest(
                f"{where}: the column {table.names[column]} holds {cells[column].strip()!r}; "
                "where several columns are the classes, each holds 0 or 1"
            )
        if value:
            ones.append(table.names[column])
    if len(ones) > 1:
        raise multi_label.refused(where, f"the columns {' and '.join(ones)} all hold 1")
    if not ones:
        listed = ", ".join(table.names[one] for one in columns)
        raise BadRequest(
            f"{where}: none of the columns {listed} holds a 1, so the image has no class; remove "
            "the row, or name the columns of the classes with --label-column"
        )
    return ones[0]


def is_number(label: str) -> bool:
    """Tell whether a label is a whole number."""
    return is_whole(label.removeprefix("-"))


def classes_of(labels: Iterable[str], columns: Sequence[str]) -> tuple[list[str], str]:
    """Return the distinct labels in order, and a note about columns that no row has.

    Several columns that are classes keep their order; others are by number where all are whole
    numbers, else by name.
    """
    distinct = set(labels)
    if len(columns) < 2:
        return sorted(distinct, key=int if all(map(is_number, distinct)) else None), ""
    lacking = [name for name in columns if name not in distinct]
    note = f"left out, since no training row has it: {', '.join(lacking)}" if lacking else ""
    return [name for name in columns if name in distinct], note
