"""What workers gain: one process of one thread and of two, beside workers of one thread each.

    uv run python benchmarks/workers.py cifar10 -o workers.json
    uv run python benchmarks/workers.py digits --ipc 1 --steps 10 --network convnet2:width=32

Steps are taken by turns, a few of each at a time, so that a load that comes and goes meets all
alike; the medians of seconds per step are compared. The machine must have nothing else to do: the
share of the cores that are busy is told beside, and what every worker does by itself: drawing the
network.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro

from attar import threads
from attar.condensing.crew import hired
from attar.condensing.divided import Divided
from attar.condensing.planning import make_plan
from attar.condensing.request import Request
from attar.data import load_source
from attar.rng import Key


@dataclass(frozen=True)
class Options:
    """What is measured.

    Args:
        source: of images.
        method: whose classes are independent.
        ipc: its memory.
        network: matched in; empty for that of the method.
        steps: timed of each, in all.
        turn: of these, taken at a time.
        workers: numbers of workers that are measured.
        output: JSON file.
    """

    source: tyro.conf.Positional[str]
    method: str = "dm"
    ipc: int = 10
    network: str = ""
    steps: int = 20
    turn: int = 4
    workers: tuple[int, ...] = (2,)
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None


def main(options: Options) -> None:
    """Measure and print."""
    splits = load_source(options.source)
    found: dict[str, list[float]] = {}
    runs: list[tuple[str, int, Any]] = []
    with contextlib.ExitStack() as stack:
        torch.set_num_threads(1)
        for count in (1, *options.workers):
            plan = make_plan(_request(options, count), splits)
            crew = stack.enter_context(hired(plan))
            run = plan.run()
            runs.append((f"{count} × 1 thread", 1, run if crew is None else Divided(run, crew)))
        runs.insert(1, ("1 × 2 threads", 2, make_plan(_request(options, 1), splits).run()))
        drawing = _drawing(runs[0][2])
        first = threads.moment()
        while min((len(one) for one in found.values()), default=0) <= options.steps:
            for name, count, run in runs:
                torch.set_num_threads(count)
                found.setdefault(name, []).extend(_timed(run) for _ in range(options.turn))
        last = threads.moment()
    # the first steps warm up
    seconds = {name: statistics.median(own[options.turn :]) for name, own in found.items()}
    alone = seconds["1 × 1 thread"]
    for name, own in seconds.items():
        print(f"{name:14} {1000 * own:9.1f} ms a step  ×{alone / own:.2f}")
    print(f"drawing the network, which every worker does: {1000 * drawing:.1f} ms")
    if first and last:
        busy = (last.busy - first.busy) / (last.at - first.at)
        print(f"cores busy meanwhile, with these: {busy:.2f} of {threads.cores()}")
    if options.output is not None:
        options.output.write_text(json.dumps({"seconds": seconds, "drawing": drawing}, indent=1))


def _request(options: Options, workers: int) -> Request:
    return Request(
        method=options.method,
        ipc=options.ipc,
        iterations=1000,
        network=options.network or None,
        validation=0,
        precision="float32",
        torch_compile="off",
        workers=workers,
    )


def _timed(run: Any) -> float:
    begin = time.perf_counter()
    run.advance()
    return time.perf_counter() - begin


def _drawing(run: Any) -> float:
    times = []
    for number in range(7):
        begin = time.perf_counter()
        run.problem.network.draw(Key(number), run.problem.compute.device)
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


if __name__ == "__main__":
    main(tyro.cli(Options))
