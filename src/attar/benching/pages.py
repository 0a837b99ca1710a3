"""The Markdown and the HTML page of a suite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from attar.benching.cell import Cell
from attar.benching.chart import accuracy_chart
from attar.benching.sizes import Sized
from attar.benching.tables import Table, rows_of, sizes, sources, tables
from attar.files import write_text
from attar.report.document import command_block, write_page
from attar.report.markup import Markup, join, table, tag


@dataclass(frozen=True)
class Account:
    """Everything that a page tells of a suite.

    Args:
        sized: the suite at its size.
        cells: what came of it.
        command: what runs it again.
        machine: processor or GPU, and versions.
        done: pieces of work done.
        total: pieces of work in all.
        stopped: why it has not come to its end; empty where it has.
        root: folder of the suite, in which the pages lie.
    """

    sized: Sized
    cells: Sequence[Cell]
    command: str
    machine: str
    done: int
    total: int
    stopped: str
    root: Path

    @property
    def title(self) -> str:
        """The heading."""
        name = self.sized.suite.title or self.sized.suite.name
        return f"{name} ({self.sized.size})" if self.sized.size else name

    @property
    def tables(self) -> list[Table]:
        """One for every dataset and network."""
        return tables(self.cells, self.sized.full)

    @property
    def course(self) -> str:
        """How far it is, in one sentence."""
        if self.done == self.total:
            return f"All {self.total} pieces of work are done."
        why = f"; {self.stopped}" if self.stopped else ""
        return (
            f"{self.done} of {self.total} pieces of work are done{why}. The command below goes on "
            "from here."
        )

    @property
    def failures(self) -> list[tuple[str, str, str]]:
        """What failed, why, and the log that tells it, each once."""
        found = {
            str(log): (f"{cell.dataset}, {cell.row}, {cell.budget}", message, self._inside(log))
            for cell in self.cells
            for message, log in cell.failures
        }
        return list(found.values())

    def _inside(self, log: Path) -> str:
        return log.relative_to(self.root).as_posix()


def write_markdown(path: Path, account: Account) -> None:
    """Write the tables as Markdown."""
    lines = [f"# {account.title}", "", account.course, ""]
    if account.sized.shrinks:
        lines += ["What this size shrinks, equally for every row:", ""]
        lines += [f"- {_escaped(one)}" for one in account.sized.shrinks] + [""]
    for one in account.tables:
        lines += [f"## {_escaped(one.title)}", "", one.caption, ""]
        lines += _grid(one.heads, rows_of(one))
    lines += ["## What the sets hold", ""]
    for dataset, heads, rows in sizes(account.cells):
        lines += [f"{_escaped(dataset)}:", "", *_grid(heads, rows)]
    if account.failures:
        lines += ["## Failed", ""]
        lines += [
            f"- {_escaped(what)}: {_escaped(why)} ([log]({log}))"
            for what, why, log in account.failures
        ]
        lines += [""]
    lines += _endnotes(account)
    write_text(path, "\n".join(lines) + "\n")


def _endnotes(account: Account) -> list[str]:
    printed = sources(account.cells)
    where = [f"Published figures: {'; '.join(printed)}.", ""] if printed else []
    return [*where, f"Machine: {account.machine}.", "", "```sh", account.command, "```"]


def _grid(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(map(_escaped, cells)) + " |"

    return [line(heads), "|---" + "|---:" * (len(heads) - 1) + "|", *map(line, rows), ""]


def _escaped(text: str) -> str:
    for sign in "\\|*_[]<>`":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split(" ")).replace("\n", " ")


def write_html(path: Path, account: Account) -> None:
    """Write the same as one HTML page that needs nothing else."""
    suite = account.sized.suite
    lead = (
        f"Methods: {len(suite.methods)}. Datasets: {', '.join(suite.datasets)}. Sets of each "
        f"kind: {len(suite.seeds)}, networks on each: {suite.repeats}. {account.course}"
    )
    sections = [
        ("What this size shrinks", _list(account.sized.shrinks)),
        ("Failed", _failed(account)),
        *((one.title, _section(one)) for one in account.tables),
        ("What the sets hold", join(*map(_sizes, sizes(account.cells)))),
        ("Where the published figures are from", _list(sources(account.cells))),
        ("Run it again", command_block(account.command)),
        ("Machine", tag("p", account.machine)),
    ]
    write_page(path, account.title, kicker="suite", lead=Markup(join(lead)), sections=sections)


def _list(items: Sequence[str]) -> Markup:
    return tag("ul", *(tag("li", item) for item in items), class_="mind") if items else Markup("")


def _section(one: Table) -> Markup:
    drawn = table(one.heads, rows_of(one), caption=one.caption)
    return join(tag("div", drawn, class_="scroll", tabindex="0"), accuracy_chart(one))


def _sizes(given: tuple[str, list[str], list[list[str]]]) -> Markup:
    dataset, heads, rows = given
    drawn = table(heads, rows, caption=f"{dataset}; bytes as the papers count")
    return tag("div", drawn, class_="scroll", tabindex="0")


def _failed(account: Account) -> Markup:
    if not account.failures:
        return Markup("")
    rows = [(what, why, tag("a", log, href=log)) for what, why, log in account.failures]
    note = "They are tried again by the next run of the command below."
    return table(["What", "Why", "Log"], rows, caption=note)
