"""What the log of a run says: losses and validations over steps and over time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from attar.report.axes import Point

Log = Sequence[Mapping[str, Any]]


def series(log: Log, name: str) -> list[Point]:
    """Return steps and the finite values of that name."""
    return [(step, value) for step, _, value in _values(log, name)]


def timed(log: Log, name: str) -> list[Point]:
    """Return minutes of updates and the finite values of that name.

    A validation happens at the time of the last step logged before it; the time that validation
    itself takes does not count.
    """
    return [(seconds / 60, value) for _, seconds, value in _values(log, name)]


def minutes(log: Log) -> float | None:
    """Return how long the updates took; None where the log does not say."""
    times = [row["seconds"] for row in log if _is_number(row.get("seconds"))]
    return times[-1] / 60 if times else None


def last_step(log: Log) -> int:
    """Return the last step that the log knows; 0 for an empty one."""
    return max((int(row["step"]) for row in log), default=0)


def relative(points: Sequence[Point]) -> list[Point]:
    """Return values divided by the first one; none where that is not above zero."""
    if not points or points[0][1] <= 0:
        return []
    first = points[0][1]
    return [(at, value / first) for at, value in points]


def averaged(points: Sequence[Point], most: int) -> list[Point]:
    """Return at most ``most`` points: the first, and the means of even stretches after it."""
    if len(points) <= most:
        return list(points)
    count = most - 1
    edges = [1 + index * (len(points) - 1) // count for index in range(count + 1)]
    parts = [points[start:stop] for start, stop in pairwise(edges)]
    # each mean stands at the end of its stretch, so that the line ends where the run does
    return [
        points[0],
        *((part[-1][0], math.fsum(value for _, value in part) / len(part)) for part in parts),
    ]


def _values(log: Log, name: str) -> list[tuple[float, float, float]]:
    found, seconds = [], 0.0
    for row in log:
        if _is_number(row.get("seconds")):
            seconds = float(row["seconds"])
        if _is_number(row.get(name)):
            found.append((float(row["step"]), seconds, float(row[name])))
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
