"""Seconds and memory per update of trajectory matching, beside the MTT authors' inner loop.

    uv run python benchmarks/trajectory_step.py --mtt DIR
    uv run python benchmarks/trajectory_step.py --mtt DIR --curve steps --objectives subspace
    uv run python benchmarks/trajectory_step.py --mtt DIR --curve images
    uv run python benchmarks/trajectory_step.py --deviation --experts DIR --source npz:cifar10.npz

``--mtt`` is a clone of GeorgeCazenavette/mtt-distillation. Its network, re-parametrization and
augmentation are imported as they are; the update, which stands in the middle of its main program,
is written out below. Every row is measured in a process of its own, on ``--threads`` threads, with
random images of CIFAR-10's shape and two random points as the expert: the arithmetic is that of
real ones. Seconds are medians, on the wall and of the processor, of which the second say more on
a machine that others use too. Memory is the most that the process held, less what it held before
the first update, once PyTorch was loaded. An update of objective ``subspace`` is one of its inner
steps; ``steps`` updates of it are shown.

``--deviation`` compares the slopes for the images of ``--unroll detached`` and of bfloat16 with
the exact ones in float32, on experts as `attar experts` makes them and real images.
"""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import statistics
import sys
import time
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from beside import arguments_of, print_result, profiled, restore_old_scipy, result_of

AUTHORS = "authors"
DSA = "color_crop_cutout_flip_scale_rotate"
CLASSES = 10
SHAPE = (3, 32, 32)
CURVES = {"none": [], "steps": [1, 5, 10, 20, 30, 50], "images": [1, 10, 50]}


@dataclass(frozen=True)
class Options:
    """What is run."""

    mtt: Path | None = None
    """Clone of the MTT authors' repository; only ours where left out."""
    curve: Literal["none", "steps", "images"] = "none"
    """Vary the inner steps, or the images per class."""
    objectives: tuple[str, ...] = ("trajectory",)
    """Ours, by name; settings may follow, as in trajectory:unroll=detached."""
    steps: int = 10
    """Inner steps."""
    per_class: int = 1
    """Images per class."""
    width: int = 128
    """Channels of ConvNet-3."""
    updates: int = 5
    """Updates that are counted, after one that is not."""
    threads: int = 1
    """Threads of every process."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of ours."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Of ours."""
    device: str = "cpu"
    """Of ours."""
    profile: bool = False
    """Also say where the time of ours goes, by kind of operation."""
    deviation: bool = False
    """Measure how far approximations are from the exact slopes, in place of time."""
    experts: Path | None = None
    """Experts for that."""
    source: str = ""
    """Real images for that."""
    worker: str = ""
    """For internal use: the row that this process measures, as JSON."""


