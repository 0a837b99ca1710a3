"""What `attar evaluate` measured, as tables that fit into 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.box import HORIZONTALS

from attar.cli.console import Grid, out

if TYPE_CHECKING:
    from attar.evaluation.ranking import Scores, Spread
    from attar.evaluation.results import Result
    from attar.evaluation.rows import Row

# characters that the name of a network may take before it is broken
_NETWORK = 20
# and those of a set at least
_LEAST = 18
NO_BREAK = "\N{NO-BREAK SPACE}"
# classes whose accuracies are printed at most
_CLASSES = 20
# what a column takes beside its text
_PADDING = 3


def print_rows(rows: Sequence[Row], class_names: Sequence[str] = ()) -> None:
    """Print evaluation rows as a table: a set on the left, a line for each network beside it.

    Args:
        rows: the artefact's own first.
        class_names: with them the accuracy on each class is printed where the test images of
            classes are so unequal that accuracy favours the largest.
    """
    from attar.evaluation.remarks import mark, remarks
    from attar.training.by_class import unequal

    results = [result for row in rows for result in row.results]
    said = remarks(rows)
    notes = list(dict.fromkeys(text for own in said for text in own))
    several = any(len(result.accuracies) > 1 for result in results)
    sure = any(result.interval is not None for result in results)
    heads = ["network", "mean ± std" if several else "accuracy"]
    heads += ["95 %"] * sure
    heads += ["of ceiling"] * any(result.share is not None for result in results)
    shared = _shared(results)
    balanced = any(unequal(result.tested) for result in results)
    columns = [_columns(row, heads, shared is None, balanced) for row in rows]
    longest = [max(map(len, [*_lines(each), head])) for each, head in _by_head(columns, heads)]
    room = out.width - sum(longest) - _PADDING * (len(heads) + 1) - 1
    table = Grid(
        title=_title(rows[0].results[0], several, shared),
        caption=_caption(rows, sure),
        show_lines=True,
        box=HORIZONTALS,
    )
    table.add_column("training set")
    table.add_column(heads[0], no_wrap=True)
    for head in heads[1:]:
        table.add_column(head, justify="right", no_wrap=True)
    for row, cells, own in zip(rows, columns, said, strict=True):
        marks = ",".join(map(mark, sorted(notes.index(text) for text in own)))
        table.add_row(_set(row, max(_LEAST, room), marks), *(_lines([cell]) for cell in cells))
    out.print(table, highlight=False)
    for number, text in enumerate(notes):
        out.print(f"{mark(number)} {text}", highlight=False)
    if balanced and class_names:
        print_by_class(rows[0], class_names)
    for row in rows:
        if row.scores:
            print_scores(row.scores)


def print_by_class(row: Row, class_names: Sequence[str]) -> None:
    """Print the accuracy on each class, one column for each network."""
    if len(class_names) > _CLASSES:
        out.print("accuracy by class: in --json and --report", highlight=False)
        return
    known = [result for result in row.results if result.right]
    table = Grid(title=f"accuracy by class in %, {row.name}", box=HORIZONTALS)
    table.add_column("class")
    table.add_column("test images", justify="right", no_wrap=True)
    for result in known:
        table.add_column(result.network, justify="right", min_width=len("100.0"))
    for place, name in enumerate(class_names):
        found = [result.by_class[place] for result in known]
        cells = ["–" if one is None else f"{one.mean:.1f}" for one in found]
        table.add_row(name, str(known[0].tested[place]), *cells)
    out.print(table, highlight=False)


def print_scores(scores: Sequence[Scores]) -> None:
    """Print the robust scores of a set, one line per network, and their protocols."""
    table = Grid(
        title="robust scores (DD-Ranking): LRS and ARS from 0 to 1, HLR and IOR in points",
        box=HORIZONTALS,
    )
    table.add_column("network")
    for name in ("LRS", "ARS", "HLR", "IOR"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in scores:
        table.add_row(
            one.network,
            _spread(one.label_robust, 3),
            _spread(one.augmentation_robust, 3),
            _spread(one.hard_label_recovery, 1),
            _spread(one.improvement_over_random, 1),
        )
    out.print(table, highlight=False)
    # networks differ in their protocol only where a card treats one of them in its own way
    for protocol in dict.fromkeys(one.protocol for one in scores):
        out.print(f"scores: {protocol}", highlight=False)


def _shared(results: Iterable[Result]) -> int | None:
    """Return how many networks are behind every figure; None where that differs."""
    counts = {len(result.accuracies) for result in results}
    return counts.pop() if len(counts) == 1 else None


def _title(first: Result, several: bool, shared: int | None) -> str:
    over = "networks" if shared is None else f"{shared} networks"
    spread = f", mean ± std over {over}" if several else ""
    return f"test accuracy in %{spread}, {first.card}"


def _caption(rows: Sequence[Row], sure: bool) -> str:
    """Say how it was computed and what the columns are."""
    from attar.training.by_class import largest_share, largest_stands_out, unequal

    first = rows[0].results[0]
    parts = [f"{first.compute['device']}, {first.compute['precision']}"]
    parts.append("compiled" if first.compute["compile"] else "not compiled")
    text = ", ".join(parts)
    if sure:
        text += "; 95 %: half width of the confidence interval of the mean"
    tested = next((one.tested for row in rows for one in row.results if one.tested), ())
    if tested and largest_stands_out(tested):
        text += f"; naming the largest class gives {largest_share(tested):.1f}"
    if tested and unequal(tested):
        text += "; balanced: the mean of the accuracies on each class"
    if any(result.cached for row in rows for result in row.results):
        text += "; the whole training set was measured before"
    return text


def _set(row: Row, width: int, marks: str) -> list[str]:
    """Return what a set is, its size and what is special about it, in short lines."""
    from attar.evaluation.remarks import length

    trained = length(row.epochs, row.updates)
    sizes = ["all images" if row.kind == "whole" else f"{row.count} per class"]
    if row.paper_bytes is not None and row.paper_bytes != row.bytes:
        sizes.append(f"paper {row.paper_bytes} B")
    if row.bytes is not None:
        sizes.append(f"{'all ' if len(sizes) > 1 else ''}{row.bytes} B")
    sizes += filter(None, trained.split(", "))
    lines = textwrap.wrap(row.name + marks, width)
    # a figure stays with its unit
    kept = ", ".join(size.replace(" ", NO_BREAK) for size in sizes)
    lines += [line.replace(NO_BREAK, " ") for line in textwrap.wrap(kept, width)]
    if not row.note or row.note not in trained:
        lines += textwrap.wrap(row.note, width)
    return lines


def _columns(row: Row, heads: Sequence[str], counted: bool, balanced: bool) -> list[list[str]]:
    """Return the cells beside a set: for every head the lines of all its networks.

    Args:
        row: the set.
        heads: of the columns.
        counted: whether the number of networks is said.
        balanced: whether a second line gives the balanced accuracy.
    """
    columns: list[list[str]] = [[] for _ in heads]
    for result in row.results:
        name = result.network + (f" ×{len(result.accuracies)}" if counted else "")
        parts = textwrap.wrap(name, _NETWORK, break_on_hyphens=False)
        groups = [[parts, *_figures(result, _share(result, row), heads)]]
        if balanced and result.balanced is not None:
            groups.append([["  balanced"], *_figures(result.balanced, "", heads)])
        for cells in groups:
            for column, lines in zip(columns, cells, strict=True):
                # a broken name pushes what stands below it down in all columns
                column += lines + [""] * (len(cells[0]) - len(lines))
    return columns


def _figures(of: Result | Spread, share: str, heads: Sequence[str]) -> list[list[str]]:
    """Return the cells behind the name of a network."""
    several = "mean ± std" in heads
    cells = [[f"{of.mean:.2f} ± {of.std:.2f}" if several else f"{of.mean:.2f}"]]
    if "95 %" in heads:
        cells.append([_interval(of.interval)])
    if "of ceiling" in heads:
        cells.append([share])
    return cells


def _by_head(
    columns: Sequence[Sequence[Sequence[str]]], heads: Sequence[str]
) -> list[tuple[list[Sequence[str]], str]]:
    return [([cells[index] for cells in columns], head) for index, head in enumerate(heads)]


def _lines(cells: Iterable[Sequence[str]]) -> list[str]:
    return [line for cell in cells for line in cell]


def _interval(value: float | None) -> str:
    return "" if value is None else f"± {value:.2f}"


def _share(result: Result, row: Row) -> str:
    if row.kind == "whole":
        return "ceiling"
    return "" if result.share is None else f"{result.share:.0f} %"


def _spread(spread: Spread, digits: int) -> str:
    return f"{spread.mean:.{digits}f} ± {spread.std:.{digits}f}"
