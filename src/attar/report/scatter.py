"""Accuracy against bytes: one point per artefact, dashed lines for real images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attar.budget import format_bytes
from attar.report.axes import Axis, Point, byte_axis, linear_axis, size
from attar.report.canvas import LEFT, PLOT_WIDTH, circle, grid, place, polyline, settle, sheet
from attar.report.comparison import Accuracy, percent
from attar.report.entries import Entry
from attar.report.markup import Markup, join, tag
from attar.report.protocols import (
    Baseline,
    Protocol,
    baselines_of,
    letter,
    own_accuracies,
    phrases,
    protocols_of,
)
from attar.report.standings import title
from attar.text import short

_MOST_CHARTS = 6
# percentage points around a mean that the axis shows at least
_LEAST_REACH = 2.0
_LONGEST_LABEL = 14
# about the width of the longest label
_LABEL_WIDTH = 110


@dataclass(frozen=True)
class _Line:
    """Real images: one accuracy at any size, or several at theirs."""

    label: str
    points: tuple[tuple[int, float], ...]
    flat: bool


def accuracy_charts(entries: Sequence[Entry]) -> Markup:
    """Return one chart per protocol; nothing where nothing was measured."""
    protocols = protocols_of(entries)
    if not protocols:
        return Markup("")
    words, others = phrases(protocols), baselines_of(entries)
    charts = [_chart(entries, p, words[p], others) for p in protocols[:_MOST_CHARTS]]
    left = len(protocols) - len(charts)
    more = f" {left} more ways of measuring are in the table alone." if left else ""
    note = (
        "Bytes are those of everything stored, on a log scale; bars are one standard deviation. "
        "The dashed lines are networks trained on real images." + more
    )
    return join(tag("p", note, class_="note"), tag("div", *charts, class_="charts"))


def _chart(
    entries: Sequence[Entry], protocol: Protocol, words: str, others: Sequence[Baseline]
) -> Markup:
    found = [
        (index, entry, entry.artefact.totals.all, own[protocol])
        for index, entry in enumerate(entries)
        if protocol in (own := own_accuracies(entry))
    ]
    lines = _lines([one for one in others if protocol in one.accuracies], protocol, entries)
    sizes = [stored for *_, stored, _ in found]
    sizes += [stored for line in lines if not line.flat for stored, _ in line.points]
    reach = [(acc[0], max(acc[1], _LEAST_REACH)) for *_, acc in found]
    heights = [max(0.0, min(100.0, mean + s * std)) for mean, std in reach for s in (-1, 1)]
    heights += [value for line in lines for _, value in line.points]
    across, up = byte_axis(sizes), linear_axis(heights)
    points = [place(across, up, (stored, acc[0])) for _, _, stored, acc in found]
    names = [short(title(index, entry), _LONGEST_LABEL) for index, entry, *_ in found]
    name = f"Accuracy of {words}"
    spoken = [
        f"{title(index, entry)}: {percent(acc)} at {format_bytes(stored)}"
        for index, entry, stored, acc in found
    ]
    spoken += [f"{line.label}: {_values(line)}" for line in lines]
    svg = sheet(
        grid(across, up, size),
        _drawn_lines(lines, across, up),
        *(_deviation(at, acc, up) for at, (*_, acc) in zip(points, found, strict=True)),
        *(circle(at, 4, "dot") for at in points),
        *_labels(points, names, lines, across, up),
        across="bytes stored (log scale)",
        up="accuracy in %",
        alternative=f"{name}: {'; '.join(spoken)}",
    )
    told = "; ".join(f"{line.label} {_values(line)}" for line in lines)
    beside = f" On real images: {told}." if told else ""
    caption = tag("figcaption", tag("strong", words), beside)
    return tag("figure", svg, caption, class_="chart sizes")


def _lines(others: Sequence[Baseline], protocol: Protocol, entries: Sequence[Entry]) -> list[_Line]:
    """Return one line for each way to take real images, and one for each whole set."""
    taken: dict[str, set[tuple[int, float]]] = {}
    for one in others:
        if one.kind in ("random", "coreset") and one.row.bytes is not None:
            plain = one.kind == "random" and one.row.labels != "taught"
            name = "random real images" if plain else one.row.name
            found = taken.setdefault(name, set())
            found.add((one.row.bytes, one.accuracies[protocol][0]))
    whole = [one for one in others if one.kind == "whole"]
    lines = [_Line(name, tuple(sorted(points)), flat=False) for name, points in taken.items()]
    for one in whole:
        beside = ", ".join(letter(index) for index in one.beside)
        which = f" (beside {beside})" if len(whole) > 1 else ""
        mean = one.accuracies[protocol][0]
        lines.append(_Line(f"whole training set{which}", ((0, mean),), flat=True))
    return lines


def _drawn_lines(lines: Sequence[_Line], across: Axis, up: Axis) -> Markup:
    drawn = []
    for line in lines:
        inner = [] if line.flat else [place(across, up, point) for point in line.points]
        # held level beyond the sizes that were measured
        start = place(across, up, (across.low, line.points[0][1]))
        end = place(across, up, (across.high, line.points[-1][1]))
        drawn += [polyline([start, *inner, end]), *(circle(at, 3, "open") for at in inner)]
    return tag("g", *drawn, class_="baseline")


def _values(line: _Line) -> str:
    if line.flat:
        return f"{line.points[0][1]:.1f} %"
    return ", ".join(f"{value:.1f} % at {format_bytes(stored)}" for stored, value in line.points)


def _deviation(at: Point, accuracy: Accuracy, up: Axis) -> Markup:
    mean, std, _ = accuracy
    ends = [max(up.low, min(up.high, mean + sign * std)) for sign in (-1, 1)]
    (_, low), (_, high) = (place(Axis(0, 1, ()), up, (0, end)) for end in ends)
    x = f"{at[0]:.1f}"
    return tag("line", x1=x, x2=x, y1=f"{low:.1f}", y2=f"{high:.1f}", class_="deviation")


def _labels(
    points: Sequence[Point], texts: Sequence[str], lines: Sequence[_Line], across: Axis, up: Axis
) -> list[Markup]:
    """Return texts beside points and at the right ends of lines, none over another."""
    spots: list[tuple[Point, str, str | None]] = []
    for (x, y), text in zip(points, texts, strict=True):
        before = x > LEFT + PLOT_WIDTH * 0.6
        spots.append(((x - 9 if before else x + 9, y + 4), text, "end" if before else None))
    for line in lines:
        x, y = place(across, up, (across.high, line.points[-1][1]))
        spots.append(((x, y - 5), line.label, "end"))
    drawn = []
    for side in (None, "end"):
        own = [spot for spot in spots if spot[2] == side]
        heights = settle([at for at, *_ in own], _LABEL_WIDTH)
        for (at, text, _), y in zip(own, heights, strict=True):
            kind = "at" if text in texts else "of"
            drawn.append(
                tag("text", text, x=f"{at[0]:.1f}", y=f"{y:.1f}", text_anchor=side, class_=kind)
            )
    return drawn
