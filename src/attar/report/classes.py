"""Accuracy on each class, as one table for every network."""

from __future__ import annotations

from collections.abc import Sequence

from attar.evaluation import Result
from attar.report.comparison import NO_BREAK, Row, bar, networks_of
from attar.report.markup import Markup, join, table, tag
from attar.training.by_class import largest_share, largest_stands_out, unequal

# classes of a table that is shown unasked
_OPEN = 20


def accuracy_by_class(rows: Sequence[Row], class_names: Sequence[str]) -> Markup:
    """Return the accuracy of every row on each class; nothing where it is not known.

    Args:
        rows: of the comparison.
        class_names: K of them.
    """
    drawn = []
    for network in networks_of(rows):
        known = [row for row in rows if row.results.get(network) and row.results[network].right]
        fitting = [row for row in known if len(row.results[network].tested) == len(class_names)]
        if fitting:
            drawn.append(_of_network(network, fitting, class_names))
    return join(*drawn)


def _of_network(network: str, rows: Sequence[Row], class_names: Sequence[str]) -> Markup:
    results = [row.results[network] for row in rows]
    tested = results[0].tested
    lines = [
        [name, f"{tested[place]:,}", *(_of_class(result, place) for result in results)]
        for place, name in enumerate(class_names)
    ]
    balanced = [one.balanced for one in results]
    means = [bar(None if b is None else (b.mean, b.std, len(b.values)), False) for b in balanced]
    lines.append(["mean of the classes (balanced accuracy)", f"{sum(tested):,}", *means])
    heads = ["Class", "Test images", *(row.name for row in rows)]
    drawn = table(heads, lines, caption=_caption(network, tested), numeric=(1,))
    scrolled = tag("div", drawn, class_="scroll", tabindex=0)
    many = len(class_names) > _OPEN
    said = f"{network}: {len(class_names)} classes"
    return tag("details", tag("summary", said), scrolled, open=None if many else "")


def _of_class(result: Result, place: int) -> Markup:
    found = result.by_class[place]
    return bar(None if found is None else (found.mean, found.std, len(found.values)), False)


def _caption(network: str, tested: Sequence[int]) -> str:
    text = f"{network}: share of each class’s real test images that is classified right, in percent"
    if largest_stands_out(tested):
        text += f"; naming the largest class gives {largest_share(tested):.1f}{NO_BREAK}% of all"
    if unequal(tested):
        text += "; the classes are unequal, so accuracy on all images favours the largest"
    return f"{text}."
