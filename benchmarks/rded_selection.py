"""RDED's selection of crops beside the authors' code, on the same pictures with the same teacher.

    git clone https://github.com/LINs-lab/RDED
    python benchmarks/rded_selection.py tiny_imagenet --theirs RDED --per-class 50

Both get pictures that are decoded already, and draw five crops of each; times are CPU seconds of
one process, taken by turns, the median of each. Theirs runs on the CPU: what moves tensors to a GPU
in it leaves them where they are.
"""

from __future__ import annotations

import importlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro
from torch import Tensor, nn
from torchvision import transforms
from torchvision.transforms.functional import to_pil_image

from attar import compute as computing
from attar.coresets import Crops
from attar.data import LabelledImages, load_source
from attar.networks import make_for
from attar.rng import Key
from attar.shapes import least_side
from attar.teachers.file import save_teacher
from attar.teachers.teacher import Teacher, tensors_of


@dataclass(frozen=True)
class Options:
    """What is selected from."""

    source: Annotated[str, tyro.conf.Positional]
    """The pictures, square ones in colour."""
    theirs: Path | None = None
    """A clone of the authors' repository; left out: ours alone."""
    network: str = "convnet4:norm=batch"
    """The teacher, freshly drawn: its weights do not bear on time."""
    resize: int | None = None
    """Bring all pictures to this side."""
    per_class: int = 50
    """Pictures of each class, of which 300 at most are looked at."""
    images: int = 10
    """Wanted of each class."""
    factor: int = 1
    """Crops side by side."""
    rounds: int = 3
    """How often each is timed."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Of ours: auto takes what a run on these pictures takes, on what it takes on many; what is
    compiled is compiled before."""


def main(options: Options) -> None:
    """Print both times and their ratio."""
    data = load_source(options.source, per_class=options.per_class, resize=options.resize).train
    network = make_for(options.network, data.shape, data.classes)
    effort = network.effort(5.0 * len(data))
    compute = computing.choose("cpu", compile=options.compile, pixels=effort)
    module = network.draw(Key(0)).eval()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "one.teacher.safetensors"
        save_teacher(path, Teacher(network, compute, tensors_of(module)), data)
        selector = Crops(teacher=str(path), crop_factor=options.factor)

        def ours() -> None:
            sizes = [options.images] * data.classes
            selector.chosen(data, sizes, network, compute, Key(0))

        ways: dict[str, Callable[[], None]] = {"ours": ours}
        if options.theirs is not None:
            ways["theirs"] = _theirs(options, data, module, Path(folder))
        if compute.compile:
            ours()
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, way in ways.items():
                began = time.process_time()
                way()
                taken[name].append(time.process_time() - began)
    found = {name: statistics.median(each) for name, each in taken.items()}
    said = ", ".join(f"{name} {one:.2f} s" for name, one in found.items())
    ratio = f", {found['theirs'] / found['ours']:.1f} times" if "theirs" in found else ""
    print(f"{len(data)} pictures of {least_side(data.shape)}, {compute.precision}: {said}{ratio}")


def _theirs(
    options: Options, data: LabelledImages, module: nn.Module, folder: Path
) -> Callable[[], None]:
    """Return what selects by the authors' code."""
    code, side = _imported(options, folder), least_side(data.shape)
    crop = transforms.Compose(
        [transforms.ToTensor(), code.MultiRandomCrop(5, side, options.factor), code.normalize]
    )
    pictures = [[to_pil_image(one) for one in data.images[own]] for own in data.indices_of_class]

    def run() -> None:
        for label, own in enumerate(pictures):
            crops = torch.stack([crop(one) for one in own[:300]])
            labels = torch.full((len(crops),), label)
            found = code.selector(
                options.images * options.factor**2, module, crops, labels, side, m=5
            )
            code.mix_images(found, side, options.factor, options.images)

    return run


def _imported(options: Options, folder: Path) -> Any:
    """Return the authors' module of selection, which reads a command line when it is imported."""
    assert options.theirs is not None
    sys.path.insert(0, str(options.theirs.resolve()))
    before, where = sys.argv, Path.cwd()
    sys.argv = ["main.py", "--subset", "cifar10"]
    try:
        # it makes folders where it is
        os.chdir(folder)
        found = importlib.import_module("synthesize.utils")
    finally:
        sys.argv = before
        os.chdir(where)
    Tensor.cuda = lambda self, *_, **__: self  # pyright: ignore[reportAttributeAccessIssue]
    return found


if __name__ == "__main__":
    main(tyro.cli(Options))
