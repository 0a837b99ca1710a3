"""The table that sets several sets side by side: what they are, cost and are worth."""

from __future__ import annotations

from collections.abc import Sequence

from attar.budget import format_bytes
from attar.evaluation import Result
from attar.evaluation.remarks import Trained, length, less_trained, no_better
from attar.report.comparison import NO_BREAK, balanced, bar, missing, small
from attar.report.course import last_step, minutes
from attar.report.entries import Entry
from attar.report.markup import Markup, breakable, join, table, tag
from attar.report.protocols import (
    Baseline,
    Protocol,
    baselines_of,
    best_of,
    ceilings_of,
    hard_accuracies,
    letter,
    own_accuracies,
    own_results,
    phrases,
    protocols_of,
)


def title(index: int, entry: Entry) -> str:
    """Return the sign and the name of an artefact."""
    return f"{letter(index)} · {entry.name}"


def heading(index: int, entry: Entry) -> Markup:
    """Return the same, with the sign set bold."""
    return join(tag("b", letter(index)), " ", tag("bdi", breakable(entry.name)))


def standings(entries: Sequence[Entry]) -> Markup:
    """Return the table, with the real images that were compared with below the artefacts."""
    protocols = protocols_of(entries)
    words = phrases(protocols)
    best = {protocol: best_of(entries, protocol) for protocol in protocols}
    owns = [own_accuracies(entry) for entry in entries]
    others = baselines_of(entries)
    notes = {protocol: _notes(entries, others, protocol) for protocol in protocols}
    measured = [acc for own in owns for acc in own.values()]
    measured += [acc for one in others for acc in one.accuracies.values()]
    counts = {count for _, _, count in measured}
    shared = counts.pop() if len(counts) == 1 else None
    rows: list[list[object]] = []
    for index, (entry, own) in enumerate(zip(entries, owns, strict=True)):
        totals = entry.artefact.totals
        # without any evaluation one column still says so
        cells: list[object] = [_unmeasured()] * max(1, len(protocols))
        if own:
            ceilings = ceilings_of(entry)
            marks = ["best" if best[protocol] == index else "" for protocol in protocols]
            cells = [
                bar(
                    own.get(protocol),
                    shared is None,
                    mark,
                    ceilings.get(protocol),
                    notes[protocol][index],
                )
                for protocol, mark in zip(protocols, marks, strict=True)
            ]
        rows.append(
            [
                join(heading(index, entry), small(entry.artefact.header.method)),
                join(entry.artefact.header.count, small(entry.artefact.header.stored_as)),
                format_bytes(totals.paper),
                format_bytes(totals.all),
                *cells,
                _run(entry),
            ]
        )
        hard = hard_accuracies(entry)
        if hard:
            bars = [bar(hard.get(protocol), shared is None) for protocol in protocols]
            rows.append(
                [_with_hard_labels(index, entry), *[missing("as above")] * 3, *bars, _same()]
            )
    for index, one in enumerate(others, start=len(entries)):
        accuracies = [
            bar(one.accuracies.get(protocol), shared is None, more=notes[protocol][index])
            for protocol in protocols
        ]
        rows.append([*_baseline(one, len(entries)), *accuracies, missing("no updates")])
    heads = ["Trained on", "Images per class", "Papers’ count", "Everything stored"]
    heads += [words[protocol] for protocol in protocols] or ["Accuracy"]
    heads.append("Updates")
    return tag(
        "div",
        table(heads, rows, caption=_caption(shared, bool(protocols)), numeric=(2, 3)),
        class_="scroll standings",
        tabindex=0,
        role="region",
        aria_label="Summary table",
    )


def _notes(entries: Sequence[Entry], others: Sequence[Baseline], protocol: Protocol) -> list[str]:
    """Return what is said below each accuracy of a column: artefacts first, then baselines."""
    found = [own_results(entry).get(protocol) for entry in entries]
    found += [one.results.get(protocol) for one in others]
    names = [*map(letter, range(len(entries))), *(one.row.name for one in others)]
    whole = [False] * len(entries) + [one.kind == "whole" for one in others]
    trained = [
        Trained(name, result.updates if result else None, is_whole)
        for name, result, is_whole in zip(names, found, whole, strict=True)
    ]
    return [
        "; ".join(filter(None, (balanced(result), less or _length(result), _below(result))))
        for result, less in zip(found, less_trained(trained), strict=True)
    ]


def _length(result: Result | None) -> str:
    return "" if result is None else length(result.epochs, result.updates)


def _below(result: Result | None) -> str:
    return "" if result is None else no_better(result)


def _with_hard_labels(index: int, entry: Entry) -> Markup:
    # without learnt labels, these are of a set that carries what labels it
    learnt = entry.artefact.header.learned_labels
    said = small("argmax of each label" if learnt else "the class of each image")
    return join(tag("b", letter(index)), " with hard labels", said)


def _same() -> Markup:
    return missing("as above")


def _baseline(one: Baseline, artefacts: int) -> list[object]:
    row, beside = one.row, ", ".join(letter(index) for index in one.beside)
    note = row.note if len(one.beside) == artefacts else f"beside {beside}"
    if row.note and len(one.beside) < artefacts:
        note = f"{row.note}, {note}"
    sizes = [missing("no size") if b is None else format_bytes(b) for b in _sizes(one)]
    return [join(tag("bdi", row.name), small(note)), row.count, *sizes]


def _sizes(one: Baseline) -> tuple[int | None, int | None]:
    return one.row.paper_bytes, one.row.bytes


def _run(entry: Entry) -> Markup:
    steps, time = last_step(entry.log), minutes(entry.log)
    header = entry.artefact.header
    if not max(steps, header.step):
        return missing("no updates")
    below = "time not logged" if time is None else duration(time)
    chosen = f", step {header.step:,} selected" if header.iterate == "selected" else ""
    return join(f"{max(steps, header.step):,}", small(below + chosen))


def duration(minutes: float) -> str:
    """Write a time in minutes for people."""
    if minutes < 1:
        return f"{minutes * 60:.0f}{NO_BREAK}s"
    return f"{minutes:,.1f}{NO_BREAK}min" if minutes < 10 else f"{minutes:,.0f}{NO_BREAK}min"


def _unmeasured() -> Markup:
    return tag("span", "not evaluated", class_="small")


def _caption(shared: int | None, measured: bool) -> str:
    times = (
        "Times are those of the updates, without validation, on the machine that made each set; "
        "a random set takes none."
    )
    if not measured:
        return times
    over = "n networks" if shared is None else f"{shared} networks"
    spread = "of one network" if shared == 1 else f"mean ± standard deviation over {over}"
    interval = (
        "" if shared == 1 else "Below: half the width of the mean’s 95 % confidence interval. "
    )
    return (
        f"Accuracy on real test images in percent, {spread} trained from scratch. {interval}“best” "
        "marks the highest mean of each column; it may be within the deviation of others. " + times
    )
