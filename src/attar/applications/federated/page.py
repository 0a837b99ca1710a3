"""The table of a run, and its page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attar.applications.chart import Dot, course, whole_axis
from attar.applications.federated.results import FederatedResult, Round
from attar.budget import format_bytes
from attar.report.axes import byte_axis, size
from attar.report.document import command_block, write_page
from attar.report.markup import Markup, join, table, tag
from attar.text import counted

HEADS = (
    "sent by",
    "clients",
    "seen",
    "each",
    "accuracy",
    "paper",
    "all",
    "carried",
    "counted",
)
SPREAD = "standard deviation over networks"
COUNTED = (
    "Seen are classes; each, full images' memory of every one. Bytes are what all clients of a "
    "round sent: as the papers count; all that is in the sets; as the messages that were carried, "
    "file headers among it; and as the framework counts them, where there is one."
)


def rows(result: FederatedResult) -> list[list[str]]:
    """Return the cells of the table, a row for every round of every contender."""
    return [_row(one) for one in result.rounds]


def _row(one: Round) -> list[str]:
    each = sorted(set(one.images_per_class))
    return [
        one.contender,
        str(one.participants - len(one.refused))
        + (f" of {one.participants}" if one.refused else ""),
        str(len(one.classes)),
        " to ".join(map(str, each[:1] + each[1:][-1:])) if each else "–",
        "–" if one.mean is None else f"{one.mean:.1f} ± {one.std:.1f}",
        format_bytes(one.paper_bytes),
        format_bytes(one.bytes),
        format_bytes(one.carried),
        "–" if one.counted is None else format_bytes(one.counted),
    ]


def remarks(result: FederatedResult) -> list[str]:
    """Return, in sentences, what exceeds the bandwidth, and whom rounds went on without."""
    over = [
        f"{one.contender}, round of {one.participants}: exceeds the bandwidth of "
        f"{format_bytes(result.limit)} by {format_bytes(one.paper_bytes - result.limit)}"
        for one in result.rounds
        if one.paper_bytes > result.limit
    ]
    return over + [
        f"{one.contender}, round of {one.participants}: client {odd.client} was left out: {odd.why}"
        for one in result.rounds
        for odd in one.refused
    ]


def write_html(path: Path, result: FederatedResult) -> None:
    """Write the page of a run, as far as it is."""
    caption = f"Accuracy on the classes that arrived: mean ± one {SPREAD}, in %. {COUNTED}"
    drawn = table(HEADS, rows(result), caption=caption, numeric=range(1, len(HEADS)))
    noted = remarks(result)
    told = tag("ul", *(tag("li", one) for one in noted)) if noted else ""
    sections = [
        ("Bytes", _over_bytes(result)),
        ("Clients", _over_clients(result)),
        ("Round by round", tag("div", drawn, class_="scroll", tabindex="0")),
        ("Beyond the bandwidth, and left out", told),
        ("Run it again", command_block(result.command)),
    ]
    write_page(
        path,
        f"Federated: {result.title}",
        kicker="one message from every client",
        lead=_lead(result),
        sections=[(name, content) for name, content in sections if content],
    )


def _lead(result: FederatedResult) -> Markup:
    last = result.of(result.contenders[0])[-1]
    said = (
        f"Of {counted(last.participants, 'client')} nothing arrived that could be used."
        if last.mean is None
        else f"A new network trained on what {counted(last.participants, 'client')} sent names "
        f"{last.mean:.1f} % of the test images of {counted(len(last.classes), 'class')} right."
    )
    return join(f"{said} The sets of a round may take {format_bytes(result.limit)} together.")


def _over_bytes(result: FederatedResult) -> Markup | str:
    """Return accuracy over the bytes that all clients together sent."""
    most = max(one.participants for one in result.of(result.contenders[0]))
    lines: dict[str, Sequence[Dot]] = {}
    for one in result.rounds:
        if one.participants != most or one.mean is None or not one.carried:
            continue
        turns = [Dot(t.carried, t.mean, 0, f"at {format_bytes(t.carried)}") for t in one.turns[:-1]]
        words = f"at {format_bytes(one.carried)}"
        lines[one.contender] = [*turns, Dot(one.carried, one.mean, one.std, words)]
    if not lines:
        return ""
    across = byte_axis([int(dot.x) for dots in lines.values() for dot in dots])
    head = f"Accuracy over the bytes that {counted(most, 'client')} sent"
    return join(course(lines, across, "bytes carried", head, SPREAD, size))


def _over_clients(result: FederatedResult) -> Markup | str:
    lines = {
        name: [
            Dot(one.participants, one.mean, one.std, f"with {one.participants}")
            for one in result.of(name)
            if one.mean is not None
        ]
        for name in result.contenders
    }
    lines = {name: dots for name, dots in lines.items() if dots}
    if not lines:
        return ""
    across = whole_axis([int(dot.x) for dots in lines.values() for dot in dots])
    head = "Accuracy on the classes of all clients that take part"
    return join(course(lines, across, "clients", head, SPREAD))
