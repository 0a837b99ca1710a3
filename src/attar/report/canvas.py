"""The sheet that charts are drawn on: its margins, its axes and marks, as inline SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attar.report.axes import Axis, Point, number
from attar.report.markup import Markup, tag

# Units of the view box; text is 13 units high.
WIDTH, HEIGHT = 400, 250
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 14, 44
PLOT_WIDTH, PLOT_HEIGHT = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
# Few enough points to be seen one by one get a dot each.
_DOTTED = 30


def sheet(*content: object, across: str, up: str, alternative: str) -> Markup:
    """Return a chart: its content, the names of its axes, and what it says in words."""
    middle = TOP + PLOT_HEIGHT / 2
    beside = {"transform": f"rotate(-90) translate({-middle} 10)", "text_anchor": "middle"}
    return tag(
        "svg",
        *content,
        tag("text", up, **beside),
        tag("text", across, x=LEFT + PLOT_WIDTH / 2, y=HEIGHT - 6, text_anchor="middle"),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_label=alternative,
    )


def place(across: Axis, up: Axis, point: Point) -> Point:
    """Return where a point lies on the sheet."""
    x, y = point
    return LEFT + across(x) * PLOT_WIDTH, TOP + (1 - up(y)) * PLOT_HEIGHT


def grid(across: Axis, up: Axis, write: Callable[[float], str] = number) -> Markup:
    """Return the axes; ``write`` writes the ticks of the horizontal one."""
    lines = []
    for tick in up.ticks:
        _, y = place(across, up, (across.low, tick))
        lines += [
            tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=f"{y:.1f}", y2=f"{y:.1f}"),
            tag("text", number(tick, 1e5), x=LEFT - 8, y=f"{y + 4:.1f}", text_anchor="end"),
        ]
    base = HEIGHT - BOTTOM
    for tick in across.ticks:
        x, _ = place(across, up, (tick, up.low))
        lines += [
            tag("line", x1=f"{x:.1f}", x2=f"{x:.1f}", y1=base, y2=base + 5, class_="tick"),
            tag("text", write(tick), x=f"{x:.1f}", y=base + 19, text_anchor="middle"),
        ]
    axis = tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=base, y2=base, class_="tick")
    return tag("g", *lines, axis)


def polyline(points: Sequence[Point]) -> Markup:
    """Return a line through places on the sheet."""
    return tag("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points))


def dots(points: Sequence[Point]) -> list[Markup]:
    """Return a dot for every place, where there are few."""
    return [circle(at, 3, "dot") for at in points] if len(points) <= _DOTTED else []


def circle(at: Point, radius: int, kind: str) -> Markup:
    """Return a circle around a place."""
    return tag("circle", cx=f"{at[0]:.1f}", cy=f"{at[1]:.1f}", r=radius, class_=kind)


def settle(wanted: Sequence[Point], width: float, height: float = 13) -> list[float]:
    """Return heights for labels of one size so that none lies on another.

    Args:
        wanted: where each would best begin.
        width: of a label.
        height: of a label.
    """
    placed: dict[int, Point] = {}
    for index in sorted(range(len(wanted)), key=lambda i: wanted[i][1]):
        x, y = wanted[index]
        near = sorted(there for at, there in placed.values() if abs(at - x) < width)
        for there in near:
            if abs(there - y) < height:
                y = there + height
        placed[index] = x, y
    return [placed[index][1] for index in range(len(wanted))]
