"""Where commands print: tables and listings on standard output, progress on standard error.

Names and texts of artefacts, files and data come from anywhere. Nothing in them is taken for a
colour, a link or a command of the terminal, whichever command prints them: there is no markup, and
control characters are written as escapes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rich.console import RenderableType
from rich.markup import escape
from rich.status import Status
from rich.table import Table

from attar.console import Plain
from attar.text import printable, printable_json


class Grid(Table):
    """A table with texts from anywhere in its cells.

    Args:
        headers: of the columns.
        title: above the table, one line.
        caption: below it, one line.
        options: as of `Table`.
    """

    def __init__(
        self, *headers: str, title: str | None = None, caption: str | None = None, **options: Any
    ) -> None:
        above, below = (None if text is None else printable(text) for text in (title, caption))
        super().__init__(title=above, caption=below, **options)
        for header in headers:
            self.add_column(header)

    def add_column(self, header: str = "", *rest: Any, **options: Any) -> None:
        """Add a column."""
        super().add_column(printable(header), *rest, **options)

    def add_row(self, *cells: RenderableType | Sequence[str] | None, **options: Any) -> None:
        """Add a row; a cell of several lines is a list of them."""
        super().add_row(*map(_cell, cells), **options)


out = Plain()
err = Plain(stderr=True)
# how a line of text is printed as it is
PLAIN: dict[str, Any] = {"highlight": False, "soft_wrap": True}


def _cell(given: RenderableType | Sequence[str] | None) -> RenderableType | None:
    if isinstance(given, str):
        return printable(given)
    return "\n".join(map(printable, given)) if isinstance(given, Sequence) else given


def watcher(status: Status) -> Callable[[str, int, int], None]:
    """Return what shows how far the reading of images is."""

    def watch(what: str, done: int, total: int) -> None:
        # the text beside a spinner is always taken for markup
        status.update(f"{escape(what)}: {done} of {total}")

    return watch


def print_listing(
    as_json: bool, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]
) -> None:
    """Print rows as a plain table or as one JSON object."""
    if as_json:
        print_json({title: [dict(zip(columns, row, strict=True)) for row in rows]})
        return
    table = Grid(box=None, show_header=False, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    out.print(table, highlight=False)


def print_json(value: Any) -> None:
    """Print one JSON object and nothing else."""
    text = printable_json(value)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # a stream's own escapes would be no JSON
        text = json.dumps(value, indent=2)
    sys.stdout.write(text + "\n")
