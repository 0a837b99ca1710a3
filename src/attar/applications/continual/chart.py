"""Accuracy over the classes seen, with its spread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attar.applications.continual.results import Point
from attar.report.axes import Axis, linear_axis
from attar.report.canvas import circle, grid, place, polyline, settle, sheet
from attar.report.markup import Markup, join, tag

# line styles of the page's style sheet
_STYLES = 8
_SIGN = 13
_TICKS = 10


def course(lines: Mapping[str, Sequence[Point]], spread: str) -> Markup:
    """Return a chart of mean accuracies, one line for every run.

    Args:
        lines: the steps of each run, by its name.
        spread: what the bars are, in words.
    """
    ends = [p.mean + sign * p.std for points in lines.values() for p in points for sign in (-1, 1)]
    seen = sorted({point.seen for points in lines.values() for point in points})
    room = max(1.0, 0.04 * seen[-1])
    ticks = seen[:: -(-len(seen) // _TICKS)]
    across = Axis(max(0.0, seen[0] - room), seen[-1] + room, tuple(map(float, ticks)))
    up = linear_axis([max(0.0, min(100.0, end)) for end in ends])
    placed = [[place(across, up, (p.seen, p.mean)) for p in points] for points in lines.values()]
    heights = settle([(points[-1][0] + 6, points[-1][1] + 4) for points in placed], _SIGN)
    drawn = [
        tag(
            "g",
            *(_bar(point, across, up) for point in points),
            polyline(at),
            *(circle(one, 3, "dot") for one in at),
            tag("text", str(index + 1), x=f"{at[-1][0] + 6:.1f}", y=f"{height:.1f}", class_="at")
            if len(lines) > 1
            else "",
            class_=f"line-{index % _STYLES}",
        )
        for index, (points, at, height) in enumerate(
            zip(lines.values(), placed, heights, strict=True)
        )
    ]
    spoken = "; ".join(f"{name}: {_words(points)}" for name, points in lines.items())
    svg = sheet(
        grid(across, up),
        *drawn,
        across="classes seen",
        up="accuracy in %",
        alternative=f"Mean accuracy over the classes seen: {spoken}",
    )
    names = "; ".join(
        f"{index}: {name}" if len(lines) > 1 else name for index, name in enumerate(lines, start=1)
    )
    head = tag("strong", "Accuracy on all classes seen")
    caption = tag("figcaption", head, f" {names}. Bars are one {spread}.")
    return tag("figure", svg, caption, class_="chart")


def _bar(point: Point, across: Axis, up: Axis) -> Markup:
    ends = [max(up.low, min(up.high, point.mean + sign * point.std)) for sign in (-1, 1)]
    (x, low), (_, high) = (place(across, up, (point.seen, end)) for end in ends)
    line = tag(
        "line", x1=f"{x:.1f}", x2=f"{x:.1f}", y1=f"{low:.1f}", y2=f"{high:.1f}", class_="deviation"
    )
    return join(line)


def _words(points: Sequence[Point]) -> str:
    return ", ".join(f"{point.mean:.1f} % of {point.seen}" for point in points)
