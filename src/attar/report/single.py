"""The page of one set: a summary, the comparison, the images, the course and the terms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from attar.artefact.artefact import Artefact
from attar.budget import FLOAT32_BYTES, format_bytes
from attar.files import write_text
from attar.methods import CODED, METHODS
from attar.report.axes import Point
from attar.report.charts import line_chart
from attar.report.classes import accuracy_by_class
from attar.report.codec import beside_codec, coded_row
from attar.report.comparison import NO_BREAK, Row, best, comparison, percent
from attar.report.course import series
from attar.report.document import command_block, page
from attar.report.entries import Entry
from attar.report.facts import dataset, protocol, provenance, settings
from attar.report.markup import Markup, join, pairs, table, tag
from attar.report.pictures import gallery
from attar.report.protocols import by_protocol, phrases, protocols_of, results_by_protocol
from attar.report.scores import scores_of_rows
from attar.report.slider import SCRIPT, before_and_after


def write_report(
    path: Path,
    artefact: Artefact,
    *,
    rows: Sequence[Row],
    log: Sequence[Mapping[str, Any]],
    title: str | None = None,
    notes: Sequence[str] = (),
    command: str | None = None,
    more: Sequence[tuple[str, Markup]] = (),
    start: Artefact | None = None,
) -> None:
    """Write one HTML file that shows a set, what it costs and how good it is.

    The file needs nothing else: no network and no other file; it runs no script but that of
    the slider between start and end, which the page is of use without.

    Args:
        path: where; replaced atomically.
        artefact: the set.
        rows: of the comparison; none leaves the table out. The first condensed one is this set.
        log: as `attar.condensing.log.read_log` returns it; none leaves the charts out.
        title: of the page; the method and the dataset by default.
        notes: paragraphs below the summary, such as how the accuracies were measured.
        command: makes the set again; None takes the one in the artefact's provenance.
        more: further sections, headings and what is below them.
        start: the set as it was when the run began, or at another step; None where not known.

    Raises:
        RunFailed: the file could not be written.
    """
    text = report_page(
        artefact,
        rows=rows,
        log=log,
        title=title,
        notes=notes,
        command=command,
        more=more,
        start=start,
    )
    write_text(path, text)


def report_page(
    artefact: Artefact,
    *,
    rows: Sequence[Row],
    log: Sequence[Mapping[str, Any]],
    title: str | None = None,
    notes: Sequence[str] = (),
    command: str | None = None,
    more: Sequence[tuple[str, Markup]] = (),
    start: Artefact | None = None,
) -> str:
    """Return the page that `write_report` writes, which says what is in it."""
    command = command or artefact.header.provenance.get("command")
    moved = before_and_after(start, artefact)
    return page(
        title or f"{artefact.header.method} on {dataset(artefact)}",
        kicker="condensed set",
        lead=_summary(artefact, rows),
        notes=notes,
        sections=[
            ("Comparison", comparison(rows) if rows else Markup("")),
            ("Accuracy by class", accuracy_by_class(rows, artefact.header.class_names)),
            ("Robust scores", scores_of_rows(rows)),
            ("Images", gallery(artefact)),
            ("From start to end", moved),
            ("Course of the run", _course(artefact, log)),
            *more,
            ("Budget", _budget(artefact)),
            ("Protocol", protocol(artefact)),
            ("Settings", settings(artefact)),
            ("Provenance", provenance(artefact)),
            ("Make it again", command_block(command) if command else Markup("")),
        ],
        script=SCRIPT if moved else "",
    )


def write_entry(
    path: Path,
    entry: Entry,
    *,
    title: str | None = None,
    more: Sequence[tuple[str, Markup]] = (),
) -> None:
    """Write the page of one artefact with everything that was measured of it.

    Args:
        path: where; replaced atomically.
        entry: the artefact.
        title: of the page.
        more: further sections, headings and what is below them.

    Raises:
        RunFailed: the file could not be written.
    """
    own = protocols_of([entry])
    measured = [
        protocol
        for evaluation in entry.evaluations
        for row in evaluation.rows
        for protocol in by_protocol(entry, evaluation, row)
    ]
    protocols = list(dict.fromkeys([*own, *measured]))
    words = phrases(protocols)
    found: dict[tuple[str, str], Row] = {}
    for evaluation in entry.evaluations:
        for row, line in zip(evaluation.rows, Row.of_all(evaluation.rows), strict=True):
            accuracies, results = (
                {words[protocol]: value for protocol, value in found.items()}
                for found in (
                    by_protocol(entry, evaluation, row),
                    results_by_protocol(entry, evaluation, row),
                )
            )
            before = found.get((row.kind, row.name), line)
            merged = accuracies if before is line else {**before.accuracies, **accuracies}
            if before is not line:
                results = {**before.results, **results}
            notes = dict.fromkeys(filter(None, (before.note, line.note)))
            lengths = dict.fromkeys(filter(None, (before.length, line.length)))
            found[row.kind, row.name] = replace(
                line,
                accuracies=merged,
                note=", ".join(notes),
                length="; ".join(lengths),
                remarks=tuple(dict.fromkeys((*before.remarks, *line.remarks))),
                results=results,
                scores=line.scores if before is line else before.scores + line.scores,
            )
    cards = dict.fromkeys(evaluation.card for evaluation in entry.evaluations)
    many = "s" if len(cards) > 1 else ""
    notes = [f"Evaluation card{many}: {', '.join(cards)}."] if cards else []
    if entry.remark:
        notes = [f"{entry.remark[0].upper()}{entry.remark[1:]}. This does it: {entry.command}"]
    write_report(
        path,
        entry.artefact,
        rows=list(found.values()),
        log=entry.log,
        title=title,
        notes=notes,
        more=more,
        start=entry.start,
    )


def _summary(artefact: Artefact, rows: Sequence[Row]) -> Markup:
    """Say in one sentence what the set is and what it is worth."""
    header = artefact.header
    images = "image" if header.images_per_class == 1 else "images"
    text = join(
        f"{dataset(artefact)} in ",
        tag("strong", f"{header.count} {images} per class".replace(" ", NO_BREAK)),
        f" for {len(header.class_names):,} classes and ",
        tag("strong", format_bytes(artefact.totals.all).replace(" ", NO_BREAK)),
        f", {_made_by(header.method)}",
    )
    measured = [row for row in rows if row.accuracies]
    own = next((row for row in measured if row.role == "condensed"), None)
    if own is None and header.method == "random":
        own = next((row for row in measured if row.role == "random"), None)
    return join(text, "." if own is None else _worth(own, rows))


def _made_by(method: str) -> str:
    if method == "random":
        return "drawn at random"
    if method == CODED:
        return "drawn at random and kept in a picture codec"
    chosen = method in METHODS and METHODS[method].coreset
    return f"{'chosen' if chosen else 'condensed'} by {method}"


def _worth(own: Row, rows: Sequence[Row]) -> Markup:
    network = next(iter(own.accuracies))
    against = [
        f"{percent(row.accuracies[network])} {what}"
        for row, what in (
            (best(rows, "random", network), "for random real images"),
            (best(rows, "whole", network), "for the whole training set"),
        )
        if row is not None and row is not own
    ]
    return join(
        f": a {network} trained on it reaches ",
        tag("strong", percent(own.accuracies[network])),
        f" on the test images, against {' and '.join(against)}." if against else " on test images.",
        beside_codec(own.accuracies[network], coded_row(rows, network)),
    )


def _course(artefact: Artefact, log: Sequence[Mapping[str, Any]]) -> Markup:
    header = artefact.header
    charts = []
    losses, validations = series(log, "loss"), series(log, "validation")
    if losses:
        charts.append(line_chart(losses, name="Loss", label="loss", kind="loss"))
    if validations:
        chosen = header.step if header.iterate == "selected" else None
        charts.append(
            line_chart(
                validations,
                name="Validation accuracy",
                label="accuracy in %",
                kind="validation",
                caption=_validation_caption(validations, chosen),
                marked=chosen,
            )
        )
    return tag("div", *charts, class_="charts") if charts else Markup("")


def _validation_caption(points: Sequence[Point], chosen: int | None) -> str:
    step, value = max(points, key=lambda point: point[1])
    text = f"on held-out training images: at best {value:.1f} % at step {step:,.0f}."
    return text if chosen is None else f"{text} The set is that of step {chosen:,} (ringed)."


def _budget(artefact: Artefact) -> Markup:
    header, totals, ledger = artefact.header, artefact.totals, artefact.ledger
    full = math.prod(header.shape) * FLOAT32_BYTES * len(header.class_names)
    three = [
        ("images per class", header.count),
        ("stored values", f"{totals.values:,}"),
        ("bytes in all", f"{totals.all:,}"),
    ]
    counts = [
        ("The papers’ count", f"{_exact(totals.paper)}: images or their factors"),
        ("Everything stored", f"{_exact(totals.all)}: all that is needed to use the set"),
        ("In full images", f"{totals.paper / full:,.2f} float32 images per class"),
        ("Limit", _limit(totals.limit, totals.count)),
    ]
    if totals.unused is not None:
        counts.append(("Unused", _exact(totals.unused)))
    entries = [
        [
            tag("code", entry.name),
            " × ".join(map(str, entry.shape)),
            entry.dtype,
            f"{entry.bytes:,}",
            "yes" if entry.paper else "no",
            entry.why,
        ]
        for entry in ledger.entries
    ]
    return join(
        pairs(three, class_="three"),
        pairs(counts, class_="pairs"),
        table(
            ["Tensor", "Shape", "Type", "Bytes", "In the papers’ count", "What for"],
            entries,
            caption="The ledger: every stored tensor.",
            numeric=(3,),
        ),
    )


def _exact(size: int) -> str:
    rounded = f" ({format_bytes(size)})" if size >= 10_000 else ""
    return f"{size:,} bytes{rounded}"


def _limit(limit: int | None, count: str) -> str:
    if limit is None:
        return "none in bytes; a number of images was asked for"
    counted = "everything stored" if count == "all" else "the papers’ count"
    return f"{_exact(limit)} for {counted}"
