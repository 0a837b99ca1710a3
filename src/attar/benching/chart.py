"""Accuracy over bytes, one line for every row of a table."""

from __future__ import annotations

from attar.benching.cell import Cell
from attar.benching.tables import Table
from attar.report.axes import byte_axis, linear_axis
from attar.report.axes import size as written
from attar.report.canvas import circle, grid, place, polyline, settle, sheet
from attar.report.markup import Markup, tag

# line styles of the page's style sheet
_STYLES = 8
_SIGN = 13


def accuracy_chart(table: Table) -> Markup:
    """Return a chart of our means; nothing where no row has two of them."""
    lines = {row: _points(table, row) for row in table.rows}
    lines = {row: points for row, points in lines.items() if len(points) > 1}
    if not lines:
        return Markup("")
    means = [mean for points in lines.values() for _, mean in points]
    across = byte_axis([stored for points in lines.values() for stored, _ in points])
    up = linear_axis(means)
    placed = [[place(across, up, point) for point in points] for points in lines.values()]
    ends = [(points[-1][0] + 6, points[-1][1] + 4) for points in placed]
    heights = settle(ends, _SIGN)
    drawn = [
        tag(
            "g",
            polyline(points),
            *(circle(at, 3, "dot") for at in points),
            tag("text", str(index + 1), x=f"{x:.1f}", y=f"{y:.1f}", class_="at"),
            class_=f"line-{index % _STYLES}",
        )
        for index, (points, (x, _), y) in enumerate(zip(placed, ends, heights, strict=True))
    ]
    spoken = "; ".join(
        f"{row}: {points[0][1]:.1f} % at {points[0][0]} B to {points[-1][1]:.1f} % at "
        f"{points[-1][0]} B"
        for row, points in lines.items()
    )
    svg = sheet(
        grid(across, up, written),
        *drawn,
        across="bytes of the set, papers' count (log scale)",
        up="accuracy in %",
        alternative=f"Mean accuracy over bytes, {table.title}: {spoken}",
    )
    names = "; ".join(f"{index}: {row}" for index, row in enumerate(lines, start=1))
    caption = tag("figcaption", tag("strong", "Mean accuracy over bytes"), f" {names}.")
    return tag("figure", svg, caption, class_="chart")


def _points(table: Table, row: str) -> list[tuple[int, float]]:
    """Return bytes and mean accuracy of every budget that was measured, smallest first."""
    own: list[Cell] = [cell for cell in table.cells if cell.row == row]
    return sorted(
        (cell.paper_bytes, cell.mean) for cell in own if cell.paper_bytes and cell.mean is not None
    )
