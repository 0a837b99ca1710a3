"""Which rank serves a low-rank method best, on held-out training images.

    uv run python benchmarks/ranks.py npz:cifar10.npz --method lortp
    uv run python benchmarks/ranks.py npz:cifar10.npz --method lohaba

Every rank has the same bytes and the same updates, from the same seed; the test images are not
looked at. A set is judged by networks trained on it under the method's own card, cut to so many
updates.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro

import attar
from attar.data import Splits, load_source
from attar.methods import usual
from attar.rng import Key

HELD_OUT = 0.2


@dataclass(frozen=True)
class Options:
    """What is run."""

    source: Annotated[str, tyro.conf.Positional] = "digits"
    """The images, as 'attar condense' takes them."""
    method: str = "lortp"
    """A method whose sets are factors."""
    ranks: tuple[str, ...] = ("1", "2", "4", "8", "auto", "auto:8")
    """What --rank is given."""
    ipc: int = 1
    """Images per class whose bytes a set takes."""
    iterations: int = 60
    """Updates of every set."""
    settings: tuple[str, ...] = ("steps=10", "batch=8", "batch_real=32")
    """Of the method."""
    per_class: int = 500
    """Images of each class, of which a fifth is held out."""
    network: str = "convnet3:width=16"
    """Network to match in and to be judged by."""
    experts: int = 2
    """Trajectories, where the method follows any, of 3 epochs each."""
    updates: int = 200
    """Of every network that judges."""
    repeats: int = 2
    """Networks that judge."""
    seed: int = 0
    """Of sets and networks."""


def main() -> None:
    """Make and judge a set of each rank, and print a Markdown table."""
    options = tyro.cli(Options, description=__doc__)
    torch.set_num_threads(1)
    whole = load_source(options.source, per_class=options.per_class).train
    train, held = whole.split(HELD_OUT, Key(options.seed).fold("held out"))
    print(f"{options}\n\n| rank | images per class | bytes | accuracy | CPU s |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for rank in options.ranks:
            begin = time.process_time()
            made = condensed(options, Splits(train, None, source=options.source), rank, folder)
            took = time.process_time() - begin
            (row,) = attar.evaluate(
                made,
                Splits(train, held, source=options.source),
                networks=options.network,
                updates=options.updates,
                repeats=options.repeats,
                seed=options.seed,
            )
            found = row.results[0].accuracies
            print(
                f"| {rank} | {made.totals.images_per_class} | {made.nbytes:,} | "
                f"{statistics.fmean(found):.1f} ± {statistics.pstdev(found):.1f} | {took:.0f} |",
                flush=True,
            )


def condensed(options: Options, data: Splits, rank: str, folder: str) -> attar.Artefact:
    """Return a set of a rank."""
    more: dict[str, Any] = {}
    if usual(options.method).objective.follows_experts:
        experts = Path(folder) / "experts"
        if not experts.exists():
            attar.train_experts(
                data, network=options.network, count=options.experts, epochs=3, output=experts
            )
        more = {"experts": experts, "zca": "none"}
    return attar.condense(
        data,
        method=options.method,
        ipc=options.ipc,
        rank=rank if rank.startswith("auto") else int(rank),
        settings=options.settings,
        network=options.network,
        iterations=options.iterations,
        validation=0,
        seed=options.seed,
        torch_compile="off",
        **more,
    )


if __name__ == "__main__":
    main()
