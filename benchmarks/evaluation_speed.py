"""Networks trained and tested per minute, beside the evaluation loop of the DC and DSA authors.

    uv run python benchmarks/evaluation_speed.py --dc DIR --source npz:cifar10.npz --epochs 30

``--dc`` is a clone of VICO-UoE/DatasetCondensation; its ``evaluate_synset`` is called as it is, on
data kept in memory. Every variant trains ConvNet-3 on the same real images (10 of every class)
in a process of its own, in turn, several rounds, each on ``--threads`` threads. One epoch and
one test before the clock starts make what is compiled; what they take is a column of its own.

Networks per minute are those at the epochs that were run. The last column is for the card's own
epochs, from the same seconds per epoch and per test. Accuracies are percent on the test images,
mean ± population standard deviation over all networks of a variant. On a machine that others use
too, compare the CPU time of one thread: time on the wall then says more of the others.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from beside import arguments_of, print_result, profiled, restore_old_scipy, result_of

AUTHORS = "authors' evaluate_synset"
# name → precision and compilation of ours
OURS = {
    "ours, eager float32": ("float32", "off"),
    "ours, compiled float32": ("float32", "on"),
    "ours, compiled bfloat16 (default)": ("bfloat16", "on"),
}
# what a row of an earlier Attar is called behind the name
EARLIER = ", earlier"
DSA = "color_crop_cutout_flip_scale_rotate"


@dataclass(frozen=True)
class Options:
    """What is run."""

    source: str
    """Real images, as attar condense takes them."""
    dc: Path | None = None
    """Clone of the DC and DSA authors' repository; only ours where left out."""
    earlier: Path | None = None
    """Checkout of an earlier Attar, which is measured beside this one."""
    card: tuple[str, ...] = ("dsa-1000", "dc-300")
    """Evaluation cards: dsa-1000 or dc-300."""
    per_class: int = 10
    """Images of every class to train on."""
    epochs: int = 30
    """Epochs of every network; one more is run, as the authors do."""
    networks: int = 2
    """Networks per process."""
    rounds: int = 2
    """Processes per variant."""
    threads: int = 1
    """Threads of every process."""
    test: int = 10_000
    """Images to test on."""
    variants: tuple[str, ...] = (AUTHORS, *OURS)
    """Rows of the table."""
    profile: bool = False
    """Also say where the time of ours goes, by kind of operation."""
    output: Path = Path("results/evaluation-speed.json")
    """Where all times go."""
    worker: str = ""
    """For internal use: the variant that this process measures, as JSON."""


class Clock:
    """Seconds spent on named parts: on the wall, and of the processor (``… cpu``)."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the seconds inside the block to a part."""
        wall, own = time.perf_counter(), time.process_time()
        yield
        ends = {name: time.perf_counter() - wall, f"{name} cpu": time.process_time() - own}
        for key, seconds in ends.items():
            self.spent[key] = self.spent.get(key, 0.0) + seconds


def read(options: Options) -> tuple[Any, Any, Any]:
    """Return images and labels to train on, and real images to test on."""
    import torch

    from attar.data import load_source
    from attar.rng import Key

    splits = load_source(options.source)
    train, test = splits.train, splits.test
    if test is None:
        raise SystemExit(f"{options.source} has no test part")
    key = Key(0).fold("benchmark")
    index = torch.cat([train.draw(c, options.per_class, key.fold(c)) for c in range(train.classes)])
    order = torch.randperm(len(test), generator=key.fold("test").generator())
    return train.take(index), train.labels[index], test.subset(order[: options.test].sort().values)


def measure_ours(options: Options, job: dict[str, Any]) -> dict[str, Any]:
    """Train and test networks as `attar evaluate` does."""
    from attar.memory import keep_memory

    keep_memory()
    from attar import compute as computing
    from attar.networks import build
    from attar.rng import Key
    from attar.training import Trainer, card

    images, labels, test = read(options)
    recipe = card(job["card"], options.epochs)
    compute = computing.choose("cpu", job["precision"], job["compile"])
    channels, *size = test.shape
    network = build("convnet3", channels, (size[0], size[1]), test.classes)
    trainer = Trainer(network, compute)
    strategy = recipe.strategy(test.name.split()[0], network.name)
    start = time.perf_counter()
    brief = card(job["card"], 1)
    (tensors,) = trainer.fit(images, labels, brief, strategy, [Key(0).fold("before")])
    trainer.accuracy(tensors, test)
    found: dict[str, Any] = {"before": time.perf_counter() - start, "runs": []}
    for number in range(options.networks):
        key = Key(job["round"]).fold("network", number)
        clock = Clock()
        with clock.part("train"):
            (tensors,) = trainer.fit(images, labels, recipe, strategy, [key])
        with clock.part("test"):
            accuracy = trainer.accuracy(tensors, test)
        found["runs"].append({**clock.spent, "accuracy": accuracy})
    if options.profile:
        brief = card(job["card"], 4)
        found["profile"] = profiled(lambda: trainer.fit(images, labels, brief, strategy, [Key(1)]))
    return found


