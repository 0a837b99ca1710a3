"""What came of a suite, cell by cell, and the CSV file of it."""

from __future__ import annotations

import csv
import dataclasses
import io
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attar.benching.cell import ANEW, LABELS, Cell
from attar.benching.cells import WHOLE, Making, Measuring
from attar.benching.entries import MethodEntry
from attar.benching.folder import Folder
from attar.benching.gaps import with_gaps
from attar.benching.making import FREE, LEARNED, Slimming
from attar.benching.measured import Measured
from attar.benching.notes import read_json
from attar.benching.suite import Suite
from attar.evaluation.results import Result
from attar.evaluation.rows import Row
from attar.files import write_text
from attar.published import Figure, published
from attar.training.by_class import largest_share

_PRINTED = {LEARNED: ":slimmed by learning", FREE: ":slimmed without learning"}


def gather(
    suite: Suite,
    folder: Folder,
    makings: Sequence[Making],
    measurings: Sequence[Measuring],
    failures: Mapping[str, str],
) -> list[Cell]:
    """Return the cells of a suite, in the order of its tables.

    Args:
        suite: at its size.
        folder: where its work lies.
        makings: all sets.
        measurings: all evaluations.
        failures: what went wrong, by key of the work.
    """
    made = {making.key: making for making in makings}
    slimmed = {making.method for making in makings if making.way}
    groups: dict[tuple[str, str, str, str, str], list[Measuring]] = {}
    for one in measurings:
        making = one.making
        anew = ANEW if making.method in slimmed else ""
        own = (making.method, making.way or anew, making.budget)
        method, way, budget = (WHOLE, "", "") if one.whole else own
        groups.setdefault((making.dataset, method, way, budget, one.network), []).append(one)
    entries = {entry.name: entry for entry in suite.methods}
    cells: list[Cell] = []
    for (dataset, method, way, budget, network), group in groups.items():
        failed = [
            (failures[work.key], folder.log_path(work))
            for one in group
            for work in (made[one.making.key], one)
            if work.key in failures
        ]
        found = [(one, measured) for one in group if (measured := folder.result(one))]
        figures = _published(entries.get(method), group[0], network, suite.table)
        base = Cell(dataset, method, way, budget, network, "", (), 0, len(group))
        cells += _variants(base, found, folder, tuple(failed), figures)
    return with_gaps(cells)


def _variants(
    base: Cell,
    found: Sequence[tuple[Measuring, Measured]],
    folder: Folder,
    failures: tuple[tuple[str, Path], ...],
    figures: tuple[Figure, ...],
) -> list[Cell]:
    """Return the cell of the sets themselves, then those of their other rows."""
    rows: dict[str, list[tuple[Measuring, Row]]] = {"": []}
    for measuring, measured in found:
        for index, row in enumerate(measured.rows):
            variant = _variant(row, measured.rows[0]) if index else ""
            rows.setdefault(variant, []).append((measuring, row))
    own, *others = (
        dataclasses.replace(
            base,
            variant=", ".join(filter(None, (base.variant, variant))),
            seconds=_seconds(folder, [measuring for measuring, _ in pairs]),
            **_figures([row for _, row in pairs]),
        )
        for variant, pairs in rows.items()
    )
    own = dataclasses.replace(own, wanted=base.wanted, failures=failures, published=figures)
    return [own, *others]


def _variant(row: Row, own: Row) -> str:
    """Return what tells a row from the set's own."""
    last = "last iterate" in row.name and "last iterate" not in own.name
    said = ["last iterate"] if last else []
    if row.labels in LABELS:
        said.append(LABELS[row.labels])
    return ", ".join(said) or row.name


def _seconds(folder: Folder, measurings: Sequence[Measuring]) -> float | None:
    """Return the mean time that the sets took, of those of which it is known."""
    notes = (read_json(folder.note_path(one.making)) for one in measurings if not one.whole)
    known = [note["seconds"] for note in notes if note and note.get("seconds") is not None]
    return statistics.fmean(known) if known else None


