"""A CSV file of image paths and labels."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from attar.data.decoding import Files
from attar.data.indexed import Index, Listing, listing, load_index
from attar.data.reading import Reading
from attar.data.splits import Parts
from attar.data.subsets import is_whole
from attar.errors import BadRequest

PATH_COLUMNS = ("path", "file", "image", "filename")
LABEL_COLUMNS = ("label", "class")
SPLIT_COLUMN = "split"
PART_OF = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "val": "val",
    "valid": "val",
    "validation": "val",
}


@dataclass(frozen=True)
class Row:
    """One line of a table: a picture, its label as written, its part and its line number."""

    path: Path
    label: str
    part: str
    line: int


def load_csv(argument: str, reading: Reading) -> Parts:
    """Read the pictures that a table names; see `index_csv`."""
    return load_index(index_csv(argument), reading)


def index_csv(argument: str) -> Index:
    """List the pictures that a table names.

    The first line names the columns: ``path`` (or ``file``, ``image``, ``filename``) and
    ``label`` (or ``class``), and optionally ``split`` with ``train``, ``test`` or ``val`` in
    each row. Relative paths start at the folder of the table. Columns are separated by commas,
    semicolons or tabs. Classes are ordered by number where all labels are whole numbers, else
    by name. The part ``val`` is the test part where there is no other; without either a fixed
    20 % of every class is held out.

    Raises:
        BadRequest: no such file, no such column, a row that cannot be used, or fewer than two
            classes.
    """
    table = Path(argument).expanduser().absolute()
    if not table.is_file():
        what = "is a folder, not a file" if table.exists() else "does not exist"
        raise BadRequest(f"csv:{argument}: {table} {what}; give a CSV file of paths and labels")
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = list(read_rows(file, table))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadRequest(f"{table} cannot be read as a CSV file in UTF-8 ({error})") from error
    train = [row for row in rows if row.part == "train"]
    if not train:
        raise BadRequest(f"{table} has no rows of the training part; add some")
    numbers = all(is_whole(row.label.removeprefix("-")) for row in rows)
    # 07 and 7 are one class
    names = {row.label: str(int(row.label)) if numbers else row.label for row in rows}
    classes = sorted({names[row.label] for row in train}, key=int if numbers else None)
    if len(classes) < 2:
        raise BadRequest(f"{table} has only the class {classes[0]}; condensation needs two or more")
    test, note = rows_for_testing(rows)
    position = {name: index for index, name in enumerate(classes)}
    for row in test:
        if names[row.label] not in position:
            raise BadRequest(
                f"{table}, line {row.line}: no training row has the class {row.label!r}; "
                "remove the row or add training rows"
            )

    def listed(chosen: list[Row]) -> Listing:
        labels = [position[names[row.label]] for row in chosen]
        return listing(Files(tuple(row.path for row in chosen)), labels, tuple(classes))

    return Index(
        listed(train), listed(test) if test else None, str(table.resolve()), note, table.name
    )


def rows_for_testing(rows: list[Row]) -> tuple[list[Row], str]:
    """Return the rows of the test part, none where it is to be held out, and a note."""
    parts = {row.part for row in rows}
    for name, more in (("test", ""), ("val", " (as test)")):
        if name in parts:
            unused = "; val is not read" if name == "test" and "val" in parts else ""
            note = f"parts: train and {name}{more}{unused}, as the column {SPLIT_COLUMN} says"
            return [row for row in rows if row.part == name], note
    return [], "the table has no test rows: a fixed 20 % of every class is held out as test"


def read_rows(file: Iterator[str], table: Path) -> Iterator[Row]:
    """Yield the rows of an open table."""
    header = next(file, "")
    separator = max(",;\t", key=header.count)
    reader = csv.reader(file, delimiter=separator, skipinitialspace=True)
    columns = next(csv.reader([header], delimiter=separator, skipinitialspace=True), [])
    columns = [name.strip().lower() for name in columns]
    path_column = find_column(columns, PATH_COLUMNS, table)
    label_column = find_column(columns, LABEL_COLUMNS, table)
    split_column = columns.index(SPLIT_COLUMN) if SPLIT_COLUMN in columns else None
    for cells in reader:
        line = reader.line_num + 1
        if not any(cell.strip() for cell in cells):
            continue
        where = f"{table}, line {line}"
        if len(cells) != len(columns):
            raise BadRequest(
                f"{where}: {len(cells)} values for the {len(columns)} columns "
                f"({', '.join(columns)}); put a value that holds the separator in quotation marks"
            )
        label = cells[label_column].strip()
        if not label:
            raise BadRequest(f"{where}: the column {columns[label_column]} is empty")
        part = "train" if split_column is None else cells[split_column].strip().lower()
        if part not in PART_OF:
            raise BadRequest(
                f"{where}: unknown split {part!r}; write train, test or val in the column "
                f"{SPLIT_COLUMN}"
            )
        path = table.parent / Path(cells[path_column].strip()).expanduser()
        if not os.path.isfile(path):  # noqa: PTH113 - half the time of Path.is_file
            raise BadRequest(
                f"{where}: there is no file {path}; relative paths start at {table.parent}"
            )
        yield Row(path, label, PART_OF[part], line)


def find_column(columns: list[str], names: tuple[str, ...], table: Path) -> int:
    """Return the index of the first of ``names`` that a table has."""
    for name in names:
        if name in columns:
            return columns.index(name)
    raise BadRequest(
        f"{table}, line 1: there is no column {names[0]} (or {' or '.join(names[1:])}); the "
        f"columns are {', '.join(columns) or '(none)'}"
    )
