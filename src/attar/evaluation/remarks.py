"""What has to be said of accuracies before one is set against another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attar.evaluation.results import Result
from attar.evaluation.rows import Row
from attar.text import counted
from attar.training.by_class import largest_share

_PARTS = {"half": 1 / 2, "a third": 1 / 3, "a quarter": 1 / 4, "a fifth": 1 / 5, "a tenth": 1 / 10}
# by which a part may differ from the one that is named
_ABOUT = 0.01
_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Trained:
    """How long networks were trained on a set, beside others.

    Args:
        name: of the set.
        updates: None where unknown.
        whole: whether it is the whole training set, whose number of updates is no measure for
            small sets.
    """

    name: str
    updates: int | None
    whole: bool = False


def less_trained(sets: Sequence[Trained]) -> list[str]:
    """Say of each set where networks were trained on it for fewer updates than on another one.

    Args:
        sets: of one comparison.

    Returns:
        A text for each; empty where none was trained on for longer.
    """
    small = [one for one in sets if one.updates is not None and not one.whole]
    most = max(small, key=lambda one: one.updates or 0, default=None)
    return ["" if most is None else _said(one, most) for one in sets]


def _said(one: Trained, most: Trained) -> str:
    if one.updates is None or most.updates is None or one.updates >= most.updates:
        return ""
    share = one.updates / most.updates
    part = next((name for name, part in _PARTS.items() if abs(share / part - 1) < _ABOUT), None)
    percent = f"{min(99, max(1, round(100 * share)))} %"
    return (
        f"trained for {counted(one.updates, 'update')}, {part or percent} of the "
        f"{most.updates:,} of {most.name}"
    )


def length(epochs: float | None, updates: int | None) -> str:
    """Say for how many epochs and updates networks were trained on a set; empty if unknown."""
    if updates is None or epochs is None:
        return ""
    passes = f"{epochs:,.3g}" if epochs < 1_000 else f"{epochs:,.0f}"
    return f"{passes} epoch{'s' if passes != '1' else ''}, {counted(updates, 'update')}"


def no_better(result: Result) -> str:
    """Say of an accuracy that it is at or below that of naming one class; empty if above."""
    return no_better_than_naming(result.mean, result.tested)


def no_better_than_naming(accuracy: float, tested: Sequence[int]) -> str:
    """Say the same of an accuracy in percent on so many test images of each class.

    Empty where they are unknown.
    """
    if not tested or accuracy > largest_share(tested):
        return ""
    equal = len({count for count in tested if count}) == 1
    what = "one class for every image" if equal else "the largest class"
    return f"no better than naming {what} ({largest_share(tested):.1f} %)"


def mark(number: int) -> str:
    """Return the sign of a remark, counted from 0: ¹, ², ³ and so on."""
    return str(number + 1).translate(_RAISED)


def remarks(rows: Sequence[Row]) -> list[list[str]]:
    """Return everything that is to be said of each row of one comparison."""
    found = less_trained([Trained(row.name, row.updates, row.kind == "whole") for row in rows])
    return [
        [*filter(None, [less]), *dict.fromkeys(_of_networks(row))]
        for row, less in zip(rows, found, strict=True)
    ]


def _of_networks(row: Row) -> list[str]:
    several = len(row.results) > 1
    pairs = [(result.network, no_better(result)) for result in row.results]
    return [f"{name}: {text}" if several else text for name, text in pairs if text]
