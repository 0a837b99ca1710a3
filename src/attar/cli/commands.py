"""What each command does with the library."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table

from attar.errors import BadRequest
from attar.files import check_writable
from attar.memory import keep_memory

if TYPE_CHECKING:
    from attar.artefact import Artefact
    from attar.cli.options import Condense, Evaluate, Export, Show
    from attar.evaluation.comparison import Row

out = Console()
err = Console(stderr=True)


def condense(options: Condense) -> None:
    """Run `attar condense`."""
    if options.request.output is None:
        raise BadRequest("-o is missing: name the file to write, such as -o set.safetensors")
    if options.report is not None:
        check_writable(options.report, "--report", "report.html")
    keep_memory()
    from attar.cli import reporting
    from attar.cli.progress import ProgressBar
    from attar.condensing import carry_out

    bar = ProgressBar(err)
    try:
        artefact = carry_out(
            options.request,
            options.source,
            bar,
            data_dir=options.data_dir,
            resize=options.resize,
            classes=options.classes,
            per_class=options.per_class,
        )
    finally:
        bar.stop()
    if options.report is not None:
        reporting.write_one(options.report, options.request.output, artefact, [])
    if options.json:
        print_json({"path": str(options.request.output), **card_facts(artefact)})
    else:
        print_card(artefact, options.request.output)


def evaluate(options: Evaluate) -> None:
    """Run `attar evaluate`."""
    if options.report is not None:
        check_writable(options.report, "--report", "report.html")
    keep_memory()
    from attar.artefact import load
    from attar.cli import reporting
    from attar.evaluation.comparison import evaluate as measure
    from attar.evaluation.record import digest

    artefact = load(options.artefact)
    sha256 = digest(options.artefact)
    networks = [name for name in _split_networks(options.networks) if name]
    with err.status("reading the data") as status:
        rows = measure(
            options.artefact,
            options.data,
            networks=networks or None,
            repeats=options.repeats,
            card=options.card,
            epochs=options.epochs,
            baselines=options.baselines,
            seed=options.seed,
            device=options.device,
            precision=options.precision,
            compile=options.compile,
            vectorized=options.vectorized,
            progress=teller(status, options.repeats),
            data_dir=options.data_dir,
            resize=options.resize,
            classes=options.classes,
            per_class=options.per_class,
            watch=watcher(status),
        )
    data = options.data or str(artefact.card.provenance.get("source"))
    evaluation = reporting.keep(options.artefact, sha256, data, rows)
    if options.report is not None:
        reporting.write_one(options.report, options.artefact, artefact, rows)
    if options.json:
        path = str(options.artefact)
        print_json({"path": path, "sha256": sha256, **evaluation.as_dict()})
    else:
        print_rows(rows)


def watcher(status: Status) -> Callable[[str, int, int], None]:
    """Return what shows how far the reading of images is."""

    def watch(what: str, done: int, total: int) -> None:
        status.update(f"{escape(what)}: {done} of {total}")

    return watch


def teller(status: Status, repeats: int) -> Callable[[str, str, int, float | None], None]:
    """Return what shows the network in training, and prints the accuracy of each."""

    def tell(row: str, network: str, repeat: int, accuracy: float | None) -> None:
        what = f"{row}: {network}, {repeat} of {repeats}"
        if accuracy is None:
            status.update(escape(what))
        else:
            err.print(f"{escape(what)}: {accuracy:.2f} %", highlight=False, soft_wrap=True)

    return tell


def _split_networks(text: str) -> list[str]:
    """Split at commas that begin a new network, not at those between its options."""
    names: list[str] = []
    for part in text.split(","):
        if names and "=" in part and ":" not in part:
            names[-1] += "," + part
        else:
            names.append(part.strip())
    return names


def show(options: Show) -> None:
    """Run `attar show`."""
    from attar.artefact import load

    artefact = load(options.artefact)
    if options.json:
        print_json({"path": str(options.artefact), **card_facts(artefact)})
    else:
        print_card(artefact, options.artefact)


def export(options: Export) -> None:
    """Run `attar export`."""
    if (options.png is None) == (options.npz is None):
        raise BadRequest("give one of --png DIR and --npz FILE")
    if options.npz is not None:
        check_writable(options.npz, "--npz", "images.npz")
    from attar.artefact import load
    from attar.exporting import export_npz, export_png

    artefact = load(options.artefact)
    if options.png is not None:
        count = export_png(artefact, options.png)
        out.print(f"{count} images in {options.png}", highlight=False)
    elif options.npz is not None:
        export_npz(artefact, options.npz)
        out.print(f"{len(artefact)} images in {options.npz}", highlight=False)


def methods(as_json: bool) -> None:
    """Run `attar methods`."""
    from attar.recipes import METHODS

    rows = [(m.name, m.summary, m.paper) for m in METHODS.values()]
    print_listing(as_json, "methods", ("name", "summary", "paper"), rows)


def sources(as_json: bool) -> None:
    """Run `attar sources`."""
    from attar.data.sources import source_rows

    print_listing(as_json, "sources", ("source", "summary"), source_rows())


def cards(as_json: bool) -> None:
    """Run `attar cards`."""
    from attar.evaluation.cards import CARDS

    rows = [(card.name, card.summary) for card in CARDS.values()]
    print_listing(as_json, "cards", ("name", "summary"), rows)


def print_listing(
    as_json: bool, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]
) -> None:
    """Print rows as a plain table or as one JSON object."""
    if as_json:
        print_json({title: [dict(zip(columns, row, strict=True)) for row in rows]})
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    out.print(table, highlight=False)


def print_json(value: Any) -> None:
    """Print one JSON object and nothing else."""
    import sys

    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def card_facts(artefact: Artefact) -> dict[str, Any]:
    """Return the card of an artefact with its sizes."""
    totals = artefact.totals
    sizes = {
        "images_per_class": totals.images_per_class,
        "values": totals.values,
        "paper_bytes": totals.paper,
        "all_bytes": totals.all,
        "limit_bytes": totals.limit,
        "unused_bytes": totals.unused,
        "tensors": artefact.ledger.as_rows(),
    }
    return {"card": artefact.card.model_dump(mode="json"), "sizes": sizes}


def print_card(artefact: Artefact, path: Path) -> None:
    """Print an artefact's card for people."""
    card, totals = artefact.card, artefact.totals
    table = Table(box=None, show_header=False, pad_edge=False)
    shape = "×".join(map(str, card.shape))
    unused = "" if totals.unused is None else f"; {totals.unused} B of {totals.limit} B unused"
    held = "" if card.validation is None else f", {card.validation:.1f} % on held-out images"
    storage = ", ".join(
        f"{key} {value}" for key, value in card.parametrization.items() if key != "base"
    )
    for name, value in (
        ("method", f"{card.method} (seed {card.seed})"),
        ("data", f"{card.provenance.get('source', '?')}, zca {card.zca}"),
        ("classes", f"{len(card.class_names)}: {', '.join(card.class_names[:10])}"),
        ("images", f"{totals.images_per_class} per class of {shape}"),
        ("stored", f"{storage}, {card.storage}, {totals.values} values"),
        ("bytes", f"{totals.paper} (paper), {totals.all} (all){unused}"),
        ("file", f"{path.stat().st_size} B with its header"),
        ("iterate", f"{card.iterate}, step {card.step}{held}"),
        ("made by", str(card.provenance.get("command", "?"))),
    ):
        table.add_row(f"[bold]{name}[/bold]", escape(value))
    out.print(table, highlight=False)


def print_rows(rows: Sequence[Row]) -> None:
    """Print evaluation rows as a table."""
    first = rows[0].results[0]
    how = f"{first.compute['device']}, {first.compute['precision']}"
    how += ", compiled" if first.compute["compile"] else ", not compiled"
    table = Table(title=f"test accuracy in %, mean ± std over networks, {first.card}", caption=how)
    table.add_column("training set")
    table.add_column("per class", justify="right")
    table.add_column("paper B", justify="right")
    table.add_column("all B", justify="right")
    for result in rows[0].results:
        table.add_column(f"{result.network} ×{len(result.accuracies)}", justify="right")
    for row in rows:
        name = f"{row.name} ({row.note})" if row.note else row.name
        cells = [
            row.count,
            *("" if size is None else str(size) for size in (row.paper_bytes, row.bytes)),
        ]
        figures = [f"{result.mean:.2f} ± {result.std:.2f}" for result in row.results]
        table.add_row(escape(name), *cells, *figures)
    out.print(table, highlight=False)
