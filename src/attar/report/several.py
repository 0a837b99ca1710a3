"""The page of several sets: what they are worth and cost, their courses, images and settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attar.budget import format_bytes
from attar.errors import BadRequest
from attar.evaluation.coded import NAME
from attar.report.album import album
from attar.report.caveats import caveats
from attar.report.codec import beside_codec
from attar.report.comparison import NO_BREAK, percent
from attar.report.differences import differences
from attar.report.document import command_block, write_page
from attar.report.entries import Entry
from attar.report.facts import dataset, recipe
from attar.report.markup import Markup, join, pairs, tag
from attar.report.overlay import courses
from attar.report.protocols import (
    baselines_of,
    best_of,
    letter,
    own_accuracies,
    phrases,
    protocols_of,
)
from attar.report.scatter import accuracy_charts
from attar.report.scores import scores_of_entries
from attar.report.slider import SCRIPT, compared
from attar.report.standings import heading, standings
from attar.report.standings import title as title_of

# names in the title, from few enough sets
_NAMED = 4


def write_comparison(
    path: Path,
    entries: Sequence[Entry],
    *,
    title: str | None = None,
    notes: Sequence[str] = (),
    more: Sequence[tuple[str, Markup]] = (),
) -> None:
    """Write one HTML file that sets several artefacts side by side.

    The file needs nothing else: no network and no other file; it runs no script but that of
    the slider between two sets, which the page is of use without. Accuracies are compared only
    where network, card, data and classes are the same.

    Args:
        path: where; replaced atomically.
        entries: two or more, as `attar.report.read_entries` returns them, in the order of the
            page.
        title: of the page; the names and the data by default.
        notes: paragraphs below the summary.
        more: further sections, headings and what is below them.

    Raises:
        BadRequest: fewer than two artefacts.
        RunFailed: the file could not be written.

    Example:
        >>> entries = read_entries([Path("a.safetensors"), Path("b.safetensors")]) # doctest: +SKIP
        >>> write_comparison(Path("report.html"), entries)  # doctest: +SKIP
    """
    if len(entries) < 2:
        raise BadRequest(
            f"{len(entries)} artefacts cannot be compared; give two or more, or write_report for "
            "one"
        )
    over = _over(entries)
    write_page(
        path,
        title or _title(entries),
        kicker="condensed sets compared",
        lead=_lead(entries),
        notes=notes,
        sections=[
            ("Before comparing", caveats(entries)),
            ("Summary", standings(entries)),
            ("Robust scores", scores_of_entries(entries)),
            ("Accuracy against bytes", accuracy_charts(entries)),
            ("Course of the runs", courses(entries)),
            ("Images side by side", album(entries)),
            ("One over the other", over),
            *more,
            ("Settings", differences(entries)),
            ("Protocol", _protocol(entries)),
            ("Make them again", _commands(entries)),
        ],
        script=SCRIPT if over else "",
    )


def _over(entries: Sequence[Entry]) -> Markup:
    """Return the images of two sets over each other; nothing where there are more."""
    if len(entries) != 2:
        return Markup("")
    first, second = entries
    return compared(first.artefact, second.artefact, (title_of(0, first), title_of(1, second)))


def _title(entries: Sequence[Entry]) -> str:
    sources = list(dict.fromkeys(dataset(entry.artefact) for entry in entries))
    on = sources[0] if len(sources) == 1 else f"{len(sources)} datasets"
    if len(entries) > _NAMED:
        return f"{len(entries)} sets of {on}"
    *first, last = (entry.name for entry in entries)
    return f"{', '.join(first)} and {last} on {on}"


def _lead(entries: Sequence[Entry]) -> Markup:
    """Say in two sentences what is compared and which set is best."""
    sizes = sorted({entry.artefact.totals.all for entry in entries})
    span = format_bytes(sizes[0])
    if len(sizes) > 1:
        span = f"{span} to {format_bytes(sizes[-1])}"
    sources = list(dict.fromkeys(dataset(entry.artefact) for entry in entries))
    text = join(
        tag("strong", f"{len(entries)} condensed sets of {', '.join(sources)}"),
        f", of {span}".replace(" B", f"{NO_BREAK}B"),
    )
    protocols = protocols_of(entries)
    if not protocols:
        return join(text, ". None of them has been evaluated.")
    protocol = protocols[0]
    words = phrases(protocols)[protocol]
    best = best_of(entries, protocol)
    if best is None:
        return join(text, ". No two of them have been evaluated in the same way.")
    accuracy = own_accuracies(entries[best])[protocol]
    # what a teacher labels stands beside what it labels
    others = [
        one for one in baselines_of(entries) if best in one.beside and one.row.labels != "taught"
    ]
    against = [
        f"{percent(one.accuracies[protocol])} {what}"
        for kind, what in (
            ("random", "for random real images of its size"),
            ("whole", "for the whole training set"),
        )
        for one in others
        if one.kind == kind and protocol in one.accuracies
    ]
    coded = next((one.accuracies.get(protocol) for one in others if one.row.name == NAME), None)
    compared = f", against {' and '.join(against)}" if against else ""
    return join(
        text,
        f". The highest accuracy of a {words} is that of ",
        heading(best, entries[best]),
        ": ",
        tag("strong", percent(accuracy)),
        f"{compared}.",
        beside_codec(accuracy, coded),
    )


def _protocol(entries: Sequence[Entry]) -> Markup:
    """Return every way of measuring, with the sets that were measured so."""
    protocols = protocols_of(entries)
    words = phrases(protocols)
    owns = [own_accuracies(entry) for entry in entries]
    items: list[tuple[object, object]] = []
    for protocol in protocols:
        sets = ", ".join(letter(index) for index, own in enumerate(owns) if protocol in own)
        name, _, other = protocol.card.partition(" ")
        summary = dict(recipe(name, protocol.data)).get("Recipe", "")
        told = [
            f"card {protocol.card}" + (f" ({summary})" if summary and not other else ""),
            f"real test images of {protocol.data}, {len(protocol.classes):,} classes",
            f"sets {sets}",
        ]
        items.append((words[protocol], "; ".join(told)))
    return pairs(items, class_="pairs") if items else Markup("")


def _commands(entries: Sequence[Entry]) -> Markup:
    found = [
        (heading(index, entry), command_block(str(command)))
        for index, entry in enumerate(entries)
        if (command := entry.artefact.header.provenance.get("command"))
    ]
    return pairs(found, class_="commands") if found else Markup("")
