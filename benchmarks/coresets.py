"""Coresets: random, herding, forgetting and k-center at several budgets, one card for all.

    uv run python benchmarks/coresets.py npz:cifar10.npz --output results/coresets

One network per seed is trained on all images and serves the three methods that look at it; what
they choose at a budget is what `attar condense --method … --ipc … --seed …` chooses under the same
--compile and --precision. Writes one JSON file per seed and per cell and goes on where it
stopped; prints the table beside the published figures.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import tyro

import attar
from attar import compute as computing
from attar.coresets import SELECTORS, Herding, StudyingSelector
from attar.data import LabelledImages
from attar.evaluation import evaluate_images
from attar.files import write_text
from attar.networks import build
from attar.published import published
from attar.rng import Key
from attar.training import card as find_card

METHODS = {"random": "real", "herding": "herding", "forgetting": "forgetting", "kcenter": "kcenter"}


@dataclass(frozen=True)
class Options:
    """What is run."""

    source: Annotated[str, tyro.conf.Positional] = "cifar10"
    """The images, as 'attar condense' takes them."""
    output: Path = Path("results/coresets")
    """Folder for choices and figures."""
    methods: tuple[str, ...] = tuple(METHODS)
    """Rows of the table."""
    budgets: tuple[int, ...] = (1, 10, 50)
    """Images per class."""
    seeds: tuple[int, ...] = (3, 3, 1)
    """Choices at each budget."""
    networks: tuple[int, ...] = (3, 3, 2)
    """Networks per choice at each budget."""
    epochs: int = 10
    """Epochs of the network that is trained on all images."""
    network: str = "convnet3"
    """That network, and those of the evaluation."""
    card: str = "dc-300"
    """Evaluation card."""
    card_epochs: int | None = None
    """Another number of epochs than the card's."""
    classes: str | None = None
    """These classes only, as 'attar condense' takes them."""
    per_class: int | None = None
    """At most this many training images of a class."""
    prepare: tuple[int, ...] = ()
    """Only choose under these seeds, so that several processes can share that work."""
    precision: str = "auto"
    """Of all networks: auto, float32 or bfloat16."""
    compile: str = "on"
    """Of all networks: on, off or auto."""


class Benchmark:
    """All cells on one data set."""

    def __init__(self, options: Options) -> None:
        self.options = options
        splits = attar.load_source(
            options.source, classes=options.classes, per_class=options.per_class
        )
        self.train: LabelledImages = splits.train
        if splits.test is None:
            raise SystemExit(f"{splits.source} has no test part")
        self.test: LabelledImages = splits.test
        channels, height, width = self.train.shape
        self.network = build(options.network, channels, (height, width), self.train.classes)
        self.compute = computing.choose(precision=options.precision, compile=options.compile)
        self.card = find_card(options.card, options.card_epochs)
        options.output.mkdir(parents=True, exist_ok=True)

    def choices(self, seed: int) -> dict[str, list[list[int]]]:
        """Return the best images of each class under every method that looks at them."""
        path = self.options.output / f"choices-{seed}.json"
        if path.exists():
            facts = json.loads(path.read_text(encoding="utf-8"))
            if facts["epochs"] != self.options.epochs:
                raise SystemExit(f"{path} is of {facts['epochs']} epochs; name another --output")
            return facts["choices"]
        key, begin = Key(seed).fold("start"), time.perf_counter()
        most, epochs = max(self.options.budgets), self.options.epochs
        study = Herding(epochs=epochs).study(
            self.train, self.network, self.compute, key, _teller(f"seed {seed}")
        )
        found = {}
        for name in METHODS.values():
            kind = SELECTORS[name]
            if issubclass(kind, StudyingSelector):
                ranks = [kind().rank(study, c, most, key) for c in range(self.train.classes)]
                found[name] = [own.tolist() for own in ranks]
        seconds = time.perf_counter() - begin
        right = study.correct.float().mean(dim=1).mul(100).tolist()
        never = int((~study.correct.any(dim=0)).sum())
        facts = {"seconds": seconds, "right": right, "never_learnt": never, "epochs": epochs}
        write_text(path, json.dumps({**facts, "choices": found}))
        _say(
            f"seed {seed}: {epochs} epochs in {seconds:.0f} s, {right[-1]:.1f} % right in the last"
        )
        return found

    def cell(self, method: str, ipc: int, seed: int, networks: int) -> list[float]:
        """Return the test accuracies of one choice, measured or read from its file."""
        path = self.options.output / f"{method}-{ipc}-{seed}.json"
        if path.exists():
            return json.loads(path.read_text(encoding="utf-8"))["accuracies"]
        if method == "random":
            kind, key = SELECTORS["real"], Key(seed).fold("start")
            chosen = kind().choose(
                self.train, [ipc] * self.train.classes, self.network, self.compute, key
            )
        else:
            chosen = [torch.tensor(own[:ipc]) for own in self.choices(seed)[METHODS[method]]]
        index = torch.cat(chosen)
        (result,) = evaluate_images(
            self.train.take(index),
            self.train.labels[index],
            self.test,
            self.card,
            dataset=self.train.name,
            networks=[self.network],
            repeats=networks,
            key=Key(seed).fold("evaluate"),
            compute=self.compute,
        )
        write_text(path, json.dumps(result.as_dict()))
        told = ", ".join(f"{accuracy:.2f}" for accuracy in result.accuracies)
        _say(f"{method} {ipc} seed {seed}: {told} ({result.seconds:.0f} s)")
        return list(result.accuracies)

    def table(self) -> list[str]:
        """Run every cell, cheapest budget first, and return the lines of the table."""
        options = self.options
        cells: dict[tuple[str, int], str] = {}
        for ipc, seeds, networks in zip(
            options.budgets, options.seeds, options.networks, strict=True
        ):
            for method in options.methods:
                found = [
                    accuracy
                    for seed in range(seeds)
                    for accuracy in self.cell(method, ipc, seed, networks)
                ]
                cells[method, ipc] = (
                    f"{statistics.fmean(found):.2f} ± {statistics.pstdev(found):.2f}"
                )
        titles = " | ".join(f"{ipc} | published" for ipc in options.budgets)
        lines = [f"| images per class | {titles} |", "|---|" + "---|---|" * len(options.budgets)]
        for method in options.methods:
            row = [
                f"{cells[method, ipc]} | {self.published(method, ipc)}" for ipc in options.budgets
            ]
            lines.append(f"| {method} | " + " | ".join(row) + " |")
        return lines

    def published(self, method: str, ipc: int) -> str:
        """Return what the papers print for a cell, or nothing."""
        found = published(self.train.name, method, ipc, self.network.name)
        return found[0].text if found else ""


def _teller(what: str):
    said = time.monotonic()

    def tell(doing: str, done: int, total: int) -> None:
        nonlocal said
        if time.monotonic() - said > 60:
            said = time.monotonic()
            _say(f"{what}: {doing}, {done} of {total}")

    return tell


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Run every cell and print a Markdown table."""
    benchmark = Benchmark(tyro.cli(Options))
    for seed in benchmark.options.prepare:
        benchmark.choices(seed)
    if not benchmark.options.prepare:
        print("\n".join(benchmark.table()))


if __name__ == "__main__":
    main()