def _figures(rows: Sequence[Row]) -> dict[str, Any]:
    """Return the fields of a cell that its rows say, one row for each set."""
    results = [result for row in rows for result in row.results]
    accuracies = tuple(accuracy for result in results for accuracy in result.accuracies)
    trained = sum(result.seconds for result in results)
    return {
        "card": _joined(result.card for result in results),
        "accuracies": accuracies,
        "sets": len(rows),
        "wanted": len(rows),
        "images_per_class": _shared(row.images_per_class for row in rows),
        "bytes": _shared(row.bytes for row in rows),
        "paper_bytes": _shared(row.paper_bytes for row in rows),
        "evaluation_seconds": trained / len(accuracies) if accuracies else None,
        "note": _joined(row.note for row in rows if row.note),
        "epochs": min((row.epochs for row in rows if row.epochs is not None), default=None),
        "updates": min((row.updates for row in rows if row.updates is not None), default=None),
        "tested": _shared(result.tested for result in results) or (),
        "balanced": _balanced(results),
    }


def _shared(values: Iterable[Any]) -> Any:
    """Return what all values are; None where they differ, or there are none."""
    found = set(values)
    return found.pop() if len(found) == 1 else None


def _balanced(results: Sequence[Result]) -> tuple[float, ...]:
    """Return the balanced accuracies; nothing where some were measured before there were any."""
    found = [result.balanced for result in results]
    return () if None in found else tuple(v for one in found if one for v in one.values)


def _joined(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(texts))


def _published(
    entry: MethodEntry | None, measuring: Measuring, network: str, table: str | None
) -> tuple[Figure, ...]:
    """Return what was printed for a cell, in the suite's own table first.

    There is nothing for a budget in bytes. A plain number of images is what the papers call the
    same images (SI), of methods that store less than pixels.
    """
    options, dataset = measuring.making.first.options, measuring.making.dataset
    ipc, images = measuring.making.options.get("ipc"), options.get("images_per_class")
    if measuring.whole:
        found = published(dataset, WHOLE, None, network)
    elif entry is None or (ipc is None and images is None):
        return ()
    else:
        method, learned_on = _printed(entry.published, measuring.making), options.get("network")
        if method is None:
            return ()
        found = published(dataset, method, ipc or images, network, learned_on=learned_on)
    return tuple(sorted(found, key=lambda figure: figure.table != table))


def _printed(name: str, making: Making) -> str | None:
    """Return the name of what was printed of a set, with its variant; None where nothing was.

    The papers slim with the row's own method, and no variant of a method.
    """
    if isinstance(making, Slimming):
        foreign = making.learns and making.options["method"] != making.first.options["method"]
        return None if foreign or ":" in name else name + _PRINTED[making.way]
    same_images = ":" not in name and making.options.get("ipc") is None
    return f"{name}:same images" if same_images else name


def as_record(cell: Cell, root: Path) -> dict[str, Any]:
    """Return a cell as plain values, under the names of the columns of the CSV file.

    The published figure is the first one that was found; it is always of the full dataset.
    """
    figure = cell.published[0] if cell.published else None
    failure, log = cell.failures[0] if cell.failures else ("", None)
    return {
        "dataset": cell.dataset,
        "method": cell.method,
        "variant": cell.variant,
        "budget": cell.budget,
        "network": cell.network,
        "card": cell.card,
        "status": cell.status,
        "mean": cell.mean,
        "std": cell.std,
        "interval": cell.interval,
        "networks": len(cell.accuracies),
        "sets": cell.sets,
        "sets_wanted": cell.wanted,
        "accuracies": list(cell.accuracies),
        "images_per_class": cell.images_per_class,
        "bytes": cell.bytes,
        "paper_bytes": cell.paper_bytes,
        "seconds_per_set": cell.seconds,
        "seconds_per_network": cell.evaluation_seconds,
        "note": cell.note,
        "epochs": cell.epochs,
        "updates": cell.updates,
        "balanced_mean": cell.balanced_mean,
        "largest_class": largest_share(cell.tested) if cell.tested else None,
        "published_mean": figure.mean if figure else None,
        "published_std": figure.std if figure else None,
        "published_source": figure.source if figure else None,
        "gap": cell.gap,
        "published_gap": cell.published_gap,
        "failure": failure,
        "log": str(log.relative_to(root)) if log else None,
    }


def write_csv(path: Path, cells: Sequence[Cell], root: Path) -> None:
    """Write one line per cell; accuracies are separated by spaces, figures are not rounded."""
    records = [as_record(cell, root) for cell in cells]
    text = io.StringIO()
    writer = csv.DictWriter(text, records[0], lineterminator="\n")
    writer.writeheader()
    for cell, record in zip(cells, records, strict=True):
        record["accuracies"] = " ".join(map(repr, cell.accuracies))
        writer.writerow({name: "" if value is None else value for name, value in record.items()})
    write_text(path, text.getvalue())
