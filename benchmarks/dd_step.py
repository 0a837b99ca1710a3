"""CPU seconds of a gradient of dataset distillation, beside the authors' code, in turn.

    uv run python benchmarks/dd_step.py --dd DIR

``--dd`` is a clone of SsnL/dataset-distillation. Its networks and the forward and backward pass of
its trainer are imported as they are; its drawing and its two losses, which are cross-entropy, are
replaced. Both train LeNet on 28×28 digits by 10 steps × 3 epochs of one
image of each class and are judged by 1,024 images; the images are random.
"""

from __future__ import annotations

import statistics
import sys
import time
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from torch.nn import functional

from attar.compute import choose
from attar.data import LabelledImages, Preprocessing
from attar.networks import make_for
from attar.objectives import DatasetDistillation, Problem
from attar.rng import Key
from attar.synthetic import Layout

SHAPE, CLASSES = (1, 28, 28), 10


@dataclass(frozen=True)
class Options:
    """What is run."""

    dd: Path | None = None
    """Clone of the authors' repository; only ours where left out."""
    steps: int = 10
    """Steps of an epoch."""
    epochs: int = 3
    """Epochs."""
    batch_real: int = 1024
    """Real images that judge."""
    rounds: int = 7
    """Gradients that are counted of each, after one that is not."""
    compile: bool = False
    """Compile ours."""


def theirs(options: Options) -> Callable[[], Any]:
    """Return a gradient by the authors' trainer."""
    sys.path.insert(0, str(options.dd))
    # its package draws and reads files, of which nothing is timed
    stub = types.ModuleType("utils")
    stub.__path__ = [str(Path(str(options.dd)) / "utils")]
    sys.modules["utils"] = stub
    sys.modules["utils.io"] = types.ModuleType("utils.io")
    for place, name in (("utils.io", "save_results"), ("basics", "evaluate_steps")):
        setattr(sys.modules.setdefault(place, types.ModuleType(place)), name, None)
    basics = sys.modules["basics"]
    basics.task_loss = lambda state, output, label: functional.cross_entropy(output, label)  # pyright: ignore[reportAttributeAccessIssue]
    basics.final_objective_loss = basics.task_loss  # pyright: ignore[reportAttributeAccessIssue]
    sys.modules.setdefault("six", types.ModuleType("six")).add_metaclass = _with_metaclass  # pyright: ignore[reportAttributeAccessIssue]
    networks = __import__("networks.networks", fromlist=["LeNet"])
    trainer = __import__("train_distilled_image").Trainer
    state = types.SimpleNamespace(
        num_classes=CLASSES,
        nc=1,
        input_size=28,
        dropout=False,
        mode="distill_basic",
        device=torch.device("cpu"),
        init="xavier",
        init_param=1.0,
    )
    one = object.__new__(trainer)
    one.state = state
    model = networks.LeNet(state)
    data = [torch.randn(CLASSES, *SHAPE, requires_grad=True) for _ in range(options.steps)]
    labels = torch.arange(CLASSES)
    rates = torch.full((options.steps * options.epochs, 1), 0.02, requires_grad=True)
    real = torch.randn(options.batch_real, *SHAPE)
    truth = torch.randint(CLASSES, (options.batch_real,))

    def gradient() -> Any:
        model.reset(state)
        steps = [(data[i % options.steps], labels, rate) for i, rate in enumerate(rates.unbind())]
        loss, saved = one.forward(model, real, truth, steps)
        return loss, one.backward(model, real, truth, steps, saved)

    return gradient


def _with_metaclass(kind: type) -> Callable[[type], type]:
    """Return what six calls ``add_metaclass``, which may not be installed."""

    def made(given: type) -> type:
        own = {n: one for n, one in vars(given).items() if n not in ("__dict__", "__weakref__")}
        return kind(given.__name__, given.__bases__, own)

    return made


def ours(options: Options) -> Callable[[], Any]:
    """Return a gradient by the objective."""
    real = torch.randint(0, 256, (options.batch_real, *SHAPE), dtype=torch.uint8)
    truth = torch.arange(options.batch_real) % CLASSES
    names = tuple(map(str, range(CLASSES)))
    data = LabelledImages(real, truth, names, Preprocessing((0.13,), (0.31,)), "mnist")
    layout = Layout(CLASSES, options.steps, SHAPE)
    compute = choose("cpu", "float32", "on" if options.compile else "off")
    problem = Problem(data, make_for("lenet", SHAPE, CLASSES), layout, compute)
    objective = DatasetDistillation(options.steps, options.epochs, batch_real=options.batch_real)
    images, labels = torch.randn(layout.rows, *SHAPE), torch.eye(CLASSES)[layout.class_of_row()]
    learned = objective.learned(problem)
    return lambda: objective.match(images, labels, problem, {}, Key(0), learned)


def main(options: Options) -> None:
    """Print the median CPU seconds of each, and their ratio."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = {"attar": ours(options)} | ({} if options.dd is None else {"authors": theirs(options)})
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    for turn in range(options.rounds + 1):
        for name, gradient in rows.items():
            begin = time.process_time()
            gradient()
            if turn:
                seconds[name].append(time.process_time() - begin)
    found = {name: statistics.median(all_of_them) for name, all_of_them in seconds.items()}
    for name, median in found.items():
        print(f"{name}: {median:.3f} s")
    if "authors" in found:
        print(f"{found['authors'] / found['attar']:.2f} times as fast")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
