"""Shapes of latent codes and decoders (KFS) at equal bytes and steps, beside LoDM.

    uv run python benchmarks/decoded_shapes.py npz:cifar10.npz --output results/decoded_shapes

Every shape is condensed by method kfs with its own settings but for those below, and LoDM by
method lodm with its own, all with the same seed, real images, network and number of updates; then
evaluated with one card. A shape is written as decoders-channels-upsamplings-hidden. Writes one
artefact and one JSON file per row and goes on where it stopped; prints the settings and a table.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

import attar
from attar.files import write_text

SHAPES = (
    "4-3-2-11",
    "4-3-2-9",
    "8-3-2-6",
    "8-3-2-9",
    "16-3-2-5",
    "4-2-2-10",
    "4-6-2-9",
    "4-8-3-9",
    "4-12-3-8",
    "8-6-3-6",
    "4-1-1-16",
    "4-3-1-16",
)
FIELDS = ("decoders", "channels", "upsamplings", "hidden")


@dataclass(frozen=True)
class Options:
    """What is run."""

    source: Annotated[str, tyro.conf.Positional] = "cifar10"
    """The images, as 'attar condense' takes them."""
    output: Path = Path("results/decoded_shapes")
    """Folder for artefacts and figures."""
    shapes: tuple[str, ...] = SHAPES
    """Shapes: decoders-channels-upsamplings-hidden; 'kfs' for the method's own."""
    lr: tuple[float, ...] = ()
    """Learning rates of the codes tried for every shape; the method's own where left out."""
    ipc: int = 1
    """Memory in full images per class."""
    per_class: int = 500
    """Real images per class."""
    network: str = "convnet3:width=32"
    """Network to match in and to evaluate with."""
    steps: int = 200
    """Updates of every set."""
    batch_real: int = 64
    """Real images per class and update."""
    card: str = "dsa-1000"
    """Evaluation card."""
    epochs: int = 100
    """Its epochs, for every row alike."""
    lodm_epochs: int = 1000
    """LoDM is evaluated with so many as well: with fewer images an epoch has fewer updates."""
    repeats: int = 2
    """Networks per set."""
    seed: int = 0
    """Of sets and networks."""
    compile: str = "auto"
    """auto, on or off."""
    precision: str = "auto"
    """auto, float32 or bfloat16."""


def condensing(options: Options, method: str, shape: str, lr: float | None) -> dict[str, Any]:
    """Return the options of `attar.condense` for one row."""
    settings = [f"batch_real={options.batch_real}"]
    if shape not in ("", "kfs"):
        settings += [f"{name}={n}" for name, n in zip(FIELDS, shape.split("-"), strict=True)]
    return {
        "method": method,
        "settings": tuple(settings),
        "lr": lr,
        "ipc": options.ipc,
        "network": options.network,
        "iterations": options.steps,
        "seed": options.seed,
        "per_class": options.per_class,
        "torch_compile": options.compile,
        "precision": options.precision,
        "validation": 0,
    }


def row(options: Options, label: str, method: str, shape: str, **chosen: Any) -> dict[str, Any]:
    """Return the figures of one row, measured or read from its file."""
    asked = condensing(options, method, shape, chosen.get("lr"))
    testing = {
        "card": options.card,
        "epochs": chosen.get("epochs", options.epochs),
        "repeats": options.repeats,
    }
    # a file is named by all that its figures depend on
    made_of = hashlib.blake2b(
        json.dumps([options.source, asked], sort_keys=True).encode(), digest_size=6
    ).hexdigest()
    target = options.output / f"{method}-{made_of}.safetensors"
    path = target.with_name(f"{target.stem}-{testing['epochs']}x{options.repeats}.json")
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    began = time.perf_counter()
    artefact = (
        attar.load(target)
        if target.exists()
        else attar.condense(options.source, **asked, output=target, resume=True)
    )
    seconds = time.perf_counter() - began
    (found,) = attar.evaluate(
        artefact,
        seed=options.seed,
        torch_compile=options.compile,
        precision=options.precision,
        **testing,
    )
    (result,) = found.results
    facts = {
        "label": label,
        "form": artefact.header.parametrization,
        "images": artefact.header.images_per_class,
        "bytes": found.paper_bytes,
        "limit": artefact.header.budget["limit"],
        "accuracies": list(result.accuracies),
        "seconds": seconds,
        "asked": {**asked, **testing},
        "settings": artefact.header.settings,
    }
    write_text(path, json.dumps(facts, default=str))
    return facts


def line(facts: dict[str, Any], epochs: int) -> str:
    """Return one line of the table."""
    found = facts["accuracies"]
    cells = (
        facts["label"],
        str(facts["images"]),
        f"{100 * facts['bytes'] / facts['limit']:.1f} %",
        str(epochs),
        f"{statistics.fmean(found):.2f} ± {statistics.pstdev(found):.2f}",
        f"{facts['seconds']:.0f}",
    )
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Run every row and print a Markdown table."""
    options = tyro.cli(Options)
    told = ", ".join(f"{name} {value}" for name, value in asdict(options).items())
    print(f"attar {attar.__version__}: {told}\n")
    print("| form | images per class | memory used | epochs | accuracy | seconds |")
    print("|---|---|---|---|---|---|", flush=True)
    print(line(row(options, "LoDM", "lodm", ""), options.epochs), flush=True)
    for shape in options.shapes:
        for lr in options.lr or (None,):
            label = f"KFS {shape}" + ("" if lr is None else f", lr {lr:g}")
            print(line(row(options, label, "kfs", shape, lr=lr), options.epochs), flush=True)
    longer = options.lodm_epochs
    print(line(row(options, "LoDM", "lodm", "", epochs=longer), longer), flush=True)


if __name__ == "__main__":
    main()
