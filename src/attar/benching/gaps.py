"""What slimming costs: the accuracy of sets condensed anew, less that of slimmed ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from attar.benching.cell import ANEW, Cell
from attar.benching.making import FREE, LEARNED


def rows_with_gaps(cells: Sequence[Cell]) -> list[tuple[str, bool]]:
    """Return the rows of a table, and whether each is of the gaps of the row before it.

    A method has one row of gaps, as in the paper: after its sets slimmed by learning, or, where
    there are none, after those slimmed without.
    """
    rows = list(dict.fromkeys((cell.row, cell.method, cell.variant) for cell in cells))
    learned = {method for _, method, variant in rows if variant == LEARNED}
    found = []
    for row, method, variant in rows:
        found.append((row, False))
        if variant == LEARNED or (variant == FREE and method not in learned):
            found.append((row, True))
    return found


def gap_head(cell: Cell) -> str:
    """Return the name of a row of gaps.

    Args:
        cell: any of the slimmed ones that it is of.
    """
    return f"{cell.method}, gap {ANEW} − {cell.variant}"


def points(gap: float | None) -> str:
    """Write a gap, or say that there is none."""
    return "–" if gap is None else f"{gap:.2f}".replace("-", "−")


def with_gaps(cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells, those of slimmed sets with their gaps.

    A gap is between means at the same dataset, method, budget and network, under the same card.
    That of published figures is the difference of the means shown beside the two cells.
    """
    anew = {_place(cell): cell for cell in cells if cell.variant == ANEW}
    return [cell if not cell.slimmed else _with_gap(cell, anew.get(_place(cell))) for cell in cells]


def _place(cell: Cell) -> tuple[str, ...]:
    return cell.dataset, cell.method, cell.budget, cell.network


def _with_gap(cell: Cell, anew: Cell | None) -> Cell:
    if anew is None:
        return cell
    gap, printed = None, None
    if anew.mean is not None and cell.mean is not None and anew.card == cell.card:
        gap = anew.mean - cell.mean
    if anew.published and cell.published:
        same = {figure.table: figure for figure in anew.published}
        own = cell.published[0]
        if own.table in same:
            printed = round(same[own.table].mean - own.mean, 2)
    return dataclasses.replace(cell, gap=gap, published_gap=printed)
