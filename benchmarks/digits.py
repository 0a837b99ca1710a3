"""Digits: LoDM and DM beside random real images of the same bytes, at several budgets and seeds.

    uv run python benchmarks/digits.py --output results/digits

Writes one artefact and one JSON file per cell and goes on where it stopped; prints the table.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from pathlib import Path

import tyro

import attar
from attar.files import write_text


@dataclass(frozen=True)
class Options:
    """What is run."""

    output: Path = Path("results/digits")
    """Folder for artefacts and figures."""
    budgets: tuple[int, ...] = (1, 5, 10)
    """Memory in full images per class."""
    seeds: int = 5
    """Condensed sets per cell."""
    networks: int = 3
    """Networks per condensed set."""
    iterations: int = 1000
    """Updates of every condensed set."""
    batch_real: int = 64
    """Real images per class and update."""
    epochs: int = 300
    """Epochs of every evaluation (card dsa-1000, shortened alike for every row)."""


METHODS = ("random", "dm", "lodm")


def cell(options: Options, method: str, ipc: int, seed: int) -> list[float]:
    """Return the test accuracies of one condensed set, measured or read from its file."""
    path = options.output / f"{method}-{ipc}-{seed}.json"
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))["accuracies"]
    target = path.with_suffix(".safetensors")
    artefact = attar.condense(
        "digits",
        method=method,
        ipc=ipc,
        seed=seed,
        iterations=0 if method == "random" else options.iterations,
        settings=(f"batch_real={options.batch_real}",),
        validation=0,
        output=target,
        resume=True,
    )
    (row,) = attar.evaluate(
        artefact, repeats=options.networks, epochs=options.epochs, seed=seed, card="dsa-1000"
    )
    (result,) = row.results
    facts = {"accuracies": result.accuracies, "bytes": row.paper_bytes, "card": result.card}
    write_text(path, json.dumps(facts))
    return list(result.accuracies)


def main() -> None:
    """Run every cell and print a Markdown table."""
    options = tyro.cli(Options)
    print("| ipc | " + " | ".join(METHODS) + " |")
    print("|---|" + "---|" * len(METHODS))
    for ipc in options.budgets:
        cells = []
        for method in METHODS:
            found = [
                accuracy
                for seed in range(options.seeds)
                for accuracy in cell(options, method, ipc, seed)
            ]
            cells.append(f"{statistics.fmean(found):.2f} ± {statistics.pstdev(found):.2f}")
        print(f"| {ipc} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
