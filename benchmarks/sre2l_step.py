"""A step of SRe2L beside the authors' code: the same classes, teacher and sizes.

    git clone https://github.com/VILA-Lab/SRe2L
    python benchmarks/sre2l_step.py --theirs SRe2L --network convnet3:norm=batch
    python benchmarks/sre2l_step.py --theirs SRe2L --network resnet18:norm=batch --side 224

A step is one image of each class, forward and back through the teacher with the distances of all
of its batch normalizations, an update by Adam, and clipping. Of theirs the hooks, priors and
clipping are imported as they are; the loop around them, that of ``recover_cifar.py`` up to 32
pixels and of ``data_synthesis.py`` above, is written out below. Times are CPU seconds of one
process, taken by turns, the median of each; what is compiled is compiled before. Theirs runs on the
CPU.
"""

from __future__ import annotations

import importlib.util
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import tyro
from torch import Tensor, nn
from torchvision import transforms

from attar import Request
from attar import compute as computing
from attar.condensing.planning import make_plan
from attar.data import LabelledImages, Preprocessing, Splits
from attar.networks import make_for
from attar.rng import Key
from attar.teachers.file import save_teacher
from attar.teachers.teacher import Teacher, tensors_of

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
# of the authors' scripts: learning rate and weight of the statistics, by size
SMALL, LARGE = (0.25, 0.01), (0.25, 0.01)


@dataclass(frozen=True)
class Options:
    """What is timed."""

    theirs: Path | None = None
    """A clone of the authors' repository; left out: ours alone."""
    network: str = "convnet3:norm=batch"
    """The teacher, freshly drawn: its weights do not bear on time."""
    side: int = 32
    """Of the pictures."""
    classes: int = 10
    """As many images."""
    steps: int = 5
    """Of each round."""
    rounds: int = 3
    """How often each is timed."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of ours."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Of ours."""


def main(options: Options) -> None:
    """Print both times of a step and their ratio."""
    data = _data(options)
    network = make_for(options.network, data.shape, data.classes)
    module = network.draw(Key(0)).eval()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.teacher.safetensors"
        save_teacher(path, Teacher(network, computing.choose("cpu"), tensors_of(module)), data)
        step, said = _ours(options, data, path)
    ways: dict[str, Callable[[], Any]] = {"ours": step}
    if options.theirs is not None:
        ways["theirs"] = _theirs(options, module)
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(options.rounds + 1):
        for name, way in ways.items():
            began = time.process_time()
            for _ in range(options.steps):
                way()
            # the first turn warms up
            if turn:
                taken[name].append((time.process_time() - began) / options.steps)
    found = {name: statistics.median(each) for name, each in taken.items()}
    times = ", ".join(f"{name} {1000 * one:.0f} ms" for name, one in found.items())
    ratio = f", {found['theirs'] / found['ours']:.2f} times" if "theirs" in found else ""
    print(f"{options.classes} images of {options.side}, {options.network}, {said}: {times}{ratio}")


def _data(options: Options) -> LabelledImages:
    """Return pictures that nobody looks at."""
    labels = torch.arange(options.classes).repeat(2)
    pixels = torch.zeros(len(labels), 3, options.side, options.side, dtype=torch.uint8)
    names = tuple(map(str, range(options.classes)))
    return LabelledImages(pixels, labels, names, Preprocessing(MEAN, STD), "random")


def _ours(options: Options, data: LabelledImages, teacher: Path) -> tuple[Callable[[], Any], str]:
    """Return a step of a run as `attar condense` makes it, and its arithmetic."""
    request = Request(
        method="sre2l",
        synthetic_per_class=1,
        network=options.network,
        teacher=str(teacher),
        validation=0,
        device="cpu",
        precision=options.precision,
        torch_compile=options.compile,
    )
    plan = make_plan(request, Splits(data, None))
    run = plan.run()
    compute = plan.compute
    return run.advance, f"{compute.precision}, {'compiled' if compute.compile else 'not compiled'}"


def _theirs(options: Options, module: nn.Module) -> Callable[[], None]:
    """Return a step of the authors' loop, with their parts."""
    assert options.theirs is not None
    small = options.side <= 32
    code = _imported(options.theirs / "SRe2L" / "recover" / "utils.py")
    hooks = [code.BNFeatureHook(one) for one in module.modules() if isinstance(one, nn.BatchNorm2d)]
    rate, weight = SMALL if small else LARGE
    inputs = torch.randn(options.classes, 3, options.side, options.side, requires_grad=True)
    targets = torch.arange(options.classes)
    optimiser = torch.optim.Adam([inputs], lr=rate, betas=(0.5, 0.9), eps=1e-8)
    criterion, best = nn.CrossEntropyLoss(), [1e4]
    crop = transforms.Compose(
        [transforms.RandomResizedCrop(options.side), transforms.RandomHorizontalFlip()]
    )
    kept: list[Tensor] = []

    def step() -> None:
        seen = inputs if small else crop(inputs)
        seen = torch.roll(seen, (random.randint(0, 32), random.randint(0, 32)), dims=(2, 3))
        optimiser.zero_grad()
        loss = criterion(module(seen), targets)
        factors = [10.0, *(1.0 for _ in hooks[1:])]
        loss = loss + weight * sum(h.r_feature * f for h, f in zip(hooks, factors, strict=True))
        if not small:
            _, rough = code.get_image_prior_losses(seen)
            loss = loss + 1e-4 * rough + 1e-5 * seen.reshape(len(seen), -1).norm(dim=1).mean()
        loss.backward()
        optimiser.step()
        inputs.data = code.clip(inputs.data)
        if best[0] > loss.item():
            kept[:] = [inputs.data.clone()]

    return step


def _imported(path: Path) -> Any:
    """Return a module of the authors' by its file."""
    spec = importlib.util.spec_from_file_location("authors_utils", path)
    if spec is None or spec.loader is None or not path.is_file():
        sys.exit(f"--theirs: there is no {path}")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


if __name__ == "__main__":
    main(tyro.cli(Options))
