"""The table of a run, and its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from attar.applications.chart import Dot, course, whole_axis
from attar.applications.continual.results import ContinualResult, Point
from attar.budget import format_bytes
from attar.report.document import command_block, write_page
from attar.report.markup import Markup, join, table, tag
from attar.text import counted

HEADS = (
    "step",
    "seen",
    "per class",
    "accuracy",
    "forgetting",
    "bytes (paper)",
    "bytes (all)",
)
FORGETTING = (
    "Seen are classes; per class, full images' memory. Forgetting is the mean over earlier steps "
    "of the best accuracy on their classes so far, less that now, in percentage points."
)


def spread(result: ContinualResult) -> str:
    """Say what deviations are of."""
    if result.orders > 1:
        return f"standard deviation over {result.orders} orders of classes"
    return "standard deviation over networks"


def rows(result: ContinualResult) -> list[list[str]]:
    """Return the cells of the table, a row for every step."""
    return [_row(point) for point in result.points]


def _row(point: Point) -> list[str]:
    over = f" (exceeds the memory by {format_bytes(point.overrun)})" if point.overrun else ""
    return [
        str(point.step),
        str(point.seen),
        "by bytes" if point.images_per_class is None else str(point.images_per_class),
        f"{point.mean:.1f} ± {point.std:.1f}",
        "–" if point.forgetting is None else f"{point.forgetting:.1f}",
        f"{format_bytes(point.paper_bytes)}{over}",
        format_bytes(point.bytes),
    ]


def write_html(path: Path, result: ContinualResult) -> None:
    """Write the page of a run, as far as it is."""
    points = result.points
    last = points[-1]
    limit = "" if result.limit is None else f" The memory may take {format_bytes(result.limit)}."
    lead = (
        f"After {counted(last.seen, 'class')} a new network trained on the memory alone names "
        f"{last.mean:.1f} % of the test images right; the mean over steps is "
        f"{result.average:.1f} %.{limit}"
    )
    caption = f"Accuracy is the mean ± one {spread(result)}, in %. {FORGETTING}"
    drawn = table(HEADS, rows(result), caption=caption, numeric=range(1, len(HEADS)))
    sections = [
        ("Course", _course([result])),
        ("Step by step", tag("div", drawn, class_="scroll", tabindex="0")),
        ("Classes of earlier steps", _by_step(result)),
        ("Orders of the classes", _orders(result)),
        ("Run it again", command_block(result.command)),
    ]
    write_page(
        path,
        f"Continual: {result.title}",
        kicker="class-incremental learning",
        lead=Markup(join(lead)),
        sections=sections,
    )


def write_several(path: Path, title: str, charts: Mapping[str, Sequence[ContinualResult]]) -> None:
    """Write one page of several runs: a chart and a table for each group.

    Args:
        path: of the page.
        title: its heading.
        charts: runs to be drawn together, each after its ``title``, by the heading of their group.
    """
    sections = [(name, _together(results)) for name, results in charts.items() if results]
    every = [one for results in charts.values() for one in results]
    lead = f"{counted(len(every), 'run')}. {FORGETTING}"
    commands = [command_block(one.command) for one in every]
    write_page(
        path,
        title,
        kicker="class-incremental learning",
        lead=Markup(join(lead)),
        sections=[*sections, ("Run it again", join(*commands))],
    )


def _together(results: Sequence[ContinualResult]) -> Markup:
    steps = max(len(one.points) for one in results)
    heads = ["", *(f"step {step}" for step in range(1, steps + 1)), "forgetting", "bytes (paper)"]
    cells = []
    for one in results:
        means = [f"{point.mean:.1f} ± {point.std:.1f}" for point in one.points]
        last = _row(one.points[-1])
        cells.append([one.title, *means, *[""] * (steps - len(means)), last[4], last[5]])
    drawn = table(heads, cells, caption=f"Accuracy in %, mean ± one {spread(results[0])}")
    return join(
        _course(results),
        tag("div", drawn, class_="scroll", tabindex="0"),
    )


def _course(results: Sequence[ContinualResult]) -> Markup:
    """Return accuracy over the classes seen, with its spread."""
    lines = {
        one.title: [Dot(p.seen, p.mean, p.std, f"of {p.seen}") for p in one.points]
        for one in results
    }
    across = whole_axis([point.seen for one in results for point in one.points])
    head = "Accuracy on all classes seen"
    return join(course(lines, across, "classes seen", head, spread(results[0])))


def _by_step(result: ContinualResult) -> Markup:
    """Return the mean accuracy on the classes of each step after every step."""
    count = len(result.points)
    heads = ["after step", *(f"classes of step {step}" for step in range(1, count + 1))]
    cells = []
    for point in result.points:
        own = [one.by_step for one in result.steps if one.step == point.step]
        means = [sum(column) / len(own) for column in zip(*own, strict=True)]
        cells.append(
            [str(point.step), *(f"{mean:.1f}" for mean in means), *[""] * (count - len(means))]
        )
    drawn = table(heads, cells, caption="Accuracy in %, mean over networks and orders")
    return tag("div", drawn, class_="scroll", tabindex="0")


def _orders(result: ContinualResult) -> Markup:
    items = []
    for order in sorted({one.order for one in result.steps}):
        own = [", ".join(one.classes) for one in result.steps if one.order == order]
        items.append(tag("li", " | ".join(own)))
    return tag("ol", *items)
