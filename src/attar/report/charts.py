"""Line charts as inline SVG: one line, two axes, no script."""

from __future__ import annotations

from collections.abc import Sequence

from attar.report.axes import (
    MOST_POINTS,
    Point,
    linear_axis,
    logarithmic_axis,
    spans_decades,
    step_axis,
    thin,
)
from attar.report.canvas import circle, dots, grid, place, polyline, sheet
from attar.report.markup import Markup, tag


def line_chart(
    points: Sequence[Point],
    *,
    name: str,
    label: str,
    kind: str,
    caption: object = "",
    marked: float | None = None,
) -> Markup:
    """Return a figure with one line over steps.

    Args:
        points: steps and finite values, one or more, in order.
        name: of the chart, in words; also its alternative text.
        label: of the vertical axis.
        kind: CSS class, which chooses the colour.
        caption: more below it.
        marked: a step to be ringed, such as the one that was selected.
    """
    values = [value for _, value in points]
    logarithmic = spans_decades(values)
    across = step_axis([step for step, _ in points])
    up = logarithmic_axis(values) if logarithmic else linear_axis(values)
    drawn = [place(across, up, point) for point in thin(points)]
    ring = [place(across, up, point) for point in points if point[0] == marked]
    svg = sheet(
        grid(across, up),
        polyline(drawn),
        *dots(drawn),
        *(circle(at, 6, "ring") for at in ring[-1:]),
        across="step",
        up=f"{label} (log scale)" if logarithmic else label,
        alternative=f"{name}: {_summary(points)}",
    )
    return tag(
        "figure",
        svg,
        tag("figcaption", tag("strong", name), " ", caption or _summary(points)),
        class_=f"chart {kind}",
    )


def _summary(points: Sequence[Point]) -> str:
    (first, start), (last, end) = points[0], points[-1]
    if len(points) == 1:
        return f"{start:.4g} at step {first:,.0f}."
    text = f"{start:.4g} at step {first:,.0f}, {end:.4g} at step {last:,.0f}."
    if len(points) > MOST_POINTS:
        text += f" {len(points):,} values, thinned to their extremes."
    return text
