"""Seconds per update of FRePo beside the plainest PyTorch form of the same update.

    uv run python benchmarks/frepo_step.py --ipc 1 --width 128

The plain form is written out below: modules as they are, float32, nothing compiled; real features
without a graph, everything else in one. Both begin with the same set and networks, see the same
real images and take turns in one process, so that what else the machine does hits both. Images
are random pixels of CIFAR-10's shape: the arithmetic is that of real ones. Prints the median of
both and the median ratio of a turn, in seconds and in seconds that the processor was busy with
this process, which a crowded machine disturbs less; and the losses of the first and last update.
With ``--uses`` above 1 a turn is so many updates, of which ours looks at real images in the first
and trains the network in the last, and the plain form does both in each, so that losses differ;
seconds are those of an update on average.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import tyro
from torch import Tensor, nn

from attar import compute as computing
from attar.condensing.engine import Run
from attar.data import LabelledImages, Preprocessing
from attar.lamb import Lamb
from attar.methods import METHODS, Task
from attar.networks import build
from attar.objectives import KernelRegression, Problem
from attar.rng import Key
from attar.synthetic import Layout, Synthetic
from attar.tensors import dotted

CLASSES = 10
SHAPE = (3, 32, 32)


@dataclass(frozen=True)
class Options:
    """What is run."""

    ipc: int = 1
    """Images per class."""
    width: int = 128
    """Channels of the first block."""
    batch: int = 1024
    """Real images per update."""
    updates: int = 5
    """Turns of each that are counted, after one that is not."""
    uses: int = 1
    """Updates of a turn, of which ours looks at real images in the first alone."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of our form."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Of our form."""
    chunk: int | None = None
    """Images per call of our form."""
    device: str = "auto"
    """Of both."""


def random_data(count: int) -> LabelledImages:
    """Return ``count`` images of random pixels."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, *SHAPE), generator=generator).to(torch.uint8)
    names = tuple(str(label) for label in range(CLASSES))
    plain = Preprocessing((0.5,) * 3, (0.25,) * 3)
    return LabelledImages(images, torch.arange(count) % CLASSES, names, plain, "random")


def our_run(options: Options) -> Run:
    """Return a run with the method's own settings but for the batch."""
    recipe = METHODS["frepo"].recipe(Task("cifar10", options.ipc, SHAPE, CLASSES))
    assert isinstance(recipe.objective, KernelRegression)
    objective = dataclasses.replace(recipe.objective, batch_real=options.batch, uses=options.uses)
    compute = computing.choose(
        options.device, options.precision, options.compile, chunk=options.chunk
    )
    network = build(f"{recipe.network}:width={options.width}", *_shape(), CLASSES)
    layout = Layout(CLASSES, options.ipc, SHAPE)
    synthetic = Synthetic(layout, recipe.parametrization, learned_labels=True)
    synthetic.images.start_from_noise(Key(1))
    assert synthetic.labels is not None
    synthetic.labels.fit(recipe.first_labels(layout))
    data = random_data(2 * options.batch).to(compute.device)
    problem = Problem(data, network, layout, compute)
    return Run(synthetic.to(compute.device), objective, problem, recipe.optimisers, Key(0))


def _shape() -> tuple[int, tuple[int, int]]:
    channels, height, width = SHAPE
    return channels, (height, width)


class Plain:
    """The same update as anyone would write it."""

    def __init__(self, run: Run) -> None:
        self.run = run
        rows = torch.arange(len(run.synthetic), device=run.problem.compute.device)
        with torch.no_grad():
            images, labels = run.synthetic(rows)
        self.images = images.clone().requires_grad_()
        self.labels = labels.clone().requires_grad_()
        self.optimiser = Lamb([self.images, self.labels], lr=run.updater.settings["images"].lr)
        self.networks = {name: self._module(state) for name, state in run.state["pool"].items()}
        self.trainers = {
            name: torch.optim.Adam(network.parameters(), lr=3e-4)
            for name, network in self.networks.items()
        }

    def _module(self, state: dict[str, Any]) -> nn.Module:
        problem = self.run.problem
        module = problem.network.draw(Key(0), problem.compute.device)
        named = dotted(state["network"]).items()
        module.load_state_dict({k.removeprefix("module."): v.contiguous() for k, v in named})
        return module

    def update(self, name: str, index: Tensor) -> float:
        """Update the set in the network of this name, then the network."""
        data, network = self.run.problem.data, self.networks[name]
        real = data.take(index).to(self.images.device)
        targets = data.target(index).to(self.images.device) - 1 / CLASSES
        network.eval()
        with torch.no_grad():
            real = network.embed(real)  # pyright: ignore[reportCallIssue]
        x = torch.cat([self.images, self.images.flip(-1)])
        y = torch.cat([self.labels, self.labels])
        x = network.embed(x)  # pyright: ignore[reportCallIssue]
        gram = x @ x.T
        gram = gram + 1e-6 * gram.trace() / len(gram) * torch.eye(len(gram), device=gram.device)
        predicted = real @ x.T @ torch.linalg.solve(gram, y)
        top = self.labels.topk(2, dim=1).values
        loss = 0.5 * (predicted - targets).square().sum(dim=1).mean()
        loss = loss - (top[:, 0] - top[:, 1]).clamp_max(1 / CLASSES).mean()
        self.images.grad, self.labels.grad = torch.autograd.grad(loss, [self.images, self.labels])
        self.optimiser.step()
        network.train()
        trainer = self.trainers[name]
        trainer.zero_grad()
        error = network(self.images.detach()) - self.labels.detach()
        (0.5 * error.square().sum(dim=1).mean()).backward()
        trainer.step()
        return loss.item()


def timed(function: Callable[[], float], device: torch.device) -> tuple[float, float, float]:
    """Return the seconds that a call takes, those of the processor, and what it returns."""
    start, busy = time.perf_counter(), time.process_time()
    result = function()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start, time.process_time() - busy, result


def _mean(found: Sequence[tuple[float, float, float]]) -> tuple[float, float, float]:
    """Return the mean seconds of some updates, and the loss of the last."""
    wall, busy, losses = zip(*found, strict=True)
    return sum(wall) / len(found), sum(busy) / len(found), losses[-1]


def main() -> None:
    """Let both take turns and print the comparison."""
    options = tyro.cli(Options)
    run = our_run(options)
    plain, device = Plain(run), run.problem.compute.device
    print(f"{options}\n{run.problem.compute}")
    rows = []
    for _ in range(options.updates + 1):
        turn = []
        for use in range(options.uses):
            name = run.state["network"]
            # the images that the objective draws
            first = run.key.fold("step", run.step - use).fold("real").generator()
            some = torch.randperm(len(run.problem.data), generator=first)[: options.batch]
            ours = timed(run.advance, device)
            theirs = timed(lambda name=name, some=some: plain.update(name, some), device)
            turn.append((ours, theirs))
        rows.append(tuple(_mean(one) for one in zip(*turn, strict=True)))
    for which, (ours, theirs) in (("first", rows[0]), ("last", rows[-1])):
        print(f"loss of the {which} turn: ours {ours[2]:.6f}, plain {theirs[2]:.6f}")
    print(f"first turn of ours, with compilation: {rows[0][0][0] * options.uses:.1f} s")
    for side, unit in enumerate(("seconds", "processor seconds")):
        pairs = [(ours[side], theirs[side]) for ours, theirs in rows[1:]]
        ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(theirs / ours for ours, theirs in pairs)
        print(f"{unit} per update: ours {ours:.3f}, plain {theirs:.3f}; ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
