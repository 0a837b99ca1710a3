"""`attar published`: the papers' tables, to be read."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from attar.errors import unknown
from attar.options import option

if TYPE_CHECKING:
    from attar.published import Figure, Table

COLUMNS = ("dataset", "ipc", "method", "network", "figure", "what", "table")


@dataclass(frozen=True)
class Published:
    """List the papers' tables, or the figures of one."""

    table: Annotated[str | None, option("ID")] = None
    """A table by id, such as plugin/1; with none of these options, all tables are listed."""
    dataset: Annotated[str | None, option("NAME")] = None
    """Figures of this dataset, such as cifar10."""
    method: Annotated[str | None, option("NAME")] = None
    """Figures of this method, such as lodm."""
    json: bool = False
    """Print one JSON object."""

    def run(self) -> None:
        """Carry it out."""
        if self.table is None and self.dataset is None and self.method is None:
            list_tables(self.json)
        else:
            list_figures(self)


def list_tables(as_json: bool) -> None:
    """Print one line for each table."""
    from attar.cli.console import print_json, print_listing
    from attar.published import TABLES

    if as_json:
        print_json({"tables": [_facts(table) for table in TABLES]})
        return
    rows = [
        (table.id, f"{table.paper.cite}, {table.number}", f"{len(table.figures)}", table.caption)
        for table in TABLES
    ]
    print_listing(False, "tables", ("id", "source", "figures", "caption"), rows)


def list_figures(options: Published) -> None:
    """Print the figures that the options ask for.

    Raises:
        BadRequest: a table, dataset or method of which nothing is published here.
    """
    from attar.cli.console import out, print_json, print_listing
    from attar.published import TABLES

    every = [figure for table in TABLES for figure in table.figures]
    chosen = every
    for name in ("table", "dataset", "method"):
        wanted = getattr(options, name)
        if wanted is None:
            continue
        there = {getattr(figure, name) for figure in every}
        if wanted not in there:
            raise unknown(f"published {name}", wanted, there)
        chosen = [figure for figure in chosen if getattr(figure, name) == wanted]
    shown = {figure.table for figure in chosen}
    tables = [table for table in TABLES if table.id in shown]
    if options.json:
        figures = [dataclasses.asdict(figure) for figure in chosen]
        print_json({"tables": [_facts(table) for table in tables], "figures": figures})
        return
    if not chosen:
        out.print("nothing was published of these together")
        return
    print_listing(False, "figures", COLUMNS, [_row(figure) for figure in chosen])
    for table in tables:
        out.print()
        out.print(f"{table.id}: {_heading(table)}", highlight=False)


def _row(figure: Figure) -> tuple[str, ...]:
    learned = figure.learned_on
    made = f", made on {learned}" if learned not in (None, figure.network) else ""
    return (
        figure.dataset,
        "all" if figure.ipc is None else f"ipc {figure.ipc}",
        figure.method,
        f"{figure.network}{made}",
        figure.text,
        ", ".join(filter(None, [figure.variant, *[figure.quantity][: figure.quantity == "gap"]])),
        figure.table,
    )


def _heading(table: Table) -> str:
    doubts = {figure.note for figure in table.figures if figure.ambiguous}
    said = "".join(f" '?': {doubt}." for doubt in doubts)
    paper = table.paper
    where = f"{paper.authors}: {paper.title}. {paper.venue}. {table.number}"
    return f"{table.caption} ({where}). {table.protocol}{said}"


def _facts(table: Table) -> dict[str, Any]:
    facts = dataclasses.asdict(dataclasses.replace(table, figures=()))
    return {**facts, "figures": len(table.figures)}
