"""From the data file of published figures to tables: checked, and one figure per printed cell."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from importlib import resources
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field

from attar.published.tables import Figure, Paper, Quantity, Table

DATA = "figures.yaml"
MISSING = "-"
CELL = re.compile(r"(-?\d+(?:\.\d+)?)(?:±(\d+(?:\.\d+)?))?(\??)")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _About(_Strict):
    """What a cell is about, as far as a table, a block, a column or a row says it."""

    dataset: str | None = None
    method: str | None = None
    label: str | None = None
    ipc: int | None = Field(default=None, ge=1)
    network: str | None = None
    learned_on: str | None = None
    variant: str = ""
    quantity: Quantity = "accuracy"
    share: float | None = Field(default=None, gt=0, le=100)
    values: int | None = Field(default=None, ge=1)

    def said(self) -> dict[str, Any]:
        return self.model_dump(exclude_unset=True)


class _Row(_About):
    cells: str


class _Block(_Strict):
    columns: list[dict[str, Any]] = Field(min_length=1)
    common: _About = _About()
    open: str = ""
    rows: list[_Row] = Field(min_length=1)


class _Table(_Strict):
    id: str
    paper: str
    number: str
    caption: str
    axes: str
    protocol: str
    common: _About = _About()
    blocks: list[_Block] = Field(min_length=1)


class _Paper(_Strict):
    authors: str
    cite: str
    title: str
    venue: str


class _File(_Strict):
    papers: dict[str, _Paper]
    methods: dict[str, str]
    tables: list[_Table]


def load() -> _File:
    """Return the data file, its form checked.

    Raises:
        pydantic.ValidationError: the file is not in its form.
    """
    text = resources.files("attar.published").joinpath(DATA).read_text(encoding="utf-8")
    # the parser in C, where there is one, takes a tenth of the time
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return _File.model_validate(yaml.load(text, loader))


def read() -> tuple[Table, ...]:
    """Return every table of the data file with its figures.

    Raises:
        ValueError: a row has not as many cells as there are columns, a cell is not a figure, an
            accuracy is not between 0 and 100, or a paper or method is not listed.
    """
    file = load()
    papers = {key: Paper(key, **paper.model_dump()) for key, paper in file.papers.items()}
    return tuple(_table(table, papers[table.paper], set(file.methods)) for table in file.tables)


def _table(table: _Table, paper: Paper, methods: set[str]) -> Table:
    found = [
        _figure(table, paper, methods, about, cell, block.open)
        for block in table.blocks
        for about, cell in _cells(table, block)
    ]
    figures = tuple(figure for figure in found if figure is not None)
    return Table(
        id=table.id,
        paper=paper,
        number=table.number,
        caption=table.caption,
        axes=table.axes,
        protocol=table.protocol,
        figures=figures,
        missing=len(found) - len(figures),
    )


def _cells(table: _Table, block: _Block) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield what each cell of a block is about, and its text."""
    columns = [each for column in block.columns for each in _spread(column)]
    for row in block.rows:
        cells = row.cells.split()
        if len(cells) != len(columns):
            what = f"{len(cells)} cells for {len(columns)} columns"
            raise ValueError(f"{table.id}, {row.label or row.cells}: {what}")
        own = row.said()
        del own["cells"]
        for column, cell in zip(columns, cells, strict=True):
            yield {**table.common.said(), **block.common.said(), **column.said(), **own}, cell


def _spread(column: dict[str, Any]) -> Iterator[_About]:
    """Yield a column for each combination of the lists in it."""
    lists = [value if isinstance(value, list) else [value] for value in column.values()]
    for values in itertools.product(*lists):
        yield _About.model_validate(dict(zip(column, values, strict=True)))


def _figure(
    table: _Table, paper: Paper, methods: set[str], about: dict[str, Any], cell: str, reason: str
) -> Figure | None:
    """Return a cell's figure, or None where it holds a dash."""
    if cell == MISSING:
        return None
    match = CELL.fullmatch(cell)
    if match is None:
        raise ValueError(f"{table.id}: {cell!r} is not a figure")
    mean, std, doubt = float(match[1]), match[2], bool(match[3])
    about = {"ipc": None, "label": about.get("method"), **about}
    if about.get("method") not in methods:
        raise ValueError(f"{table.id}: method {about.get('method')!r} is not listed")
    if about.get("quantity", "accuracy") == "accuracy" and not 0 <= mean <= 100:
        raise ValueError(f"{table.id}: an accuracy of {cell}")
    if doubt and not reason:
        raise ValueError(f"{table.id}: {cell!r} does not say what is open")
    return Figure(
        table=table.id,
        paper=paper.key,
        source=f"{paper.cite}, {table.number}",
        mean=mean,
        std=None if std is None else float(std),
        ambiguous=doubt,
        note=reason if doubt else "",
        **about,
    )
