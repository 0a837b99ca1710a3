"""ESP's losses one by one and together (its paper's Table 4), at equal updates.

    uv run attar experts npz:cifar10.npz --count 20 --epochs 7 -o experts
    uv run python benchmarks/subspace_ablation.py npz:cifar10.npz --experts experts

Every row follows the same experts, segments and real images, and its student moves by projected
gradients; only the weights of the two losses differ. Writes one artefact and one JSON file per
cell and goes on where it stopped; prints accuracies as mean ± standard deviation over networks.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

import attar
from attar.files import write_text

ROWS: dict[str, tuple[str, ...]] = {
    "Proj": ("matching=0",),
    "DM": ("projection=0",),
    "Proj + DM": (),
}
# options that no cell depends on
_FREE = ("output", "budgets", "seeds")


@dataclass(frozen=True)
class Options:
    """What is run."""

    source: Annotated[str, tyro.conf.Positional]
    """The images, as 'attar condense' takes them."""
    experts: Path
    """Folder of 'attar experts'."""
    output: Path = Path("results/subspace_ablation")
    """Folder for artefacts and figures; one for each choice of the other options."""
    budgets: tuple[int, ...] = (1, 10)
    """Memory in full images per class."""
    seeds: int = 1
    """Condensed sets per cell."""
    networks: int = 3
    """Networks per condensed set."""
    iterations: int = 2000
    """Updates of every condensed set."""
    network: str | None = None
    """That of the experts, where it is not the published one."""
    set: tuple[str, ...] = ()
    """More settings of all rows, such as norm=l2 span=differences batch_real=64."""
    epochs: int | None = None
    """Another number of epochs than the card's, for every row."""
    classes: str | None = None
    """These classes only, as 'attar condense' takes them."""
    per_class: int | None = None
    """At most this many training images of a class."""


def cell(options: Options, row: str, ipc: int, seed: int) -> dict[str, Any]:
    """Return the facts of one condensed set, measured or read from its file."""
    name = row.lower().replace(" + ", "-")
    path = options.output / f"{name}-{ipc}-{seed}.json"
    choice = {name: str(value) for name, value in asdict(options).items() if name not in _FREE}
    if path.exists():
        facts = json.loads(path.read_text(encoding="utf-8"))
        if facts["options"] != choice:
            sys.exit(f"{path} was made with {facts['options']}; give another --output")
        return facts
    reading = {"classes": options.classes, "per_class": options.per_class}
    begun = time.perf_counter()
    artefact = attar.condense(
        options.source,
        method="esp",
        ipc=ipc,
        seed=seed,
        iterations=options.iterations,
        experts=options.experts,
        network=options.network,
        settings=(*options.set, *ROWS[row]),
        validation=0,
        output=path.with_suffix(".safetensors"),
        resume=True,
        **reading,
    )
    seconds = time.perf_counter() - begun
    (result,) = attar.evaluate(
        artefact,
        options.source,
        repeats=options.networks,
        epochs=options.epochs,
        seed=seed,
        **reading,
    )[0].results
    facts = {
        "accuracies": list(result.accuracies),
        "card": result.card,
        "seconds": round(seconds, 1),
        "options": choice,
        "version": attar.__version__,
    }
    write_text(path, json.dumps(facts, indent=1))
    return facts


def main() -> None:
    """Run every cell and print a Markdown table."""
    options = tyro.cli(Options)
    options.output.mkdir(parents=True, exist_ok=True)
    print("| loss | " + " | ".join(f"ipc {ipc}" for ipc in options.budgets) + " |")
    print("|---|" + "---|" * len(options.budgets))
    for row in ROWS:
        cells = []
        for ipc in options.budgets:
            found = [
                accuracy
                for seed in range(options.seeds)
                for accuracy in cell(options, row, ipc, seed)["accuracies"]
            ]
            cells.append(f"{statistics.fmean(found):.1f} ± {statistics.pstdev(found):.1f}")
        print(f"| {row} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
