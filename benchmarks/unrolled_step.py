"""Seconds and memory per update of RememberThePast, beside its authors' code, and its agreement.

    uv run python benchmarks/unrolled_step.py --rtp DIR
    uv run python benchmarks/unrolled_step.py --rtp DIR --steps 10 --agree

``--rtp`` is a clone of princetonvisualai/RememberThePast-DatasetDistillation, whose modules are
imported as they are; the few lines of its runner around them are written out below. Every row is
measured in a process of its own, on ``--threads`` threads, with random images of CIFAR-10's shape:
16 bases, 115 images of a class, 32 of each in a step, as their command says. Seconds are medians,
on the wall and of the processor. Memory is the most that the process held, less what it held before
the first update. ``--agree`` does one update of their code and prints how far our slopes for bases
and addresses are from theirs, for the same network, minibatches and real images.
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
from trajectory_step import timed

AUTHORS = "authors"
CLASSES, SHAPE, BASES, PER_CLASS = 10, (3, 32, 32), 16, 115
BATCH, REAL, CLIP = 32, 64, 2.0


@dataclass(frozen=True)
class Options:
    """What is run."""

    rtp: Path | None = None
    """Clone of the authors' repository; only ours where left out."""
    steps: int = 150
    """Inner steps."""
    held: tuple[int, ...] = (0, 13)
    """Steps whose weights ours holds at a time, a row for each."""
    width: Literal[32, 64, 128, 256] = 64
    """Channels of ConvNet-3."""
    updates: int = 1
    """Updates that are counted, after one that is not."""
    threads: int = 1
    """Threads of every process."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of ours."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Of ours."""
    chunk: int = 0
    """Images per call of ours; 0 for the device's own."""
    profile: bool = False
    """Also say where the time of ours goes, by kind of operation."""
    agree: bool = False
    """Compare slopes in place of time."""
    worker: str = ""
    """For internal use: the row that this process measures, as JSON."""


def theirs(options: Options, folder: str) -> tuple[Any, Any, list[Any]]:
    """Return the authors' compressor, their update's arithmetic, and real images with labels."""
    import torch

    sys.path.insert(0, folder)
    compressors = __import__("compressors.imgs_embedding_basis_minibatch", fromlist=["Net"])
    models = __import__("models.compressor_bptt_standard", fromlist=["CompressorBPTT"])
    inner = types.SimpleNamespace(optimizer="SGD", lr=0.01, momentum=0.9)
    config = types.SimpleNamespace(
        backbone=types.SimpleNamespace(name=f"ConvNetW{options.width}"),
        bptt=types.SimpleNamespace(inner_steps=options.steps),
        bptt_optim=inner,
    )
    torch.manual_seed(0)
    compressor = compressors.Net(
        PER_CLASS, SHAPE[0], SHAPE[1:], CLASSES, "cpu", BASES, downsample_scale=2, n_per_c=BATCH
    )
    update = models.CompressorBPTT(
        compressor, config, (SHAPE[0], SHAPE[1:]), None, CLASSES, "l2", 1e-4
    )
    labels = torch.arange(CLASSES).repeat_interleave(REAL)
    return compressor, update, [torch.randn(CLASSES * REAL, *SHAPE), labels]


def measure_theirs(options: Options, job: dict[str, Any]) -> dict[str, Any]:
    """Time updates as their runner does them."""
    import torch

    compressor, bptt, real = theirs(options, job["folder"])
    optimiser = torch.optim.SGD(compressor.parameters(), lr=0.1, momentum=0.5)
    classes = list(range(CLASSES))

    def update() -> float:
        optimiser.zero_grad()
        loss, slopes, _ = bptt(classes, real, 0)
        compressor.assign_grads([one.flatten() for one in slopes], classes)
        torch.nn.utils.clip_grad_norm_(compressor.parameters(), max_norm=CLIP)
        optimiser.step()
        return loss.item()

    return timed(update, options.updates)


def measure_ours(options: Options, job: dict[str, Any]) -> dict[str, Any]:
    """Time updates as `attar condense` does them."""
    import torch

    from attar.memory import keep_memory

    keep_memory()
    import attar
    from attar.condensing.planning import make_plan
    from attar.condensing.request import Request
    from attar.data import as_splits, from_tensors

    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (CLASSES * REAL, *SHAPE), generator=generator)
    data = from_tensors(pixels.to(torch.uint8), torch.arange(len(pixels)) % CLASSES)
    request = Request(
        method="remember-the-past",
        ipc=1,
        network=f"convnet3:width={options.width}",
        settings=(f"steps={options.steps}", f"held={job['held']}"),
        precision=options.precision,
        torch_compile=options.compile,
        chunk=options.chunk or None,
        validation=0,
    )
    run = make_plan(request, as_splits(data)).run()
    compute = run.problem.compute.describe()
    found = {**timed(run.advance, options.updates), "compute": compute, "attar": attar.__version__}
    return found | ({"profile": profiled(run.advance)} if options.profile else {})


