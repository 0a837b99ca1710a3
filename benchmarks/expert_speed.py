"""Expert epochs per minute, beside the code of the trajectory-matching authors.

    uv run python benchmarks/expert_speed.py --mtt DIR --source npz:cifar10.npz --images 5000

``--mtt`` is a clone of GeorgeCazenavette/mtt-distillation. Its network, its augmentation and its
``epoch`` are called as they are, in the loop of its ``buffer.py``: plain SGD at 0.01, batches of
256, one DSA operation for each batch, images in memory. That loop also tests on the test set after
every epoch, which is left out here, to its advantage; ours keeps every snapshot in its file. Every
variant trains ConvNet-3 on the same images in a process of its own, in turn, several rounds, each
on ``--threads`` threads.

The first epoch, in which compilation falls, is a column of its own; the others count, by their
median. ``auto`` compiles where a training is long enough, which 50 epochs of 2,000 images of
32×32 are. Accuracies are percent on the same training images without augmentation after the last
epoch, mean ± population standard deviation over all networks of a variant. On a machine that
others use too, compare the CPU time: time on the wall then says more of the others.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import sys
import tempfile
import time
import types
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from beside import arguments_of, print_result, restore_old_scipy, result_of

AUTHORS = "authors' buffer.py"
# name → precision and compilation of ours
OURS = {
    "ours, eager float32": ("float32", "off"),
    "ours, compiled float32": ("float32", "on"),
    "ours, compiled, auto precision (default)": ("auto", "on"),
}
DSA = "color_crop_cutout_flip_scale_rotate"


@dataclass(frozen=True)
class Options:
    """What is run."""

    source: str
    """Real images, as attar experts takes them."""
    mtt: Path | None = None
    """Clone of the trajectory-matching authors' repository; only ours where left out."""
    images: int = 5000
    """Training images, the same number of every class."""
    epochs: int = 5
    """Epochs of every expert; 2 or more."""
    experts: int = 1
    """Experts per process."""
    rounds: int = 2
    """Processes per variant."""
    threads: int = 1
    """Threads of every process."""
    variants: tuple[str, ...] = (AUTHORS, *OURS)
    """Rows of the table."""
    output: Path = Path("results/expert-speed.json")
    """Where all times go."""
    worker: str = ""
    """For internal use: the variant that this process measures, as JSON."""


class Epochs:
    """Seconds of epochs, on the wall and of the processor."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.own: list[float] = []
        self.begin()

    def begin(self) -> None:
        """Start the clock."""
        self._wall, self._own = time.perf_counter(), time.process_time()

    def end(self) -> None:
        """Count an epoch, and start the clock again."""
        self.wall.append(time.perf_counter() - self._wall)
        self.own.append(time.process_time() - self._own)
        self.begin()


def read(options: Options) -> Any:
    """Return the real images."""
    from attar.data import load_source

    classes = load_source(options.source).train.classes
    return load_source(options.source, per_class=options.images // classes)


def accuracy_of(module: Any, train: Any) -> float:
    """Return the accuracy of a network on the training images, in percent."""
    import torch

    right = 0
    with torch.no_grad():
        for index in torch.arange(len(train)).split(500):
            found = module.eval()(train.take(index)).argmax(dim=1)
            right += int((found == train.labels[index]).sum())
    return 100 * right / len(train)


def measure_ours(options: Options, job: dict[str, Any]) -> dict[str, Any]:
    """Train experts as `attar experts` does."""
    from attar.memory import keep_memory

    keep_memory()
    import torch

    from attar.experts import train_experts
    from attar.experts.telling import ExpertCallback
    from attar.networks import build
    from attar.rng import Key

    splits, clock = read(options), Epochs()

    class Watcher(ExpertCallback):
        def passed(self, experts: Sequence[int], epochs: int) -> None:
            if epochs:
                clock.end()
            else:
                clock.begin()

    with tempfile.TemporaryDirectory() as folder:
        store = train_experts(
            splits,
            output=folder,
            count=options.experts,
            epochs=options.epochs,
            seed=job["round"],
            device="cpu",
            precision=job["precision"],
            torch_compile=job["compile"],
            callback=Watcher(),
        )
        accuracies = []
        channels, height, width = splits.train.shape
        network = build(store.header.network, channels, (height, width), splits.train.classes)
        for expert in range(store.count):
            module = network.draw(Key(0))
            last = store.segment(expert, store.epochs, 0)[0]
            torch.nn.utils.vector_to_parameters(last, module.parameters())
            accuracies.append(accuracy_of(module, splits.train))
    return {"wall": clock.wall, "cpu": clock.own, "accuracies": accuracies}


def measure_theirs(options: Options, job: dict[str, Any]) -> dict[str, Any]:
    """Call the authors' epoch, as their loop does."""
    import torch

    torch.manual_seed(job["round"])
    stub_imports()
    train = read(options).train
    sys.path.insert(0, job["folder"])
    utils = __import__("utils")
    inputs = train.take(torch.arange(len(train)))
    held = utils.TensorDataset(inputs, train.labels)
    loader = torch.utils.data.DataLoader(held, batch_size=256, shuffle=True, num_workers=0)
    settings = argparse.Namespace(
        device="cpu",
        dataset="CIFAR10",
        dsa=True,
        dsa_strategy=DSA,
        dsa_param=utils.ParamDiffAug(),
    )
    criterion = torch.nn.CrossEntropyLoss()
    channels, *size = train.shape
    clock, accuracies = Epochs(), []
    for _ in range(options.experts):
        net = utils.get_network("ConvNet", channels, train.classes, tuple(size))
        net.train()
        optimiser = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0, weight_decay=0)
        kept = [[p.detach().cpu() for p in net.parameters()]]
        clock.begin()
        for _ in range(options.epochs):
            utils.epoch("train", loader, net, optimiser, criterion, settings, aug=True)
            kept.append([p.detach().cpu() for p in net.parameters()])
            clock.end()
        accuracies.append(accuracy_of(net, train))
    return {"wall": clock.wall, "cpu": clock.own, "accuracies": accuracies}