def measure_theirs(options: Options, job: dict[str, Any]) -> dict[str, Any]:
    """Call the authors' function, and time its epochs and its test."""
    import torch

    restore_old_scipy()
    images, labels, test = read(options)
    sys.path.insert(0, job["folder"])
    utils = __import__("utils")
    held = utils.TensorDataset(test.take(torch.arange(len(test))), test.labels)
    loader = torch.utils.data.DataLoader(held, batch_size=256, shuffle=False, num_workers=0)
    clock = Clock()
    original = utils.epoch

    def timed(mode: str, *arguments: Any, **named: Any) -> Any:
        with clock.part(mode):
            return original(mode, *arguments, **named)

    utils.epoch = timed
    augments = job["card"] == "dsa-1000"
    settings = argparse.Namespace(
        device="cpu",
        lr_net=0.01,
        epoch_eval_train=1,
        batch_train=256,
        dsa=augments,
        dsa_strategy=DSA,
        dsa_param=utils.ParamDiffAug(),
        dc_aug_param=None if augments else utils.get_daparam("CIFAR10", "ConvNet", "ConvNet", 10),
    )
    channels, *size = test.shape

    def run(number: int) -> float:
        net = utils.get_network("ConvNet", channels, test.classes, tuple(size))
        _, _, accuracy = utils.evaluate_synset(number, net, images, labels, loader, settings)
        return 100 * accuracy

    start = time.perf_counter()
    run(0)
    found: dict[str, Any] = {"before": time.perf_counter() - start, "runs": []}
    settings.epoch_eval_train = options.epochs
    for number in range(options.networks):
        clock.spent.clear()
        accuracy = run(number)
        found["runs"].append({**clock.spent, "accuracy": accuracy})
    return found


def work(options: Options) -> None:
    """Measure one variant and print what was found as JSON."""
    import torch

    job = json.loads(options.worker)
    torch.set_num_threads(options.threads)
    measure = measure_theirs if job["what"] == AUTHORS else measure_ours
    print_result(measure(options, job))


def run_worker(options: Options, job: dict[str, Any]) -> dict[str, Any]:
    """Measure one variant in a process of its own."""
    arguments = ["--source", options.source, *["--profile"] * options.profile]
    arguments += arguments_of(options, ("per_class", "epochs", "networks", "threads", "test"))
    cache = {"TORCHINDUCTOR_CACHE_DIR": job["cache"]}
    earlier = job.get("earlier", "")
    return result_of(__file__, job, arguments, cache, options.threads, earlier)


def job_of(options: Options, card: str, name: str, number: int, cache: str) -> dict[str, Any]:
    """Return what a process is told."""
    job: dict[str, Any] = {"what": name, "card": card, "round": number, "cache": cache}
    if name == AUTHORS:
        return {**job, "folder": str(Path(options.dc or ".").resolve())}
    if name.endswith(EARLIER):
        job["earlier"] = str(Path(options.earlier or ".").resolve())
    precision, compile = OURS[name.removesuffix(EARLIER)]
    return {**job, "precision": precision, "compile": compile}


def main() -> None:
    """Measure every card and print one table each."""
    options = tyro.cli(Options)
    if options.worker:
        work(options)
        return
    options.output.parent.mkdir(parents=True, exist_ok=True)
    wanted = [name for name in options.variants if options.dc is not None or name != AUTHORS]
    if options.earlier is not None:
        wanted += [name + EARLIER for name in wanted if name != AUTHORS]
    everything = {}
    with tempfile.TemporaryDirectory() as cache:
        for card in options.card:
            found: dict[str, list[dict[str, Any]]] = {name: [] for name in wanted}
            for number in range(options.rounds):
                for name in wanted:
                    folder = str(Path(cache) / f"{wanted.index(name)}-{card}")
                    job = job_of(options, card, name, number, folder)
                    found[name].append(run_worker(options, job))
            everything[card] = found
            options.output.write_text(json.dumps(everything, indent=1), encoding="utf-8")
            show(options, card, found)


def show(options: Options, card: str, found: dict[str, list[dict[str, Any]]]) -> None:
    """Print one table."""
    own, run_epochs = int(card.rpartition("-")[2]) + 1, options.epochs + 1
    print(f"\n{card}, {options.epochs} epochs, {options.threads} thread(s)\n")
    print(
        "| variant | s / epoch | s / test | networks / min | times as fast | CPU s / network "
        "| times as fast by CPU time | accuracy | before, s | networks / min at the card's epochs |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    base: tuple[float, float] | None = None
    for name, processes in found.items():
        runs = [run for process in processes for run in process["runs"]]
        middle = {part: statistics.median(run[part] for run in runs) for part in runs[0]}
        epoch, test = middle["train"] / run_epochs, middle["test"]
        rate, work = 60 / (middle["train"] + test), middle["train cpu"] + middle["test cpu"]
        base = base or (rate, work)
        scores = [run["accuracy"] for run in runs]
        accuracy = f"{statistics.fmean(scores):.2f} ± {statistics.pstdev(scores):.2f}"
        print(
            f"| {name} | {epoch:.4f} | {test:.2f} | {rate:.2f} | {rate / base[0]:.2f} "
            f"| {work:.2f} | {base[1] / work:.2f} | {accuracy} ({len(scores)}) "
            f"| {processes[0]['before']:.1f} | {60 / (epoch * own + test):.3f} |"
        )
    for name, processes in found.items():
        for kind, share in processes[0].get("profile", []):
            print(f"{name}: {share:5.1f} % {kind}")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