def resident() -> int:
    """Return the bytes that this process holds."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def timed(update: Callable[[], float], updates: int, each: int = 1) -> dict[str, Any]:
    """Return medians of ``updates`` calls, each ``each`` of them, after a first."""
    before = resident()
    start = time.perf_counter()
    losses = [update() for _ in range(each)]
    first = time.perf_counter() - start
    walls, busy = [], []
    for _ in range(updates):
        wall, own = time.perf_counter(), time.process_time()
        losses += [update() for _ in range(each)]
        walls.append(time.perf_counter() - wall)
        busy.append(time.process_time() - own)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "wall": statistics.median(walls),
        "cpu": statistics.median(busy),
        "first": first,
        "memory": peak - before,
        "losses": [losses[0], losses[-1]],
    }


def measure_theirs(options: Options, job: dict[str, Any]) -> dict[str, Any]:
    """Do the update of the authors' main program with the authors' modules."""
    import torch

    restore_old_scipy()
    # only whitening needs it
    sys.modules["kornia"] = types.ModuleType("kornia")
    sys.path.insert(0, job["folder"])
    utils, networks = __import__("utils"), __import__("networks")
    network = networks.ConvNet(
        SHAPE[0], CLASSES, options.width, 3, "relu", "instancenorm", "avgpooling", SHAPE[1:]
    )
    student = __import__("reparam_module").ReparamModule(network)
    student.train()
    torch.manual_seed(0)
    first = student.flat_param.detach().clone()
    target = first + 0.01 * torch.randn_like(first)
    count = CLASSES * job["per_class"]
    images = torch.randn(count, *SHAPE, requires_grad=True)
    labels = torch.arange(CLASSES).repeat_interleave(job["per_class"])
    rate = torch.tensor(0.01, requires_grad=True)
    optimisers = [torch.optim.SGD([images], lr=1.0, momentum=0.5)]
    optimisers += [torch.optim.SGD([rate], lr=1e-9, momentum=0.5)]
    parameters = utils.ParamDiffAug()
    criterion = torch.nn.CrossEntropyLoss()

    def update() -> float:
        at = first.clone().requires_grad_()
        for _ in range(job["steps"]):
            rows = torch.randperm(count)
            seen = utils.DiffAugment(images[rows], DSA, param=parameters)
            loss = criterion(student(seen, flat_param=at), labels[rows])
            (slope,) = torch.autograd.grad(loss, at, create_graph=True)
            at = at - rate * slope
        distance = (at - target).square().sum() / (first - target).square().sum()
        for optimiser in optimisers:
            optimiser.zero_grad()
        distance.backward()
        for optimiser in optimisers:
            optimiser.step()
        return distance.item()

    return timed(update, options.updates)


@dataclass(frozen=True)
class Points:
    """An expert of random points near one drawn network, as a benchmark needs no more."""

    network: Any
    count: int = 1
    epochs: int = 4

    def segment(self, expert: int, start: int, length: int) -> Any:
        """Return snapshots as rows."""
        import torch

        from attar.rng import Key

        drawn = self.network.draw(Key(expert))
        first = torch.cat([tensor.detach().flatten() for tensor in drawn.parameters()])
        generator = torch.Generator().manual_seed(expert)
        drift = torch.randn(self.epochs + 1, len(first), generator=generator).cumsum(dim=0)
        return (first + 0.01 * drift)[start : start + length + 1]


def measure_ours(options: Options, job: dict[str, Any]) -> dict[str, Any]:
    """Time updates as `attar condense` does them."""
    import torch

    from attar import compute as computing
    from attar.condensing.engine import Run
    from attar.condensing.overrides import with_settings
    from attar.data import LabelledImages, Preprocessing
    from attar.networks import build
    from attar.objectives import OBJECTIVES, Problem
    from attar.optimisers import Optimiser
    from attar.rng import Key
    from attar.synthetic import Layout, Pixels, Synthetic

    name, _, given = job["what"].partition(":")
    texts = dict(item.split("=") for item in given.split(",") if item)
    objective = with_settings(OBJECTIVES[name](), {"steps": str(job["steps"]), **texts})
    compute = computing.choose(options.device, options.precision, options.compile)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (CLASSES * 300, *SHAPE), generator=generator).to(torch.uint8)
    names = tuple(str(label) for label in range(CLASSES))
    plain = Preprocessing((0.5,) * 3, (0.25,) * 3)
    data = LabelledImages(pixels, torch.arange(len(pixels)) % CLASSES, names, plain, "random")
    network = build(f"convnet3:width={options.width}", SHAPE[0], SHAPE[1:], CLASSES)
    layout = Layout(CLASSES, job["per_class"], SHAPE)
    problem = Problem(data, network, layout, compute, experts=Points(network))
    synthetic = Synthetic(layout, Pixels())
    synthetic.images.start_from_noise(Key(0))
    optimisers = dict.fromkeys(synthetic.roles(), Optimiser(1.0, 0.5))
    optimisers |= dict.fromkeys(objective.learned(problem), Optimiser(1e-9, 0.5))
    run = Run(synthetic, objective, problem, optimisers, Key(0))
    # the authors' update is N inner steps; that of the subspace is one
    each = job["steps"] if name == "subspace" else 1
    found = {**timed(run.advance, options.updates, each), "compute": compute.describe()}
    return found | ({"profile": profiled(run.advance)} if options.profile else {})


def deviation(options: Options) -> None:
    """Print how far approximate slopes for the images are from the exact ones."""
    import torch

    from attar import compute as computing
    from attar.data import load_source
    from attar.experts import open_experts
    from attar.experts.header import read_header
    from attar.networks import make
    from attar.objectives import Problem, TrajectoryMatching
    from attar.rng import Key
    from attar.synthetic import Layout

    if options.experts is None or not options.source:
        raise SystemExit("--deviation needs --experts and --source")
    train = load_source(options.source).train
    channels, height, width = train.shape
    network = make(read_header(options.experts).network, channels, (height, width), train.classes)
    layout = Layout(train.classes, options.per_class, train.shape)
    experts = open_experts(options.experts, network, train.preprocessing)
    base = TrajectoryMatching(steps=options.steps, expert_epochs=1, max_start=experts.epochs)
    key = Key(0).fold("deviation")
    drawn = [
        train.draw(own, options.per_class, key.fold("start", own)) for own in range(train.classes)
    ]
    images = train.take(torch.cat(drawn))
    labels = torch.nn.functional.one_hot(layout.class_of_row(), train.classes).float()

    def slopes(unroll: str, precision: str, rate: float) -> list[torch.Tensor]:
        compute = computing.choose("cpu", precision, options.compile)
        problem = Problem(train, network, layout, compute, experts=experts)
        found = []
        for update in range(options.updates):
            state = {
                "order": torch.arange(experts.count),
                "followed": update % experts.count,
            }
            objective = dataclasses.replace(base, unroll=unroll)
            own = key.fold("step", update)
            beside = {"learned_lr": torch.tensor(rate)}
            match = objective.match(images, labels, problem, state, own, beside)
            assert match.images is not None
            found.append(match.images.flatten().double())
        return found

    print(f"{options}\n")
    print("| step size | slopes | cosine: mean, least | norm beside the exact one |")
    print("|---|---|---|---|")
    for rate in (0.001, 0.01, 0.03):
        exact = slopes("checkpointed", "float32", rate)
        for unroll, precision in (("detached", "float32"), ("checkpointed", "bfloat16")):
            pairs = list(zip(slopes(unroll, precision, rate), exact, strict=True))
            cosines = [float(a @ b / (a.norm() * b.norm())) for a, b in pairs]
            norms = [float(a.norm() / b.norm()) for a, b in pairs]
            print(
                f"| {rate:g} | {unroll}, {precision} | {statistics.fmean(cosines):.4f}, "
                f"{min(cosines):.4f} | {statistics.fmean(norms):.4f} |",
                flush=True,
            )


def run_worker(options: Options, job: dict[str, Any]) -> dict[str, Any]:
    """Measure one row in a process of its own."""
    names = ("width", "updates", "threads", "precision", "compile", "device")
    arguments = arguments_of(options, names)
    arguments += ["--profile"] * options.profile
    return result_of(__file__, job, arguments, threads=options.threads)


def work(options: Options) -> None:
    """Measure one row and print what was found as JSON."""
    import torch

    job = json.loads(options.worker)
    torch.set_num_threads(options.threads)
    measure = measure_theirs if job["what"] == AUTHORS else measure_ours
    print_result(measure(options, job))


def main() -> None:
    """Measure every row and print a table."""
    options = tyro.cli(Options)
    if options.worker:
        work(options)
        return
    if options.deviation:
        deviation(options)
        return
    names = [AUTHORS] * (options.mtt is not None) + list(options.objectives)
    folder = str((options.mtt or Path()).resolve())
    print(f"{options}\n")
    print(
        "| steps | images per class | what | s / update | CPU s | times as fast: wall, CPU "
        "| first, s | MB |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for value in CURVES[options.curve] or [options.steps]:
        steps = value if options.curve != "images" else options.steps
        per_class = value if options.curve == "images" else options.per_class
        base: dict[str, Any] | None = None
        for name in names:
            job = {"what": name, "steps": steps, "per_class": per_class, "folder": folder}
            found = run_worker(options, job)
            base = base or found
            print(
                f"| {steps} | {per_class} | {name} | {found['wall']:.3f} | {found['cpu']:.3f} "
                f"| {base['wall'] / found['wall']:.2f}, {base['cpu'] / found['cpu']:.2f} "
                f"| {found['first']:.1f} | {found['memory'] / 1e6:.0f} |",
                flush=True,
            )
            for kind, share in found.get("profile", []):
                print(f"{share:5.1f} % {kind}")


if __name__ == "__main__":
    main()
