"""In which settings several sets differ, and which they share."""

from __future__ import annotations

from collections.abc import Sequence

from attar.artefact.artefact import Artefact
from attar.report.entries import Entry
from attar.report.facts import flatten, iterate, origin
from attar.report.markup import Markup, breakable, join, pairs, table, tag
from attar.report.standings import title
from attar.text import written

_NOT_SET = "not set"


def differences(entries: Sequence[Entry]) -> Markup:
    """Return a table of what differs, and what is shared folded away."""
    facts = [facts_of(entry.artefact) for entry in entries]
    every = dict.fromkeys(name for own in facts for name in own)
    values = {name: [own.get(name, _NOT_SET) for own in facts] for name in every}
    differing = {name: row for name, row in values.items() if len(set(row)) > 1}
    shared = [(name, row[0]) for name, row in values.items() if name not in differing]
    heads = ["Setting", *(title(index, entry) for index, entry in enumerate(entries))]
    rows = [[_name(name), *map(breakable, row)] for name, row in differing.items()]
    shown = tag("p", "The settings are the same.", class_="note")
    if rows:
        caption = "What differs between the sets; the rest is the same."
        shown = tag(
            "div",
            table(heads, rows, caption=caption),
            class_="scroll differing",
            tabindex=0,
            role="region",
            aria_label="Settings that differ",
        )
    items = [(_name(name), breakable(value)) for name, value in shared]
    folded = tag(
        "details",
        tag("summary", f"{len(shared)} settings that all share"),
        pairs(items, class_="pairs columns"),
    )
    return join(shown, folded if items else "")


def facts_of(artefact: Artefact) -> dict[str, str]:
    """Return every setting and everything about the origin of a set, by name."""
    header = artefact.header
    found = {name: written(value) for name, value in flatten(header.settings)}
    classes = f"{len(header.class_names):,}: {', '.join(header.class_names[:10])}"
    found |= {
        "method": header.method,
        "classes": classes + (", …" if len(header.class_names) > 10 else ""),
        "iterate": iterate(artefact),
    }
    # the settings that a run writes down come with a seed and a storage of their own
    return found | dict(origin(artefact))


def _name(name: str) -> Markup:
    return tag("code", breakable(name))