def stub_imports() -> None:
    """Put empty modules where the authors' code imports what an epoch does not use."""
    restore_old_scipy()
    for name in ("kornia", "wandb", "tqdm"):
        if importlib.util.find_spec(name) is None:
            sys.modules[name] = types.ModuleType(name)


def work(options: Options) -> None:
    """Measure one variant and print what was found as JSON."""
    import torch

    job = json.loads(options.worker)
    torch.set_num_threads(options.threads)
    measure = measure_theirs if job["what"] == AUTHORS else measure_ours
    print_result(measure(options, job))


def run_worker(options: Options, job: dict[str, Any]) -> dict[str, Any]:
    """Measure one variant in a process of its own."""
    arguments = ["--source", options.source]
    arguments += arguments_of(options, ("images", "epochs", "experts", "threads"))
    cache = {"TORCHINDUCTOR_CACHE_DIR": job["cache"]}
    return result_of(__file__, job, arguments, cache, options.threads)


def job_of(options: Options, name: str, number: int, cache: str) -> dict[str, Any]:
    """Return what a process is told."""
    job: dict[str, Any] = {"what": name, "round": number, "cache": cache}
    if name == AUTHORS:
        return {**job, "folder": str(Path(options.mtt or ".").resolve())}
    precision, compile = OURS[name]
    return {**job, "precision": precision, "compile": compile}


def main() -> None:
    """Measure every variant and print one table."""
    options = tyro.cli(Options)
    if options.worker:
        work(options)
        return
    if options.epochs < 2:
        raise SystemExit("--epochs: 2 or more, since the first one is not counted")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    wanted = [name for name in options.variants if options.mtt is not None or name != AUTHORS]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in wanted}
    with tempfile.TemporaryDirectory() as cache:
        for number in range(options.rounds):
            for name in wanted:
                folder = str(Path(cache) / str(wanted.index(name)))
                found[name].append(run_worker(options, job_of(options, name, number, folder)))
            options.output.write_text(json.dumps(found, indent=1), encoding="utf-8")
    show(options, found)


def show(options: Options, found: dict[str, list[dict[str, Any]]]) -> None:
    """Print the table."""
    print(f"\n{options.images} images, {options.epochs} epochs, {options.threads} thread(s)\n")
    print(
        "| variant | s / epoch | epochs / min | times as fast | CPU s / epoch "
        "| times as fast by CPU time | accuracy | first epoch, s |"
    )
    print("|---|---|---|---|---|---|---|---|")
    base: tuple[float, float] | None = None
    for name, processes in found.items():
        wall = statistics.median(one for process in processes for one in process["wall"][1:])
        own = statistics.median(one for process in processes for one in process["cpu"][1:])
        base = base or (wall, own)
        scores = [score for process in processes for score in process["accuracies"]]
        accuracy = f"{statistics.fmean(scores):.2f} ± {statistics.pstdev(scores):.2f}"
        first = statistics.median(process["wall"][0] for process in processes)
        print(
            f"| {name} | {wall:.2f} | {60 / wall:.2f} | {base[0] / wall:.2f} | {own:.2f} "
            f"| {base[1] / own:.2f} | {accuracy} ({len(scores)}) | {first:.1f} |"
        )


if __name__ == "__main__":
    main()
