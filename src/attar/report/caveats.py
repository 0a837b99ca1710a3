"""What to know before comparing: in what the sets, or their evaluations, are not alike."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TypeVar

from attar.artefact.artefact import Artefact
from attar.report.entries import Entry
from attar.report.facts import dataset
from attar.report.markup import Markup, join, tag
from attar.report.protocols import Protocol, class_phrase, letter, own_accuracies
from attar.report.standings import heading

T = TypeVar("T", bound=Hashable)

_SEPARATE = "Their accuracies stand in columns of their own and do not compare."


def caveats(entries: Sequence[Entry]) -> Markup:
    """Return a list of differences that make a comparison unfair; nothing where there are none."""
    found = [*_of_sets(entries), *_of_labels(entries), *_of_evaluations(entries)]
    found += _missing(entries)
    return tag("ul", *(tag("li", text) for text in found), class_="mind") if found else Markup("")


def _of_sets(entries: Sequence[Entry]) -> list[Markup]:
    headers = [entry.artefact.header for entry in entries]
    found = []
    sources = [
        str(header.provenance.get("source", dataset(e.artefact)))
        for header, e in zip(headers, entries, strict=True)
    ]
    if len(set(sources)) > 1:
        found.append(join("The sets were made from different data: ", _groups(sources, str), "."))
    classes = [tuple(header.class_names) for header in headers]
    if len({len(own) for own in classes}) > 1:
        counts = [len(own) for own in classes]
        text = _groups(counts, lambda count: f"{count} classes")
        found.append(
            join(
                "The sets have different numbers of classes: ",
                text,
                ". Fewer classes are easier to tell apart.",
            )
        )
    elif len(set(classes)) > 1:
        found.append(join("The sets have different classes: ", _groups(classes, class_phrase), "."))
    shapes = [header.shape for header in headers]
    if len(set(shapes)) > 1:
        text = _groups(shapes, lambda shape: "×".join(map(str, shape)))
        found.append(join("The images differ in size (C×H×W): ", text, "."))
    return found


def _of_labels(entries: Sequence[Entry]) -> list[Markup]:
    """Say which sets have learnt labels, or a network that labels, where others have none."""
    kinds = [_kind_of_labels(entry.artefact) for entry in entries]
    if len(set(kinds)) < 2:
        return []
    told = _groups(kinds, str)
    return [
        join(
            "The sets have different labels: ",
            told,
            ". Accuracies with hard labels compare what the images alone are worth.",
        )
    ]


def _kind_of_labels(artefact: Artefact) -> str:
    if artefact.carried is not None:
        return "those of a network in the file"
    return "learnt labels" if artefact.header.learned_labels else "the class of each image"


def _of_evaluations(entries: Sequence[Entry]) -> list[Markup]:
    owns = {index: own for index, e in enumerate(entries) if (own := own_accuracies(e))}
    found = []
    parts: tuple[tuple[str, Callable[[Protocol], str]], ...] = (
        ("evaluation cards", lambda protocol: protocol.card),
        ("networks", lambda protocol: protocol.network),
        ("real test images", lambda protocol: protocol.data),
    )
    for what, part in parts:
        each = {index: frozenset(map(part, own)) for index, own in owns.items()}
        if len(set(each.values())) > 1:
            told = _groups(each, lambda own: ", ".join(sorted(own)))
            found.append(
                join(f"Not all were evaluated with the same {what}: ", told, ". ", _SEPARATE)
            )
    repeats = {
        index: frozenset(count for _, _, count in own.values()) for index, own in owns.items()
    }
    if len(set(repeats.values())) > 1:
        told = _groups(repeats, lambda own: " and ".join(map(str, sorted(own))))
        found.append(join("The numbers of networks trained differ: ", told, "."))
    return found


def _missing(entries: Sequence[Entry]) -> list[Markup]:
    found = []
    for index, entry in enumerate(entries):
        if own_accuracies(entry):
            continue
        remark = entry.remark or "not evaluated"
        command = tag("code", entry.command) if entry.command else ""
        found.append(
            join(
                heading(index, entry), f": {remark}.", " This does it: " if command else "", command
            )
        )
    return found


def _groups(values: Mapping[int, T] | Sequence[T], say: Callable[[T], str]) -> str:
    """Return every value once, with the signs of those that have it."""
    pairs = values.items() if isinstance(values, Mapping) else enumerate(values)
    groups: dict[T, list[str]] = {}
    for index, value in pairs:
        groups.setdefault(value, []).append(letter(index))
    return "; ".join(f"{', '.join(signs)}: {say(value)}" for value, signs in groups.items())
