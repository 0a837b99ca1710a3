"""The courses of several runs in one chart each, told apart by dashes and signs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from attar.report.axes import Point, course_axis, linear_axis, logarithmic_axis, spans_decades
from attar.report.canvas import dots, grid, place, polyline, settle, sheet
from attar.report.course import averaged, relative, series, timed
from attar.report.entries import Entry
from attar.report.markup import Markup, join, tag
from attar.report.protocols import letter
from attar.report.standings import heading, title

# points of one line; more become means, since lines of noise would hide each other
_MOST_POINTS = 80
# line styles in style.css
_STYLES = 8
# room between the signs at the ends of lines that end together
_SIGN = 13


@dataclass(frozen=True)
class _Line:
    index: int
    name: str
    points: list[Point]


def courses(entries: Sequence[Entry]) -> Markup:
    """Return losses and validations over steps and over time; nothing without any log."""

    def lines(read: Callable[[Entry], list[Point]]) -> list[_Line]:
        found = [
            _Line(index, title(index, entry), averaged(read(entry), _MOST_POINTS))
            for index, entry in enumerate(entries)
        ]
        return [line for line in found if line.points]

    charts = [
        _chart(lines(lambda entry: relative(series(entry.log, "loss"))), "loss", "step"),
        _chart(lines(lambda entry: relative(timed(entry.log, "loss"))), "loss", "min"),
        _chart(lines(lambda entry: series(entry.log, "validation")), "validation", "step"),
        _chart(lines(lambda entry: timed(entry.log, "validation")), "validation", "min"),
    ]
    if not any(charts):
        return Markup("")
    silent = [title(i, e) for i, e in enumerate(entries) if not series(e.log, "loss")]
    note = (
        "Each loss is divided by its first logged value. Different objectives have different "
        "losses: the curves say how far each run has come, not which set is better. Validation "
        "accuracies are those of one network, trained briefly and tested on held-out training "
        "images."
    )
    if silent:
        note += f" No losses are logged for {', '.join(silent)}."
    if any(len(series(entry.log, "loss")) > _MOST_POINTS for entry in entries):
        note += f" Longer courses are drawn as means over {_MOST_POINTS} even stretches."
    shown = [(i, e) for i, e in enumerate(entries) if series(e.log, "loss")]
    return join(
        tag("p", note, class_="note"),
        legend(shown),
        tag("div", *charts, class_="charts"),
    )


def legend(entries: Sequence[tuple[int, Entry]]) -> Markup:
    """Return the line, the sign and the name of each."""
    items = []
    for index, entry in entries:
        sample = tag(
            "svg",
            tag("polyline", points="0,6 44,6"),
            viewBox="0 0 44 12",
            width=44,
            height=12,
            aria_hidden="true",
        )
        items.append(tag("li", sample, heading(index, entry), class_=_style(index)))
    return tag("ul", *items, class_="legend chart")


def _chart(lines: Sequence[_Line], what: str, over: str) -> Markup:
    if not lines:
        return Markup("")
    last = max(point[0] for line in lines for point in line.points)
    unit = "step"
    if over == "min":
        unit = "minutes of updates" if last >= 2 else "seconds of updates"
    scale = 60 if unit.startswith("seconds") else 1
    values = [value for line in lines for _, value in line.points]
    logarithmic = what == "loss" and spans_decades(values)
    across = course_axis(last * scale or 1.0)
    up = logarithmic_axis(values) if logarithmic else linear_axis(values)
    placed = [
        [place(across, up, (at * scale, value)) for at, value in line.points] for line in lines
    ]
    ends = [(points[-1][0] + 5, points[-1][1] + 4) for points in placed]
    heights = settle(ends, _SIGN)
    drawn = [
        tag(
            "g",
            polyline(points),
            *dots(points),
            tag("text", letter(line.index), x=f"{x:.1f}", y=f"{y:.1f}", class_="at"),
            class_=_style(line.index),
        )
        for line, points, (x, _), y in zip(lines, placed, ends, heights, strict=True)
    ]
    label = "loss, first = 1" if what == "loss" else "accuracy in %"
    name = f"{'Loss' if what == 'loss' else 'Validation accuracy'} over {unit}"
    spoken = "; ".join(f"{line.name}: {_ends(line.points, scale, unit)}" for line in lines)
    svg = sheet(
        grid(across, up),
        *drawn,
        across=unit,
        up=f"{label} (log scale)" if logarithmic else label,
        alternative=f"{name}: {spoken}",
    )
    return tag("figure", svg, tag("figcaption", tag("strong", name)), class_="chart")


def _ends(points: Sequence[Point], scale: int, unit: str) -> str:
    (first, start), (last, end) = points[0], points[-1]
    word = "step" if unit == "step" else unit.split(" ")[0]
    if word == "step":
        return f"{start:.4g} at step {first:,.0f}, {end:.4g} at step {last:,.0f}"
    return f"{start:.4g} after {first * scale:.3g} {word}, {end:.4g} after {last * scale:.3g}"


def _style(index: int) -> str:
    return f"line-{index % _STYLES}"
