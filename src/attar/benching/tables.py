"""The tables of a suite, as Markdown and as the rows that the HTML page shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from attar.benching.cell import LABELS, Cell
from attar.benching.gaps import gap_head, points, rows_with_gaps
from attar.budget import format_bytes
from attar.evaluation.remarks import Trained, length, less_trained, mark
from attar.report.comparison import NO_BREAK
from attar.text import counted
from attar.training.by_class import unequal

DASH = "–"


@dataclass(frozen=True)
class Table:
    """All cells of one dataset and one network.

    Args:
        dataset: name in the suite.
        network: trained on the sets.
        cells: in the order of the suite.
        full: whether ours are made at the published size.
    """

    dataset: str
    network: str
    cells: tuple[Cell, ...]
    full: bool

    @property
    def title(self) -> str:
        """Its heading."""
        return f"{self.dataset}, {self.network}"

    @property
    def budgets(self) -> list[str]:
        """Its columns; that of the whole training set last, under an empty name."""
        found = dict.fromkeys(cell.budget for cell in self.cells)
        return [*(one for one in found if one), *(one for one in found if not one)]

    @property
    def rows(self) -> list[str]:
        """Its rows."""
        return list(dict.fromkeys(cell.row for cell in self.cells))

    @property
    def cards(self) -> list[str]:
        """The cards that its networks were trained under."""
        return list(dict.fromkeys(cell.card for cell in self.cells if cell.card))

    @property
    def usual(self) -> tuple[int, int] | None:
        """How many networks and sets most cells have; None where nothing was measured."""
        counts = Counter((len(cell.accuracies), cell.sets) for cell in self.cells)
        counts.pop((0, 0), None)
        return counts.most_common(1)[0][0] if counts else None

    def cell(self, row: str, budget: str) -> Cell | None:
        """Return the cell of a row and a column; None where the suite has none."""
        own = (cell for cell in self.cells if (cell.row, cell.budget) == (row, budget))
        return next(own, None)

    def remarks(self, cell: Cell) -> list[str]:
        """Return what has to be said before a cell is set against others of its column."""
        column = [one for one in self.cells if one.budget == cell.budget]
        if not cell.budget:
            return [cell.no_better] if cell.no_better else []
        said = less_trained([Trained(one.row, one.updates) for one in column])
        return [text for text in (said[column.index(cell)], cell.no_better) if text]

    @property
    def notes(self) -> list[str]:
        """All remarks, each once."""
        return list(dict.fromkeys(text for cell in self.cells for text in self.remarks(cell)))

    def marks(self, cell: Cell | None) -> str:
        """Return the signs of a cell's remarks."""
        if cell is None:
            return ""
        notes = self.notes
        return ",".join(mark(notes.index(text)) for text in self.remarks(cell))

    @property
    def has_published(self) -> bool:
        """Whether anything was printed for one of its cells."""
        return any(cell.published for cell in self.cells)

    @property
    def heads(self) -> list[str]:
        """The names of the columns: ours, and beside each what was printed."""
        names = []
        for budget in self.budgets:
            name = budget or "all images"
            names.append(name)
            if self.has_published:
                names.append(f"{name}, published" + ("" if self.full else ", full size"))
        more = ["card"] if len(self.cards) > 1 else []
        return ["method", *names, *more]

    @property
    def caption(self) -> str:
        """What its figures are."""
        text = (
            "Test accuracy in %: mean ± standard deviation over all networks of all sets, in "
            "brackets the half width of the 95 % confidence interval of the mean (Student's t)"
        )
        text += f"; {_on_sets(*self.usual)} where nothing else is said." if self.usual else "."
        if len(self.cards) == 1:
            text += f" Card {self.cards[0]} for every row."
        elif self.cards:
            text += " Cards differ between rows, as the last column says."
        if any(cell.slimmed for cell in self.cells):
            text += (
                " RT: condensed from the real images; LBS: slimmed by learning, LFS: slimmed "
                "without learning, each from the set at the next larger budget; gap: the mean of "
                "RT less that of the slimmed sets, in percentage points."
            )
        if any(LABELS["taught"] in cell.variant for cell in self.cells):
            text += (
                " Teacher's labels: one teacher, the same for every row, labels each batch as it "
                "is augmented and mixed; its bytes count in those of the row."
            )
        if self.has_published and not self.full:
            text += (
                " The published figures are of the full size; ours are not, so the two are not to "
                "be compared."
            )
        if self._favours_largest:
            text += " Balanced: the mean of the accuracies on each class."
        return " ".join([text, *(f"{mark(n)} {said}." for n, said in enumerate(self.notes))])

    @property
    def _favours_largest(self) -> bool:
        return any(unequal(cell.tested) for cell in self.cells)


