"""Distribution matching with a pool of drawn networks beside the plain method, in turn.

    uv run python benchmarks/amortised.py cifar10

For every pool the same set is made in the same number of updates, from the same start. CPU seconds
are those of the process, so that other programs on the machine count for little: of an update that
draws a network, and of one that finds it in the pool (medians). The distance is the loss of the
plain method without augmentation, on all real images, in networks that none of the runs drew; the
accuracy that of the card.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
import tyro

import attar
from attar import compute as computing
from attar.data.sources import load_source
from attar.networks import make_for
from attar.objectives import Problem
from attar.objectives.class_means import ClassMeans, training_embedding
from attar.rng import Key
from attar.synthetic import Layout


@dataclass(frozen=True)
class Options:
    """What is run."""

    source: Annotated[str, tyro.conf.Positional] = "cifar10"
    """The images, as 'attar condense' takes them."""
    pools: tuple[str, ...] = ("0:0", "10:20", "50:20", "50:0", "200:20")
    """Pools as size:refresh; 0:0 is the plain method."""
    method: str = "lodm"
    """A method that matches distributions."""
    bytes: int = 122_880
    """Memory of the set."""
    batch: int = 0
    """Images of each class that a step reads; 0 for all."""
    batch_real: int = 256
    """Real images per class and network."""
    lr: float | None = None
    """Learning rate; the method's own where left out."""
    average: float = 0.95
    """Weight of the past in the running average."""
    init: str = "real"
    """Start."""
    network: str = "convnet3"
    """Network to match in and to evaluate with."""
    updates: int = 200
    """Of every set."""
    networks: int = 6
    """Networks that the distance is measured in."""
    card: str = "dsa-1000"
    """Evaluation card."""
    epochs: int = 100
    """Its epochs; 0 for no evaluation."""
    repeats: int = 2
    """Networks per evaluation."""
    seed: int = 0
    """Of sets and networks."""
    compile: Literal["auto", "on", "off"] = "off"
    """Whether networks are compiled."""
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    """Of the networks."""


class Times(attar.Callback):
    """Keeps the CPU seconds of every update."""

    def __init__(self) -> None:
        self.found: list[float] = []
        self._last = time.process_time()

    def stepped(self, step: int, loss: float, share: float, seconds: float) -> None:
        """Keep one more."""
        del step, loss, share, seconds
        now = time.process_time()
        self.found.append(now - self._last)
        self._last = now


def condensed(options: Options, pool: str) -> tuple[attar.Artefact, list[float]]:
    """Return a set and the CPU seconds of its updates."""
    size, refresh = map(int, pool.split(":"))
    times = Times()
    asked: dict[str, Any] = {
        name: getattr(options, name)
        for name in ("method", "lr", "init", "network", "seed", "precision")
    }
    settings = {
        "pool": size,
        "refresh": refresh,
        "batch": options.batch,
        "batch_real": options.batch_real,
    }
    made = attar.condense(
        options.source,
        **asked,
        max_bytes=options.bytes,
        torch_compile=options.compile,
        average=options.average,
        iterations=options.updates,
        settings=settings,
        validation=0,
        callback=times,
    )
    return made, times.found[1:]


class Fresh:
    """The loss of the plain method without augmentation, in networks of its own."""

    def __init__(self, options: Options) -> None:
        data = load_source(options.source).train
        network = make_for(options.network, data.shape, data.classes)
        compute = computing.choose("cpu", options.precision, options.compile)
        layout = Layout(data.classes, 1, data.shape)
        self._problem = Problem(data, network, layout, compute)
        self._means = ClassMeans(len(data), "none")
        self._keys = [Key(options.seed).fold("fresh", i) for i in range(options.networks)]
        self._real = [
            self._means.real(self._tensors(key), self._problem, key) for key in self._keys
        ]

    def _tensors(self, key: Key) -> dict[str, torch.Tensor]:
        return training_embedding(self._problem).tensors(self._problem.network.draw(key))

    def distance(self, made: attar.Artefact) -> float:
        """Return the mean over the networks."""
        per_class = len(made.images) // self._problem.data.classes
        layout = dataclasses.replace(self._problem.layout, per_class=per_class)
        problem = dataclasses.replace(self._problem, layout=layout)
        return statistics.fmean(
            float(self._means.towards(real, self._tensors(key), made.images, problem, key)[0])
            for key, real in zip(self._keys, self._real, strict=True)
        )


def accuracy(options: Options, made: attar.Artefact) -> str:
    """Return mean and deviation of the card's accuracy."""
    if not options.epochs:
        return ""
    (row,) = attar.evaluate(
        made,
        options.source,
        card=options.card,
        epochs=options.epochs,
        repeats=options.repeats,
        networks=options.network,
        seed=options.seed,
        torch_compile=options.compile,
        precision=options.precision,
    )
    found = row.results[0].accuracies
    return f"{statistics.fmean(found):.2f} ± {statistics.pstdev(found):.2f}"


def main() -> None:
    """Make every set and print a Markdown table."""
    options = tyro.cli(Options, description=__doc__)
    torch.set_num_threads(1)
    told = ", ".join(f"{name} {value}" for name, value in dataclasses.asdict(options).items())
    print(f"attar {attar.__version__}, torch {torch.__version__}, one thread: {told}\n")
    print("| pool:refresh | an update that draws | from the pool | all | distance | accuracy |")
    print("|---|---|---|---|---|---|", flush=True)
    fresh = Fresh(options)
    for pool in options.pools:
        made, seconds = condensed(options, pool)
        size = int(pool.partition(":")[0])
        drawing = statistics.median(seconds[: size or None])
        later = seconds[2 * size :] if size else []
        again = f"{statistics.median(later):.2f} s" if later else ""
        cells = (
            pool,
            f"{drawing:.2f} s",
            again,
            f"{sum(seconds):.0f} s",
            f"{fresh.distance(made):.1f}",
            accuracy(options, made),
        )
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
