"""Seconds and memory per update of HaBa, beside the authors' inner loop.

    uv run python benchmarks/haba_step.py --haba DIR

``--haba`` is a clone of Huage001/DatasetFactorization. Its network, hallucinators, extractor,
losses, re-parametrization and augmentation are imported as they are; the update, which stands in
the middle of its main program, is written out below. As in ``trajectory_step.py``, every row is
measured in a process of its own, with random images and two random points as the expert.
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

from beside import arguments_of, print_result, profiled, restore_old_scipy, result_of
from trajectory_step import CLASSES, DSA, SHAPE, Points, timed

AUTHORS, OURS = "authors", "haba"
HALLUCINATORS = 5


@dataclass(frozen=True)
class Options:
    """What is run."""

    haba: Path | None = None
    """Clone of the HaBa authors' repository; only ours where left out."""
    steps: int = 10
    """Inner steps."""
    per_class: int = 1
    """Bases per class."""
    width: int = 128
    """Channels of ConvNet-3; the authors' extractor has 128 whatever it is."""
    updates: int = 5
    """Updates that are counted, after one that is not."""
    rounds: int = 1
    """Processes per row, in turn."""
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
    """Do the update of the authors' main program with the authors' modules."""
    import torch
    from torch.nn.functional import cosine_similarity, normalize

    restore_old_scipy()
    # only whitening needs it
    sys.modules["kornia"] = types.ModuleType("kornia")
    sys.path.insert(0, job["folder"])
    utils, networks = __import__("utils"), __import__("networks")
    losses = __import__("contrastive_loss")
    torch.manual_seed(0)
    network = networks.ConvNet(
        SHAPE[0], CLASSES, options.width, 3, "relu", "instancenorm", "avgpooling", SHAPE[1:]
    )
    student = __import__("reparam_module").ReparamModule(network)
    student.train()
    first = student.flat_param.detach().clone()
    target = first + 0.01 * torch.randn_like(first)
    each = job["per_class"]
    count = CLASSES * each
    bases = torch.randn(CLASSES, each, *SHAPE, requires_grad=True)
    styles = torch.nn.ModuleList(
        [utils.StyleTranslator(3, 3, 3, kernel_size=3) for _ in range(HALLUCINATORS)]
    )
    extractor = losses.Extractor(CLASSES).train()
    rate = torch.tensor(0.01, requires_grad=True)
    optimisers = [
        torch.optim.SGD([bases], lr=1e-3, momentum=0.95),
        torch.optim.SGD(styles.parameters(), lr=1e-6, momentum=0.95),
        torch.optim.SGD([rate], lr=1e-9, momentum=0.9),
    ]
    own = torch.optim.SGD(extractor.parameters(), lr=0.001, momentum=0.9)
    criterion, contrast = torch.nn.CrossEntropyLoss(), losses.SupConLoss()
    parameters = utils.ParamDiffAug()

    def seen(images: torch.Tensor) -> torch.Tensor:
        return utils.DiffAugment(images, DSA, param=parameters)

    def pair() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        rows = torch.randperm(count)
        label, base = rows // each, bases[rows // each, rows % each]
        one, other = torch.randperm(HALLUCINATORS)[:2]
        images = torch.cat([styles[int(one)](base), styles[int(other)](base)])
        scores, features = extractor(seen(images))
        return scores, features[:count], features[count:], label

    def update() -> float:
        at = first.clone().requires_grad_()
        for _ in range(job["steps"]):
            rows = torch.randperm(count)
            style = styles[int(torch.randint(HALLUCINATORS, ()))]
            images = seen(style(bases[rows // each, rows % each]))
            loss = criterion(student(images, flat_param=at), rows // each)
            (slope,) = torch.autograd.grad(loss, at, create_graph=True)
            at = at - rate * slope
        _, one, other, _ = pair()
        distance = (at - target).square().sum() / (first - target).square().sum()
        loss = distance + 0.1 * ((cosine_similarity(one, other) + 1) / 2).mean()
        for optimiser in optimisers:
            optimiser.zero_grad()
        loss.backward()
        for optimiser in optimisers:
            optimiser.step()
        rate.data = rate.data.clip(min=0.001)
        scores, one, other, label = pair()
        views = torch.stack([normalize(one), normalize(other)], dim=1)
        wrong = criterion(scores, torch.cat([label, label]))
        wrong = wrong + 0.1 * ((1 - cosine_similarity(one, other)) / 2).mean()
        wrong = wrong + 0.1 * contrast(views, label)
        own.zero_grad()
        wrong.backward()
        own.step()
        return loss.item()

    return timed(update, options.updates)


def measure_ours(options: Options, job: dict[str, Any]) -> dict[str, Any]:
    """Time updates as `attar condense` does them."""
    import torch

    from attar import compute as computing
    from attar.condensing.engine import Run
    from attar.data import LabelledImages, Preprocessing
    from attar.methods import METHODS, Task
    from attar.networks import build
    from attar.objectives import Problem, TrajectoryMatching, WeightedSum
    from attar.optimisers import Optimiser
    from attar.rng import Key
    from attar.synthetic import Layout, Synthetic

    recipe = METHODS["haba"].recipe(Task("cifar10", job["per_class"], SHAPE, CLASSES))
    assert isinstance(recipe.objective, WeightedSum)
    matching, apart = recipe.objective.terms
    assert isinstance(matching, TrajectoryMatching)
    matching = dataclasses.replace(matching, steps=job["steps"])
    objective = dataclasses.replace(recipe.objective, terms=(matching, apart))
    names = tuple(str(label) for label in range(CLASSES))
    plain = Preprocessing((0.5,) * 3, (0.25,) * 3)
    pixels = torch.zeros(CLASSES, *SHAPE, dtype=torch.uint8)
    data = LabelledImages(pixels, torch.arange(CLASSES), names, plain, "none")
    network = build(f"convnet3:width={options.width}", SHAPE[0], SHAPE[1:], CLASSES)
    layout = Layout(CLASSES, job["per_class"] * HALLUCINATORS, SHAPE)
    compute = computing.choose("cpu", options.precision, options.compile)
    problem = Problem(data, network, layout, compute, experts=Points(network))
    synthetic = Synthetic(layout, recipe.parametrization)
    synthetic.images.start_from_noise(Key(0))
    optimisers = {
        "images": Optimiser(1e-3, 0.95),
        "hallucinators": Optimiser(1e-6, 0.95),
        "learned_lr": Optimiser(1e-9, 0.9),
    }
    run = Run(synthetic, objective, problem, optimisers, Key(0))
    found = {**timed(run.advance, options.updates), "compute": compute.describe()}
    return found | ({"profile": profiled(run.advance)} if options.profile else {})


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
    print("| what | s / update | CPU s | times as fast: wall, CPU | first, s | MB |")
    print("|---|---|---|---|---|---|")
    arguments = arguments_of(options, ("width", "updates", "threads", "precision", "compile"))
    arguments += ["--profile"] * options.profile
    for _ in range(options.rounds):
        base: dict[str, Any] | None = None
        for name in [AUTHORS] * (options.haba is not None) + [OURS]:
            job = {"what": name, "steps": options.steps, "per_class": options.per_class}
            job["folder"] = str((options.haba or Path()).resolve())
            found = result_of(__file__, job, arguments, threads=options.threads)
            base = base or found
            print(
                f"| {name} | {found['wall']:.3f} | {found['cpu']:.3f} "
                f"| {base['wall'] / found['wall']:.2f}, {base['cpu'] / found['cpu']:.2f} "
                f"| {found['first']:.1f} | {found['memory'] / 1e6:.0f} |",
                flush=True,
            )
            for kind, share in found.get("profile", []):
                print(f"{share:5.1f} % {kind}")


if __name__ == "__main__":
    main()
