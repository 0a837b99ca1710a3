"""Which accuracies may be compared: those of one protocol, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from attar.evaluation import Result
from attar.evaluation.record import Evaluation
from attar.evaluation.rows import Row
from attar.report.comparison import Accuracy, Kind, accuracy
from attar.report.entries import Entry


@dataclass(frozen=True)
class Protocol:
    """How an accuracy was measured.

    Args:
        network: trained on the set.
        card: how it was trained.
        data: source of the real test images.
        classes: what it told apart.
    """

    network: str
    card: str
    data: str
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Baseline:
    """Real images that were trained on beside an artefact, or beside several.

    Args:
        row: what they are.
        accuracies: by protocol.
        results: everything measured, by protocol.
        beside: the artefacts, by their place.
    """

    row: Row
    accuracies: dict[Protocol, Accuracy] = field(default_factory=dict)
    results: dict[Protocol, Result] = field(default_factory=dict)
    beside: list[int] = field(default_factory=list)

    @property
    def kind(self) -> Kind:
        """Random real images, a coreset or the whole training set."""
        return self.row.kind


def letter(index: int) -> str:
    """Return the sign of the artefact at a place: A to Z, then AA, AB and so on."""
    before, place = divmod(index, 26)
    return (letter(before - 1) if before else "") + chr(ord("A") + place)


def own_accuracies(entry: Entry) -> dict[Protocol, Accuracy]:
    """Return the accuracies of an artefact itself."""
    return _accuracies(entry, [(one, one.own) for one in entry.evaluations])


def own_results(entry: Entry) -> dict[Protocol, Result]:
    """Return everything measured of an artefact itself."""
    found: dict[Protocol, Result] = {}
    for one in entry.evaluations:
        if one.own is not None:
            found |= results_by_protocol(entry, one, one.own)
    return found


def hard_accuracies(entry: Entry) -> dict[Protocol, Accuracy]:
    """Return the accuracies of an artefact with hard labels in place of learnt ones."""
    return _accuracies(entry, [(one, one.hard) for one in entry.evaluations])


def _accuracies(
    entry: Entry, rows: Iterable[tuple[Evaluation, Row | None]]
) -> dict[Protocol, Accuracy]:
    found: dict[Protocol, Accuracy] = {}
    for evaluation, row in rows:
        if row is not None:
            found |= by_protocol(entry, evaluation, row)
    return found


def ceilings_of(entry: Entry) -> dict[Protocol, float]:
    """Return the mean accuracy in percent of the whole training set beside an artefact."""
    return {
        protocol: accuracy[0]
        for evaluation in entry.evaluations
        for row in evaluation.rows
        if row.kind == "whole"
        for protocol, accuracy in by_protocol(entry, evaluation, row).items()
    }


def protocols_of(entries: Iterable[Entry]) -> list[Protocol]:
    """Return every protocol, the one that most artefacts were measured under first."""
    counts: dict[Protocol, int] = {}
    for entry in entries:
        for protocol in own_accuracies(entry):
            counts[protocol] = counts.get(protocol, 0) + 1
    return sorted(counts, key=lambda protocol: -counts[protocol])


def best_of(entries: Sequence[Entry], protocol: Protocol) -> int | None:
    """Return the place of the highest mean; None where fewer than two were measured."""
    found = {
        index: own[protocol][0]
        for index, entry in enumerate(entries)
        if protocol in (own := own_accuracies(entry))
    }
    return max(found, key=lambda index: found[index]) if len(found) > 1 else None


def baselines_of(entries: Sequence[Entry]) -> list[Baseline]:
    """Return the real images that any artefact was compared with, each once.

    What has the same size and note is one baseline, unless the accuracies contradict each other,
    as after another preprocessing.
    """
    found: list[Baseline] = []
    for index, entry in enumerate(entries):
        for evaluation in entry.evaluations:
            for row in evaluation.rows:
                if row.kind == "condensed":
                    continue
                measured = by_protocol(entry, evaluation, row)
                one = next((b for b in found if _same(b, row, measured)), None)
                if one is None:
                    one = Baseline(row)
                    found.append(one)
                one.accuracies.update(measured)
                one.results.update(results_by_protocol(entry, evaluation, row))
                if index not in one.beside:
                    one.beside.append(index)
    order = ("random", "coreset", "whole")
    return sorted(found, key=lambda one: (order.index(one.kind), one.row.name, one.row.bytes or 0))


def phrases(protocols: Sequence[Protocol]) -> dict[Protocol, str]:
    """Return a few words for each protocol that tell it from the others."""
    parts: list[Mapping[Protocol, str]] = [
        {p: p.network for p in protocols},
        {p: f"under {p.card}" for p in protocols},
        {p: f"on {p.data}" for p in protocols},
        {p: f"with {len(p.classes)} classes" for p in protocols},
    ]
    if len({p.classes for p in protocols}) > len({len(p.classes) for p in protocols}):
        parts[-1] = {p: f"with {class_phrase(p.classes)}" for p in protocols}
    told = [part for n, part in enumerate(parts) if n == 0 or len(set(part.values())) > 1]
    return {protocol: " ".join(part[protocol] for part in told) for protocol in protocols}


def class_phrase(classes: Sequence[str]) -> str:
    """Return how many classes there are and the first of them."""
    more = ", …" if len(classes) > 3 else ""
    return f"{len(classes)} classes ({', '.join(classes[:3])}{more})"


def by_protocol(entry: Entry, evaluation: Evaluation, row: Row) -> dict[Protocol, Accuracy]:
    """Return the accuracies that a row of an evaluation says, by protocol."""
    found = results_by_protocol(entry, evaluation, row)
    return {protocol: accuracy(result) for protocol, result in found.items()}


def results_by_protocol(entry: Entry, evaluation: Evaluation, row: Row) -> dict[Protocol, Result]:
    """Return everything that a row of an evaluation says, by protocol."""
    classes = tuple(entry.artefact.header.class_names)
    return {
        Protocol(result.network, evaluation.card, evaluation.data, classes): result
        for result in row.results
    }


def _same(one: Baseline, row: Row, measured: Mapping[Protocol, Accuracy]) -> bool:
    def identity(of: Row) -> tuple[object, ...]:
        return of.kind, of.name, of.images_per_class, of.bytes, of.note

    agree = all(one.accuracies.get(p, value) == value for p, value in measured.items())
    # classes differ between artefacts of one size, and the same note may stand for other data
    alike = {(p.data, p.classes) for p in measured} <= {(p.data, p.classes) for p in one.accuracies}
    return identity(one.row) == identity(row) and agree and alike
