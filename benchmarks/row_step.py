"""Milliseconds of a step that reads few rows of many, beside an earlier Attar.

    uv run python benchmarks/row_step.py --earlier DIR/src

The set is in pixels, updated by SGD; the objective pulls the rows of each step to zero, so the
rest is the engine. Every row of the table is a process of its own, those of a round one after the
other, on the threads told; the least of the medians of the rounds is printed. ``in turn`` is the
rows of a class after class, ``same`` always the first. Three steps go before; a row that was read
once goes on to move by momentum. ``--earlier`` names the ``src`` of an earlier checkout, whose
losses have to be equal.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
import tyro

import attar
from attar.compute import Compute
from attar.data import LabelledImages, Preprocessing
from attar.networks import build
from attar.objectives import Match, Objective, Problem
from attar.rng import Key
from attar.synthetic import Layout, Pixels, Synthetic
from beside import print_result, result_of

try:
    from attar.condensing.engine import Run
    from attar.optimisers import Optimiser
except ModuleNotFoundError:
    # where they were in earlier versions
    from attar.engine import (  # pyright: ignore[reportMissingImports]
        Optimiser,
        Run,
    )

# name → rows per step, momentum, whether they take turns, whether the first step reads all
CASES: dict[str, tuple[int, float, bool, bool]] = {
    "10, the same": (10, 0.5, False, False),
    "10 in turn, from the start": (10, 0.5, True, False),
    "10 in turn, once all move": (10, 0.5, True, True),
    "10 in turn, no momentum": (10, 0.0, True, False),
    "all": (0, 0.5, False, False),
}


@dataclass(frozen=True)
class Options:
    """What is measured."""

    earlier: Path | None = None
    """The folder src of an earlier Attar."""
    classes: int = 300
    """Of ten rows each."""
    shape: tuple[int, int, int] = (3, 64, 64)
    """Of a row."""
    steps: int = 9
    """Measured in each process."""
    rounds: int = 3
    """Processes for each cell."""
    threads: int = 1
    """Of the numerical libraries."""
    cases: tuple[str, ...] = tuple(CASES)
    """Rows of the table."""
    worker: str = ""
    """Used by the benchmark itself."""


@dataclass(frozen=True)
class Pull(Objective):
    """½‖x‖² of the rows of a step, by its number."""

    name: ClassVar[str] = "pull"

    rows: int = 10
    turn: bool = True
    begin: bool = False

    def select(self, problem: Problem, state: Any, key: Key) -> torch.Tensor:
        """Return the rows of a step; all where there are 0."""
        count = len(problem.layout)
        if not self.rows or (self.begin and key.path[-1] == 0):
            return torch.arange(count)
        first = self.rows * int(key.path[-1]) if self.turn else 0
        return (torch.arange(self.rows) + first) % count

    def match(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        problem: Problem,
        state: Any,
        key: Key,
        learned: Any = None,
    ) -> Match:
        """Return the loss and its gradient."""
        return Match(images.square().sum() / 2, images)


def measure(options: Options, case: str) -> dict[str, Any]:
    """Return the median seconds of a step, and the losses."""
    rows, momentum, turn, begin = CASES[case]
    compute = Compute(torch.device("cpu"), "float32", compile=False, chunk=32)
    layout = Layout(options.classes, 10, options.shape)
    channels = options.shape[0]
    labels = torch.arange(options.classes)
    pixels = torch.zeros(options.classes, channels, 8, 8, dtype=torch.uint8)
    plain = Preprocessing((0.5,) * channels, (0.25,) * channels)
    data = LabelledImages(pixels, labels, tuple(map(str, labels.tolist())), plain, "none")
    network = build("convnet2:width=8", channels, (8, 8), options.classes)
    synthetic = Synthetic(layout, Pixels())
    synthetic.images.start_from_noise(Key(0))
    optimisers = {"images": Optimiser(0.01, momentum)}
    objective = Pull(rows, turn, begin)
    run = Run(synthetic, objective, Problem(data, network, layout, compute), optimisers, Key(0))
    losses = [run.advance() for _ in range(3)]
    found = []
    for _ in range(options.steps):
        began = time.perf_counter()
        losses.append(run.advance())
        found.append(time.perf_counter() - began)
    return {"seconds": statistics.median(found), "losses": [losses[0], losses[-1]]}


def main() -> None:
    """Measure every cell and print a Markdown table."""
    options = tyro.cli(Options)
    torch.set_num_threads(options.threads)
    if options.worker:
        print_result(measure(options, json.loads(options.worker)["case"]))
        return
    sides: dict[str, dict[str, str]] = {"now": {}}
    if options.earlier is not None:
        sides["earlier"] = {"PYTHONPATH": str(options.earlier.resolve())}
    given = ["--classes", options.classes, "--shape", *options.shape, "--steps", options.steps]
    plain = [*map(str, given), "--threads", str(options.threads)]
    told = ", ".join(f"{k} {v}" for k, v in dataclasses.asdict(options).items() if k != "worker")
    print(f"attar {attar.__version__}: {told}\n")
    print("| rows of a step | now | earlier | times as fast | losses |\n|---|---|---|---|---|")
    for case in options.cases:
        seconds: dict[str, list[float]] = {side: [] for side in sides}
        losses: set[tuple[float, ...]] = set()
        for _ in range(options.rounds):
            for side, environment in sides.items():
                job = {"case": case}
                one = result_of(__file__, job, plain, environment, options.threads)
                seconds[side].append(one["seconds"])
                losses.add(tuple(one["losses"]))
        best = {side: min(own) for side, own in seconds.items()}
        cells = [f"{1000 * best[side]:.1f} ms" if side in best else "" for side in sides]
        ratio = f"{best['earlier'] / best['now']:.1f}" if "earlier" in best else ""
        alike = "equal" if len(losses) == 1 else "DIFFER"
        print(f"| {case} | {' | '.join(cells)} | {ratio} | {alike} |", flush=True)


if __name__ == "__main__":
    main()
