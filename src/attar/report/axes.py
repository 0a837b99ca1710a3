"""Scales for charts: from values to places, with ticks for people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from attar.budget import format_bytes

Point = tuple[float, float]

MOST_POINTS = 500


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
    axis = course_axis(max(1.0, *steps))
    return Axis(0.0, axis.high, tuple(tick for tick in axis.ticks if tick == int(tick)))


def course_axis(last: float) -> Axis:
    """Return an axis from 0 to ``last``, which is above 0, without room beyond it."""
    return Axis(0.0, last, tuple(t for t in linear_axis((0.0, last), 4).ticks if t <= last))


def byte_axis(sizes: Sequence[int]) -> Axis:
    """Return a logarithmic axis on which every size, 1 or more, lies between two ticks."""
    powers = range(-1, math.ceil(math.log10(max(sizes))) + 2)
    marks = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
    low = max(mark for mark in marks if mark < min(sizes))
    high = min(mark for mark in marks if mark > max(sizes))
    within = [mark for mark in marks if low <= mark <= high]
    tens = [mark for mark in within if round(math.log10(mark), 9).is_integer()]
    ticks = within if len(within) <= 6 else tens[:: math.ceil(len(tens) / 6)]
    return Axis(low, high, tuple(ticks), logarithmic=True)


def size(value: float) -> str:
    """Write a tick of bytes for people."""
    return format_bytes(round(value)) if value >= 1 else f"{value:g} B"


def logarithmic_axis(values: Sequence[float]) -> Axis:
    """Return an axis over whole decades, with at most about six ticks."""
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    last = max(last, first + 1)
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