def tables(cells: Sequence[Cell], full: bool) -> list[Table]:
    """Return one table for every dataset and network."""
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        groups.setdefault((cell.dataset, cell.network), []).append(cell)
    return [Table(*key, tuple(own), full) for key, own in groups.items()]


def figure(cell: Cell | None, usual: tuple[int, int] | None = None) -> str:
    """Write ours for people; failures and what is missing in words.

    Args:
        cell: None where the suite has none.
        usual: how many networks and sets need not be told.
    """
    if cell is None:
        return DASH
    if cell.mean is None or cell.std is None:
        return "failed" if cell.failures else "not measured"
    text = f"{cell.mean:.2f}"
    if len(cell.accuracies) > 1:
        text += f"{NO_BREAK}±{NO_BREAK}{cell.std:.2f}"
    if cell.interval is not None:
        text += f" (±{cell.interval:.2f})"
    said = []
    if cell.balanced_mean is not None and unequal(cell.tested):
        said.append(f"balanced {cell.balanced_mean:.2f}")
    if (len(cell.accuracies), cell.sets) != usual:
        said.append(_on_sets(len(cell.accuracies), cell.sets))
    if missing := cell.wanted - cell.sets:
        said.append(f"{missing} {'failed' if cell.failures else 'to come'}")
    return ", ".join([text, *said])


def _on_sets(networks: int, sets: int) -> str:
    return f"{counted(networks, 'network')} on {counted(sets, 'set')}"


def printed(cell: Cell | None) -> str:
    """Write what was published for a cell."""
    if cell is None or not cell.published:
        return DASH
    return cell.published[0].text.replace(" ", NO_BREAK)


def size(cell: Cell | None) -> str:
    """Write what a set holds."""
    if cell is None or cell.paper_bytes is None:
        return DASH
    many = "s" if cell.images_per_class != 1 else ""
    count = f"{cell.images_per_class} image{many}, " if cell.images_per_class else ""
    differs = cell.bytes is not None and cell.bytes != cell.paper_bytes
    more = f" ({format_bytes(cell.bytes or 0)} in all)" if differs else ""
    trained = length(cell.epochs, cell.updates)
    return f"{count}{format_bytes(cell.paper_bytes)}{more}" + (f"; {trained}" if trained else "")


def sizes(cells: Sequence[Cell]) -> list[tuple[str, list[str], list[list[str]]]]:
    """Return, for every dataset, what the sets of each row and budget hold."""
    found = []
    for dataset in dict.fromkeys(cell.dataset for cell in cells):
        own = [cell for cell in cells if cell.dataset == dataset and cell.budget]
        first = Table(dataset, "", tuple({(c.row, c.budget): c for c in own}.values()), True)
        rows = [[row, *(size(first.cell(row, one)) for one in first.budgets)] for row in first.rows]
        found.append((dataset, ["images per class, bytes, training", *first.budgets], rows))
    return found


def row_of(table: Table, row: str) -> list[str]:
    """Return the texts of one row, its name first, as `Table.heads` has them."""
    texts = [row]
    for budget in table.budgets:
        cell = table.cell(row, budget)
        texts.append(figure(cell, table.usual) + table.marks(cell))
        if table.has_published:
            texts.append(printed(cell))
    if len(table.cards) > 1:
        cards = dict.fromkeys(cell.card for cell in table.cells if cell.row == row and cell.card)
        texts.append(", ".join(cards) or DASH)
    return texts


def rows_of(table: Table) -> list[list[str]]:
    """Return the texts of every row, those of gaps included."""
    return [
        _gaps_of(table, row) if gap else row_of(table, row)
        for row, gap in rows_with_gaps(table.cells)
    ]


def _gaps_of(table: Table, row: str) -> list[str]:
    """Return the texts of the gaps of one row of slimmed sets."""
    texts = [gap_head(next(cell for cell in table.cells if cell.row == row))]
    for budget in table.budgets:
        cell = table.cell(row, budget)
        texts.append(points(cell and cell.gap))
        if table.has_published:
            texts.append(points(cell and cell.published_gap))
    return [*texts, DASH] if len(table.cards) > 1 else texts


def sources(cells: Sequence[Cell]) -> list[str]:
    """Return where the published figures shown were printed."""
    return list(dict.fromkeys(cell.published[0].source for cell in cells if cell.published))
