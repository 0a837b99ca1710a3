"""A CSV file of image paths and labels."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from attar.data.beside import Beside, Identity
from attar.data.columns import Chosen, Table, choose
from attar.data.dividing import joined
from attar.data.indexed import Index, Listing, listing, load_index
from attar.data.part_names import PART_OF
from attar.data.picture_files import Files
from attar.data.reading import Columns, Reading
from attar.data.splits import Parts
from attar.data.table_labels import classes_of, read_labels
from attar.errors import BadRequest


@dataclass(frozen=True)
class Row:
    """One line of a table: a picture, its class, its part and its line number."""

    path: Path
    file: Identity
    label: str
    part: str
    line: int


def load_csv(argument: str, reading: Reading) -> Parts:
    """Read the pictures that a table names; see `index_csv`."""
    return load_index(index_csv(argument, reading.columns), reading)


def index_csv(argument: str, wanted: Columns) -> Index:
    """List the pictures that a table names.

    The first line names the columns: ``path`` (or ``file``, ``image``, ``filename``) and
    ``label`` (or ``class``), and optionally ``split`` with ``train``, ``test`` or ``val`` in
    each row; or others, which ``wanted`` names or which are those of a table that is
    distributed so (HAM10000, APTOS, ISIC). Classes may also be columns, with a 1 for the class
    of a row and 0 for all others. Relative paths start at the folder of the table; an id means
    the one picture below that folder that is called so. Columns are separated by commas,
    semicolons or tabs. Classes are ordered by number where all labels are whole numbers, as
    columns are where they are columns, else by name. The part ``val`` selects the
    iterate, and is the test part where there is no other; without either a fixed share of every
    class is held out. Rows that repeat
    another's file, class and part are counted once.

    Raises:
        BadRequest: no such file, no such column, a row that cannot be used, a file under two
            classes or in two parts, several classes for an image, or fewer than two classes.
    """
    table = read_table(argument)
    path = Path(table.where)
    chosen = choose(table, wanted, PART_OF)
    rows, note = read_rows(table, chosen, path.parent)
    train = [row for row in rows if row.part == "train"]
    if not train:
        raise BadRequest(f"{path} has no rows of the training part; add some")
    columns = [table.names[one] for one in chosen.labels]
    classes, unused = classes_of((row.label for row in train), columns)
    split = "" if chosen.split is None else table.names[chosen.split]
    test, validation, how = other_rows(rows, split)
    position = {name: index for index, name in enumerate(classes)}
    for row in (*test, *validation):
        if row.label not in position:
            raise BadRequest(
                f"{path}, line {row.line}: no training row has the class {row.label!r}; "
                "remove the row or add training rows"
            )

    def listed(chosen: list[Row]) -> Listing:
        labels = [position[row.label] for row in chosen]
        return listing(Files(tuple(row.path for row in chosen)), labels, tuple(classes))

    return Index(
        listed(train),
        listed(test) if test else None,
        str(path.resolve()),
        how,
        path.name,
        validation=listed(validation) if validation else None,
        more=joined(chosen.note, unused, note),
    )


def other_rows(rows: list[Row], split: str) -> tuple[list[Row], list[Row], str]:
    """Return the rows of the test and of the validation part, and a note.

    Validation rows are the test part where there is no other.
    """
    test, validation = ([row for row in rows if row.part == part] for part in ("test", "val"))
    if test and validation:
        note = f"train, test and val (as validation), as the column {split} says"
        return test, validation, note
    if test:
        return test, [], f"train and test, as the column {split} says"
    if validation:
        return validation, [], f"train and val (as test), as the column {split} says"
    return [], [], "the table has no test rows"


def read_table(argument: str) -> Table:
    """Return a table, with as many values in each row as it has columns."""
    path = Path(argument).expanduser().absolute()
    if not path.is_file():
        what = "is a folder, not a file" if path.exists() else "does not exist"
        raise BadRequest(f"csv:{argument}: {path} {what}; give a CSV file of paths and labels")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = next(file, "")
            separator = max(",;\t", key=header.count)
            names = next(csv.reader([header], delimiter=separator, skipinitialspace=True), [])
            names = [name.strip() for name in names]
            reader = csv.reader(file, delimiter=separator, skipinitialspace=True)
            rows = [
                # the first line was read apart
                (reader.line_num + 1, tuple(cells))
                for cells in reader
                if any(cell.strip() for cell in cells)
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadRequest(f"{path} cannot be read as a CSV file in UTF-8 ({error})") from error
    for line, cells in rows:
        if len(cells) != len(names):
            raise BadRequest(
                f"{path}, line {line}: {len(cells)} values for the {len(names)} columns "
                f"({', '.join(names)}); put a value that holds the separator in quotation marks"
            )
    return Table(tuple(names), tuple(rows), str(path))


def read_rows(table: Table, chosen: Chosen, folder: Path) -> tuple[list[Row], str]:
    """Return the rows of a table, each file once, and a note about what is not as written."""
    labels = read_labels(table, chosen.labels)
    beside = Beside(folder)
    rows: list[Row] = []
    for (line, cells), label in zip(table.rows, labels, strict=True):
        where = f"{table.where}, line {line}"
        part = "train" if chosen.split is None else cells[chosen.split].strip().lower()
        if part not in PART_OF:
            raise BadRequest(
                f"{where}: unknown split {part!r}; write train, test or val in the column "
                f"{table.names[chosen.split or 0]}"
            )
        path, file = beside.file(cells[chosen.path].strip(), where)
        rows.append(Row(path, file, label, PART_OF[part], line))
    kept, repeats = without_repeats(rows, table.where)
    return kept, joined(beside.note, repeats)


def without_repeats(rows: list[Row], where: str) -> tuple[list[Row], str]:
    """Return the rows with each file once, and a note about those left out.

    Raises:
        BadRequest: a file has two classes, or is in two parts.
    """
    first: dict[Identity, Row] = {}
    repeated = []
    for row in rows:
        before = first.setdefault(row.file, row)
        if before is row:
            continue
        lines = f"{where}, lines {before.line} and {row.line}"
        if before.label != row.label:
            raise BadRequest(
                f"{lines}: the one file {row.path} has the classes {before.label!r} and "
                f"{row.label!r}; one class per image is needed: remove the wrong row, or where "
                "both are right (multi-label data) all but the class that counts"
            )
        if before.part != row.part:
            raise BadRequest(
                f"{lines}: the one file {row.path} is in the parts {before.part} and {row.part}, "
                "which must not share images; remove one of the rows"
            )
        repeated.append(f"line {row.line} repeats line {before.line}")
    if not repeated:
        return rows, ""
    many = "1 row repeats" if len(repeated) == 1 else f"{len(repeated):,} rows repeat"
    note = f"{many} the file and class of another, counted once ({repeated[0]})"
    return list(first.values()), note
