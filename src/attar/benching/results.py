"""What came of a suite, cell by cell, and the CSV file of it."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attar.benching.cell import ANEW, Cell
from attar.benching.cells import WHOLE, Making, Measuring
from attar.benching.entries import MethodEntry
from attar.benching.folder import Folder, read_json
from attar.benching.gaps import with_gaps
from attar.benching.making import FREE, LEARNED, Slimming
from attar.benching.suite import Suite
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
        found = [(one, document) for one in group if (document := folder.result(one))]
        figures = _published(entries.get(method), group[0], network, suite.table)
        base = Cell(dataset, method, way, budget, network, "", (), 0, len(group))
        cells += _variants(base, found, folder, tuple(failed), figures)
    return with_gaps(cells)


def _variants(
    base: Cell,
    found: Sequence[tuple[Measuring, Mapping[str, Any]]],
    folder: Folder,
    failures: tuple[tuple[str, Path], ...],
    figures: tuple[Figure, ...],
) -> list[Cell]:
    """Return the cell of the sets themselves, then those of their other rows."""
    rows: dict[str, list[tuple[Measuring, Mapping[str, Any]]]] = {"": []}
    for measuring, document in found:
        for index, row in enumerate(document["rows"]):
            rows.setdefault(_variant(row) if index else "", []).append((measuring, row))
    return [
        _cell(
            base,
            variant,
            own,
            folder,
            () if variant else failures,
            () if variant else figures,
        )
        for variant, own in rows.items()
    ]


def _variant(row: Mapping[str, Any]) -> str:
    said = ["last iterate"] if "last iterate" in row["name"] else []
    if row.get("labels") == "hard":
        said.append("hard labels")
    return ", ".join(said) or row["name"]


def _cell(
    base: Cell,
    variant: str,
    rows: Sequence[tuple[Measuring, Mapping[str, Any]]],
    folder: Folder,
    failures: tuple[tuple[str, Path], ...],
    figures: tuple[Figure, ...],
) -> Cell:
    results = [result for _, row in rows for result in row["results"]]
    accuracies = tuple(accuracy for result in results for accuracy in result["accuracies"])
    notes = [folder.note_path(one.making) for one, _ in rows if not one.whole]
    spent = [note.get("seconds") for path in notes if (note := read_json(path))]
    known = [seconds for seconds in spent if seconds is not None]
    trained = sum(result["seconds"] for result in results)

    def shared(name: str) -> Any:
        values = {row[name] for _, row in rows}
        return values.pop() if len(values) == 1 else None

    return Cell(
        base.dataset,
        base.method,
        ", ".join(filter(None, (base.variant, variant))),
        base.budget,
        base.network,
        _joined(result["card"] for result in results),
        accuracies,
        len(rows),
        base.wanted if not variant else len(rows),
        shared("images_per_class"),
        shared("bytes"),
        shared("paper_bytes"),
        statistics.fmean(known) if known else None,
        trained / len(accuracies) if accuracies else None,
        _joined(row["note"] for _, row in rows if row["note"]),
        failures,
        figures,
        epochs=_least(result.get("epochs") for result in results),
        updates=_least(result.get("updates") for result in results),
        tested=_shared_counts(results),
        balanced=_balanced(results),
    )


def _least(found: Iterable[Any]) -> Any:
    return min((one for one in found if one is not None), default=None)


def _shared_counts(results: Sequence[Mapping[str, Any]]) -> tuple[int, ...]:
    """Return the test images of each class; nothing where results do not share them."""
    found = {tuple(result.get("tested") or ()) for result in results}
    return found.pop() if len(found) == 1 else ()


def _balanced(results: Sequence[Mapping[str, Any]]) -> tuple[float, ...]:
    """Return the balanced accuracies; nothing where some were measured before there were any."""
    found = [result.get("balanced") for result in results]
    return () if None in found else tuple(v for one in found if one for v in one["values"])


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


COLUMNS: tuple[str, ...] = (
    "dataset",
    "method",
    "variant",
    "budget",
    "network",
    "card",
    "status",
    "mean",
    "std",
    "interval",
    "networks",
    "sets",
    "sets_wanted",
    "accuracies",
    "images_per_class",
    "bytes",
    "paper_bytes",
    "seconds_per_set",
    "seconds_per_network",
    "note",
    "epochs",
    "updates",
    "balanced_mean",
    "largest_class",
    "published_mean",
    "published_std",
    "published_source",
    "gap",
    "published_gap",
    "failure",
    "log",
)


def as_record(cell: Cell, root: Path) -> dict[str, Any]:
    """Return a cell as plain values, under `COLUMNS`.

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
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for cell in cells:
        record = as_record(cell, root)
        record["accuracies"] = " ".join(map(repr, cell.accuracies))
        writer.writerow({name: "" if value is None else value for name, value in record.items()})
    write_text(path, text.getvalue())
