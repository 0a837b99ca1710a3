"""Mean accuracies with their spread, as a chart of one line for every run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from attar.report.axes import Axis, linear_axis, number
from attar.report.canvas import circle, grid, place, polyline, settle, sheet
from attar.report.markup import Markup, join, tag

# line styles of the page's style sheet
_STYLES = 8
_SIGN = 13
_TICKS = 10


@dataclass(frozen=True)
class Dot:
    """A measured mean.

    Args:
        x: where, on the horizontal axis.
        mean: in percent.
        std: half of its bar.
        words: what it is of, as in ``71.2 % of 5 classes``.
    """

    x: float
    mean: float
    std: float
    words: str


def course(
    lines: Mapping[str, Sequence[Dot]],
    across: Axis,
    named: str,
    head: str,
    spread: str,
    write: Callable[[float], str] = number,
) -> Markup:
    """Return a chart of mean accuracies with their spread, one line for every run.

    Args:
        lines: the means of each run, by its name.
        across: the horizontal axis.
        named: what it shows.
        head: of the caption.
        spread: what the bars are, in words.
        write: writes the ticks of the horizontal axis.
    """
    ends = [p.mean + sign * p.std for points in lines.values() for p in points for sign in (-1, 1)]
    up = linear_axis([max(0.0, min(100.0, end)) for end in ends])
    placed = [[place(across, up, (p.x, p.mean)) for p in points] for points in lines.values()]
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
        grid(across, up, write),
        *drawn,
        across=named,
        up="accuracy in %",
        alternative=f"{head}: {spoken}",
    )
    names = "; ".join(
        f"{index}: {name}" if len(lines) > 1 else name for index, name in enumerate(lines, start=1)
    )
    caption = tag("figcaption", tag("strong", head), f" {names}. Bars are one {spread}.")
    return tag("figure", svg, caption, class_="chart")


def whole_axis(values: Sequence[int]) -> Axis:
    """Return an axis of whole numbers with room on both sides, all of them ticks where few."""
    found = sorted(set(values))
    room = max(1.0, 0.04 * found[-1])
    ticks = tuple(map(float, found[:: -(-len(found) // _TICKS)]))
    return Axis(max(0.0, found[0] - room), found[-1] + room, ticks)


def _bar(point: Dot, across: Axis, up: Axis) -> Markup:
    ends = [max(up.low, min(up.high, point.mean + sign * point.std)) for sign in (-1, 1)]
    (x, low), (_, high) = (place(across, up, (point.x, end)) for end in ends)
    line = tag(
        "line", x1=f"{x:.1f}", x2=f"{x:.1f}", y1=f"{low:.1f}", y2=f"{high:.1f}", class_="deviation"
    )
    return join(line)


def _words(points: Sequence[Dot]) -> str:
    return ", ".join(f"{point.mean:.1f} % {point.words}" for point in points)
