"""Seconds and memory per sweep of IDC, beside the authors' loop: each class once, the network.

    uv run python benchmarks/classwise_step.py --idc DIR

``--idc`` is a clone of snu-mllab/Efficient-Dataset-Condensation. Its synthetic set, network,
augmentation and matching loss are imported as they are; the few lines of its main program and of
the training of the network, which ask for a GPU, are written out below. Every row is measured in a
process of its own, with random images of CIFAR-10's shape: 10 images of a class, factor 2.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from beside import arguments_of, print_result, profiled, result_of
from trajectory_step import CLASSES, SHAPE, timed

AUTHORS, OURS = "authors", "idc"
REAL, TRAINED = 64, 64
MIXED = 0.5


@dataclass(frozen=True)
class Options:
    """What is run."""

    idc: Path | None = None
    """Clone of the IDC authors' repository; only ours where left out."""
    per_class: int = 10
    """Stored images per class, of four tiles each."""
    width: Literal[32, 64, 128] = 128
    """Channels of ConvNet-3."""
    samples: int = 2000
    """Real images that the network is trained on between two sweeps."""
    updates: int = 1
    """Sweeps that are counted, after one that is not."""
    threads: int = 1
    """Threads of every process."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of ours."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Of ours."""
    profile: bool = False
    """Also say where the time of ours goes, by kind of operation."""
    worker: str = ""
    """For internal use: the row that this process measures, as JSON."""


def measure_theirs(options: Options, job: dict[str, Any]) -> dict[str, Any]:
    """Do the sweep of the authors' main program with the authors' modules."""
    import torch

    sys.path.insert(0, job["folder"])
    # these put tensors on a GPU when they are imported
    for name, own in (("train", ("define_model", "train_epoch")), ("test", ("test_data",))):
        module = types.ModuleType(name)
        for each in (*own, "load_ckpt"):
            setattr(module, each, None)
        sys.modules[name] = module
    program, networks = __import__("condense"), __import__("models.convnet", fromlist=["ConvNet"])
    torch.manual_seed(0)
    arguments = types.SimpleNamespace(
        ipc=options.per_class, factor=2, decode_type="single", match="grad", metric="mse"
    )
    arguments.bias = arguments.fc = False
    kept = program.Synthesizer(arguments, CLASSES, *SHAPE, device="cpu")
    network = networks.ConvNet(CLASSES, net_width=options.width, im_size=SHAPE[1:]).train()
    matched = program.DiffAug(strategy="color_crop_cutout", batch=True)
    trained = program.DiffAug(strategy="color_crop", batch=False)
    of_images = torch.optim.SGD(kept.parameters(), lr=5e-3, momentum=0.5)
    of_network = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9, weight_decay=5e-4)
    criterion = torch.nn.CrossEntropyLoss()
    real = torch.rand(CLASSES, REAL, *SHAPE)
    wide = torch.rand(options.samples, *SHAPE)
    labels = torch.arange(options.samples) % CLASSES

    def normalised(images: torch.Tensor) -> torch.Tensor:
        return (images - 0.5) / 0.25

    def train() -> None:
        for begin in range(0, options.samples, TRAINED):
            with torch.no_grad():
                images = trained(normalised(wide[begin : begin + TRAINED]))
            own = labels[begin : begin + TRAINED]
            other, ratio = own, 1.0
            if torch.rand(()) < MIXED:
                order = torch.randperm(len(images))
                height, width = torch.randint(1, SHAPE[1], (2,)).tolist()
                images[:, :, :height, :width] = images[order, :, :height, :width]
                other, ratio = own[order], 1 - height * width / (SHAPE[1] * SHAPE[2])
            scores = network(images)
            loss = criterion(scores, own) * ratio + criterion(scores, other) * (1 - ratio)
            of_network.zero_grad()
            loss.backward()
            of_network.step()

    def update() -> float:
        total = 0.0
        for label in range(CLASSES):
            images, own = kept.sample(label)
            seen = matched(normalised(torch.cat([real[label], images])))
            whose = torch.full((REAL,), label)
            loss = program.matchloss(arguments, seen[:REAL], seen[REAL:], whose, own, network)
            total += loss.item()
            of_images.zero_grad()
            loss.backward()
            of_images.step()
        train()
        return total

    return timed(update, options.updates)


def measure_ours(options: Options, job: dict[str, Any]) -> dict[str, Any]:
    """Time sweeps as `attar condense` does them."""
    import torch

    from attar import compute as computing
    from attar.condensing.engine import Run
    from attar.data import LabelledImages, Preprocessing
    from attar.methods import METHODS, Task
    from attar.networks import build
    from attar.objectives import ClasswiseMatching, Problem
    from attar.rng import Key
    from attar.synthetic import Layout, Synthetic

    del job
    recipe = METHODS["idc"].recipe(Task("cifar10", options.per_class, SHAPE, CLASSES))
    assert isinstance(recipe.objective, ClasswiseMatching)
    objective = dataclasses.replace(recipe.objective, samples=options.samples, batch_real=REAL)
    names = tuple(str(label) for label in range(CLASSES))
    plain = Preprocessing((0.5,) * 3, (0.25,) * 3)
    labels = torch.arange(CLASSES).repeat_interleave(max(REAL, options.samples // CLASSES))
    noise = torch.randint(0, 256, (len(labels), *SHAPE), generator=Key(1).generator())
    data = LabelledImages(noise.to(torch.uint8), labels, names, plain, "none")
    network = build(f"convnet3:width={options.width}", SHAPE[0], SHAPE[1:], CLASSES)
    layout = Layout(CLASSES, 4 * options.per_class, SHAPE)
    compute = computing.choose("cpu", options.precision, options.compile)
    problem = Problem(data, network, layout, compute)
    synthetic = Synthetic(layout, recipe.parametrization)
    synthetic.images.start_from_noise(Key(0))
    run = Run(synthetic, objective, problem, recipe.optimisers, Key(0))

    def sweep() -> None:
        for _ in range(CLASSES):
            run.advance()

    found = timed(run.advance, options.updates, CLASSES)
    found["compute"] = compute.describe()
    return found | ({"profile": profiled(sweep)} if options.profile else {})


def main() -> None:
    """Measure both and print a table."""
    options = tyro.cli(Options)
    if options.worker:
        import torch

        torch.set_num_threads(options.threads)
        job = json.loads(options.worker)
        print_result((measure_theirs if job["what"] == AUTHORS else measure_ours)(options, job))
        return
    print(f"{options}\n")
    print("| what | s / sweep | CPU s | times as fast: wall, CPU | first, s | MB |")
    print("|---|---|---|---|---|---|")
    names = ("per_class", "width", "samples", "updates", "threads", "precision", "compile")
    arguments = arguments_of(options, names) + ["--profile"] * options.profile
    base: dict[str, Any] | None = None
    for name in [AUTHORS] * (options.idc is not None) + [OURS]:
        job = {"what": name, "folder": str((options.idc or Path()).resolve())}
        found = result_of(__file__, job, arguments, threads=options.threads)
        base = base or found
        print(
            f"| {name} | {found['wall']:.2f} | {found['cpu']:.2f} "
            f"| {base['wall'] / found['wall']:.2f}, {base['cpu'] / found['cpu']:.2f} "
            f"| {found['first']:.1f} | {found['memory'] / 1e6:.0f} |",
            flush=True,
        )
        for kind, share in found.get("profile", []):
            print(f"{share:5.1f} % {kind}")


if __name__ == "__main__":
    main()