def agreement(options: Options) -> None:
    """Print how far our slopes for bases and addresses are from the authors'."""
    import torch

    from attar import compute as computing
    from attar.networks import build
    from attar.objectives.flat import FlatLoss
    from attar.objectives.unrolling import Steps, Student, checkpointed, loss_on
    from attar.rng import Key
    from attar.synthetic import Addressed, Layout, Synthetic

    compressor, bptt, (real, truth) = theirs(options, str((options.rtp or Path()).resolve()))
    seen: dict[str, Any] = {}
    forward = bptt.bptt_efficient_forward

    def watched(*given: Any, **named: Any) -> Any:
        found = forward(*given, **named)
        seen["weights"] = [one.detach().clone() for one in found[1][0].parameters()]
        seen["rows"] = [rows for _, _, rows in found[2]]
        return found

    bptt.bptt_efficient_forward = watched
    loss, slopes, _ = bptt(list(range(CLASSES)), [real, truth], 0)

    layout = Layout(CLASSES, PER_CLASS, SHAPE)
    synthetic = Synthetic(layout, Addressed(BASES, 2))
    bases = compressor.basis.weight.detach().view(BASES, SHAPE[0], 16, 16)
    addresses = compressor.imgs.weight.detach()
    synthetic.images.load_state_dict({"bases.values": bases, "addresses": addresses})
    compute = computing.choose("cpu", options.precision, options.compile)
    network = build(f"convnet3:width={options.width}", SHAPE[0], SHAPE[1:], CLASSES)
    flat = FlatLoss(network.draw(Key(0)), "cross_entropy", compute, False)
    images, labels = synthetic(torch.arange(layout.rows))
    steps = Steps(images.detach(), labels, seen["rows"], (), Key(0))
    first = torch.cat([one.flatten() for one in seen["weights"]])
    student = Student(flat, steps, first, torch.tensor(0.01), 0.9, learns_lr=False)
    one_hot = torch.nn.functional.one_hot(truth, CLASSES).float()
    found = checkpointed(student, loss_on(flat, real, one_hot))
    images.backward(found.images)
    print(f"loss {float(found.loss):.6f} here, {float(loss.detach()):.6f} there")
    own = dict(synthetic.images.named_parameters())
    for name, other in zip(("bases.values", "addresses"), slopes, strict=True):
        slope = own[name].grad
        assert slope is not None
        away = float((slope.flatten() - other.flatten()).norm() / other.norm())
        print(f"{name}: {away:.2e} of the norm away")


def work(options: Options) -> None:
    """Measure one row and print what was found as JSON."""
    import torch

    job = json.loads(options.worker)
    torch.set_num_threads(options.threads)
    measure = measure_theirs if job["what"] == AUTHORS else measure_ours
    print_result(measure(options, job))


def main() -> None:
    """Measure every row and print a table."""
    options = tyro.cli(Options, description=__doc__)
    if options.worker:
        work(options)
        return
    if options.agree:
        agreement(options)
        return
    folder = str((options.rtp or Path()).resolve())
    rows = [(AUTHORS, 0)] * (options.rtp is not None) + [("ours", held) for held in options.held]
    names = [item.name for item in dataclasses.fields(options)]
    passed = [one for one in names if one not in ("rtp", "held", "profile", "agree", "worker")]
    arguments = arguments_of(options, passed) + ["--profile"] * options.profile
    print(f"{options}\n")
    print("| what | s / update | CPU s | times as fast: wall, CPU | first, s | MB, of theirs |")
    print("|---|---|---|---|---|---|")
    base: dict[str, Any] | None = None
    for what, held in rows:
        job = {"what": what, "held": held, "folder": folder}
        found = result_of(__file__, job, arguments, threads=options.threads)
        base = base or found
        print(
            f"| {what}{f', held={held}' * bool(held)} | {found['wall']:.2f} | {found['cpu']:.2f} "
            f"| {base['wall'] / found['wall']:.2f}, {base['cpu'] / found['cpu']:.2f} "
            f"| {found['first']:.1f} | {found['memory'] / 1e6:.0f}, "
            f"{found['memory'] / base['memory']:.2f} |",
            flush=True,
        )
        for kind, share in found.get("profile", []):
            print(f"{share:5.1f} % {kind}")


if __name__ == "__main__":
    main()
