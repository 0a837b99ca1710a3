"""`attar experts`: networks trained on real data, their parameters kept after every epoch."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from attar import threads
from attar.cli.console import PLAIN, err, out, print_json
from attar.cli.reading import Reading, Source, reading_options
from attar.errors import BadRequest
from attar.experts.request import ExpertsRequest
from attar.text import counted

if TYPE_CHECKING:
    from attar.experts.store import ExpertStore


@dataclass(frozen=True)
class Experts:
    """Train networks on real images and keep their parameters after every epoch, for methods
    that follow them, such as mtt and esp."""

    source: Source
    """digits, cifar10, …, folder:DIR, csv:FILE, npz:FILE, hf:NAME or wds:SHARDS; 'attar
    sources' lists them."""
    reading: Annotated[Reading, tyro.conf.arg(name="")]
    request: Annotated[ExpertsRequest, tyro.conf.arg(name="")]
    json: bool = False
    """Print one JSON object about the experts."""

    def run(self) -> None:
        """Carry it out."""
        train(self)


def train(options: Experts) -> None:
    """Run `attar experts`."""
    request = options.request
    if request.output is None:
        raise BadRequest("-o is missing: name the folder for the experts, such as -o experts")
    err.print(f"attar experts: reading {options.source}", **PLAIN)
    from attar.cli.experts_progress import ExpertBar
    from attar.experts.making import carry_out

    chosen = threads.use()
    if chosen.why and request.jobs in (None, 1):
        err.print(f"compute: {chosen}", highlight=False, soft_wrap=True)
    began, bar = time.perf_counter(), ExpertBar(err)
    try:
        store = carry_out(
            request,
            options.source,
            bar,
            **reading_options(options.reading),
        )
    finally:
        bar.stop()
    facts = _facts(store, request.output, bar.trained, time.perf_counter() - began)
    if options.json:
        print_json(facts)
    else:
        for line in _lines(facts):
            out.print(line, highlight=False, soft_wrap=True)


def _facts(store: ExpertStore, folder: Path, trained: int, seconds: float) -> dict[str, Any]:
    """Return what is in the folder now."""
    accuracies = store.accuracies()
    return {
        "path": str(folder),
        "experts": store.count,
        "trained": trained,
        "epochs": store.epochs,
        "network": store.header.network,
        "parameters": store.values,
        "storage": store.header.storage,
        "bytes": store.bytes,
        "checked": store.checked,
        "accuracy": statistics.fmean(accuracies) if accuracies else None,
        "accuracies": accuracies,
        "seconds": round(seconds, 3),
        "command": store.header.provenance.get("command"),
    }


def _lines(facts: dict[str, Any]) -> list[str]:
    """Return the facts for people."""
    from attar.budget import format_bytes
    from attar.text import duration

    accuracies = facts["accuracies"]
    measured = ""
    if accuracies:
        spread = statistics.pstdev(accuracies)
        measured = (
            f"accuracy at the end: {facts['accuracy']:.1f} ± {spread:.1f} % on training images"
        )
    lines = [
        f"{facts['path']}: {counted(facts['experts'], 'expert')} of {facts['network']}, "
        f"{facts['epochs']} epochs each",
        f"parameters: {facts['parameters']}, stored as {facts['storage']}, "
        f"{format_bytes(facts['bytes'])} in all"
        + ("" if facts["checked"] else "; some without checksums, being of an older Attar"),
        measured,
        f"trained now: {facts['trained']} in {duration(facts['seconds'])}",
    ]
    return [line for line in lines if line]
