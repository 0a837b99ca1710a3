"""Line charts as inline SVG: one line, two axes, no script."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from attar.report.markup import Markup, tag

Point = tuple[float, float]

MOST_POINTS = 500
# Few enough points to be seen one by one get a dot each.
_DOTTED = 30
# Canvas and margins in units of the view box; text is 13 units high.
_WIDTH, _HEIGHT = 400, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 14, 14, 44


@dataclass(frozen=True)
class Axis:
    """A scale from values to 0…1.

    Args:
        low: the value at 0.
        high: the value at 1.
        ticks: values to be labelled, within low…high.
        logarithmic: whether equal ratios take equal room.
    """

    low: float
    high: float
    ticks: tuple[float, ...]
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """Return where a value lies, 0 at the low end and 1 at the high end."""
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def spans_decades(values: Sequence[float]) -> bool:
    """Return whether values are all above zero and differ by more than a factor of 100."""
    return min(values) > 0 and max(values) / min(values) > 100


def linear_axis(values: Sequence[float], ticks: int = 5) -> Axis:
    """Return an axis with round ends that holds all values, with about ``ticks`` ticks."""
    low, high = min(values), max(values)
    if high - low <= abs(high) * 1e-9:
        margin = abs(low) * 0.1 or 1.0
        low, high = low - margin, high + margin
    rough = (high - low) / ticks
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next((unit * factor for factor in (1, 2, 5) if unit * factor >= rough), unit * 10)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    marks = tuple(index * step for index in range(first, last + 1))
    return Axis(marks[0], marks[-1], marks)


def step_axis(steps: Sequence[float]) -> Axis:
    """Return an axis from step 0 to the last one, without room beyond it."""
    last = max(1.0, *steps)
    ticks = tuple(tick for tick in linear_axis((0.0, last), 4).ticks if tick <= last)
    return Axis(0.0, last, tuple(tick for tick in ticks if tick == int(tick)))


def logarithmic_axis(values: Sequence[float]) -> Axis:
    """Return an axis over whole decades, with at most about six ticks."""
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    stride = max(1, math.ceil((last - first) / 6))
    ticks = tuple(10.0**power for power in range(first, last + 1, stride))
    return Axis(10.0**first, 10.0**last, ticks, logarithmic=True)


def thin(points: Sequence[Point], most: int = MOST_POINTS) -> list[Point]:
    """Return at most ``most`` points that look alike: lowest and highest of each stretch."""
    if len(points) <= most:
        return list(points)
    stretches = most // 2 - 1
    edges = [1 + index * (len(points) - 2) // stretches for index in range(stretches + 1)]
    kept = [points[0]]
    for start, stop in pairwise(edges):
        part = range(start, stop)
        ends = {
            min(part, key=lambda i: points[i][1]),
            max(part, key=lambda i: points[i][1]),
        }
        kept.extend(points[index] for index in sorted(ends))
    return [*kept, points[-1]]


def number(value: float, most: float = 1e6) -> str:
    """Write a tick for people: in powers of ten from ``most`` on, and below a thousandth."""
    if value and (abs(value) >= most or abs(value) < 1e-3):
        mantissa, exponent = f"{value:.2e}".split("e")
        mantissa = mantissa.rstrip("0").rstrip(".")
        power = "10" + str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return power if mantissa == "1" else f"{mantissa}·{power}"
    text = f"{value:,.6g}" if abs(value) < 1e3 else f"{value:,.0f}"
    return text.replace("-", "−")


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
    drawn = [_place(across, up, point) for point in thin(points)]
    ring = [_place(across, up, point) for point in points if point[0] == marked]
    svg = tag(
        "svg",
        _grid(across, up),
        tag("text", f"{label} (log scale)" if logarithmic else label, **_beside()),
        tag("text", "step", x=_LEFT + _plot_width() / 2, y=_HEIGHT - 6, text_anchor="middle"),
        tag("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in drawn)),
        *_dots(drawn),
        *(_circle(at, 6, "ring") for at in ring[-1:]),
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        aria_label=f"{name}: {_summary(points)}",
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


def _plot_width() -> int:
    return _WIDTH - _LEFT - _RIGHT


def _place(across: Axis, up: Axis, point: Point) -> Point:
    step, value = point
    plot_height = _HEIGHT - _TOP - _BOTTOM
    return _LEFT + across(step) * _plot_width(), _TOP + (1 - up(value)) * plot_height


def _grid(across: Axis, up: Axis) -> Markup:
    lines = []
    for tick in up.ticks:
        _, y = _place(across, up, (across.low, tick))
        lines += [
            tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=f"{y:.1f}", y2=f"{y:.1f}"),
            tag("text", number(tick, 1e5), x=_LEFT - 8, y=f"{y + 4:.1f}", text_anchor="end"),
        ]
    base = _HEIGHT - _BOTTOM
    for tick in across.ticks:
        x, _ = _place(across, up, (tick, up.low))
        lines += [
            tag("line", x1=f"{x:.1f}", x2=f"{x:.1f}", y1=base, y2=base + 5, class_="tick"),
            tag("text", number(tick), x=f"{x:.1f}", y=base + 19, text_anchor="middle"),
        ]
    axis = tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=base, y2=base, class_="tick")
    return tag("g", *lines, axis)


def _beside() -> dict[str, object]:
    middle = _TOP + (_HEIGHT - _TOP - _BOTTOM) / 2
    return {"transform": f"rotate(-90) translate({-middle} 10)", "text_anchor": "middle"}


def _dots(points: Sequence[Point]) -> list[Markup]:
    return [_circle(at, 3, "dot") for at in points] if len(points) <= _DOTTED else []


def _circle(at: Point, radius: int, kind: str) -> Markup:
    return tag("circle", cx=f"{at[0]:.1f}", cy=f"{at[1]:.1f}", r=radius, class_=kind)
