"""The images of several sets side by side: classes in rows, artefacts in columns."""

from __future__ import annotations

from collections.abc import Sequence

from attar.report.comparison import missing
from attar.report.entries import Entry
from attar.report.markup import Markup, join, table, tag
from attar.report.pictures import ALLOWANCE, Choice, choose, class_images, not_shown
from attar.report.standings import heading, title

_MOST_CLASSES = 10
# images of a class side by side on a wide page, over all artefacts
_ROOM = 12
_MOST_PER_CLASS = 4
_SIDE = 56


def album(entries: Sequence[Entry]) -> Markup:
    """Return the first images of the same classes of every set."""
    for entry in entries:
        if not entry.artefact.modality.gallery:
            return tag("p", not_shown(entry.artefact.header.shape), class_="note")
    names, shared = shown_classes(entries)
    choices = [_choice(entry, len(entries), len(names)) for entry in entries]
    # a page of few bytes may not have room for all
    count = min(choice.classes for choice in choices)
    rows = [
        [tag("bdi", name), *(_cell(e, name, c) for e, c in zip(entries, choices, strict=True))]
        for name in names[:count]
    ]
    heads = ["Class", *(title(index, entry) for index, entry in enumerate(entries))]
    return join(
        tag("p", _explanation(names[:count], entries, shared), class_="note"),
        tag(
            "div",
            table(heads, rows, caption=_captions(entries, choices)),
            class_="scroll album",
            tabindex=0,
            role="region",
            aria_label="Images side by side",
        ),
    )


def shown_classes(entries: Sequence[Entry]) -> tuple[list[str], bool]:
    """Return the first classes that all sets have, or any where they share none.

    Returns:
        The names, and whether all sets have them.
    """
    every = list(dict.fromkeys(name for e in entries for name in e.artefact.header.class_names))
    common = [name for name in every if all(name in e.artefact.header.class_names for e in entries)]
    return (common or every)[:_MOST_CLASSES], bool(common)


def _choice(entry: Entry, artefacts: int, classes: int) -> Choice:
    header = entry.artefact.header
    return choose(
        classes,
        header.images_per_class,
        header.shape,
        most_per_class=max(1, min(_MOST_PER_CLASS, _ROOM // artefacts)),
        allowance=ALLOWANCE // artefacts,
        side=_SIDE,
    )


def _cell(entry: Entry, name: str, choice: Choice) -> Markup:
    names = entry.artefact.header.class_names
    if name not in names:
        return missing("no such class")
    images = class_images(entry.artefact, names.index(name), choice)
    return tag("span", images, class_="strip")


def _explanation(names: Sequence[str], entries: Sequence[Entry], shared: bool) -> str:
    every = {name for entry in entries for name in entry.artefact.header.class_names}
    left = len(every) - len(names)
    text = []
    if left:
        which = "that all sets have" if shared else "of all sets, which share none"
        text.append(f"The first {len(names):,} classes {which}; {left:,} more are left out.")
    else:
        text.append("Every class.")
    text.append("Pixels without the preprocessing.")
    return " ".join(text)


def _captions(entries: Sequence[Entry], choices: Sequence[Choice]) -> Markup:
    return join(
        *(
            tag("span", heading(index, entry), f": {_caption(entry, choice)}", class_="below")
            for index, (entry, choice) in enumerate(zip(entries, choices, strict=True))
        )
    )


def _caption(entry: Entry, choice: Choice) -> str:
    header = entry.artefact.header
    channels, height, width = header.shape
    number = header.images_per_class
    images = header.counted
    which = "" if choice.per_class >= number else f", the first {choice.per_class} shown"
    size = f"{height}×{width}" + (f"×{channels}" if channels > 1 else "")
    reduced = f", averaged down by {choice.reduction}" if choice.reduction > 1 else ""
    lost = entry.artefact.clipped
    clipped = "" if lost is None else f"; {lost}, and are clipped"
    return f"{images} per class{which}, {size} pixels{reduced}, {header.stored_as}{clipped}"
