"""The real side of distribution matching: a forward pass without gradients, by images of a call.

    uv run python benchmarks/embedding.py --network convnet3 --chunks 8 16 32 64

Milliseconds of the processor for an image, medians of rounds in which all take turns, beside those
of the network's convolutions alone on maps of the same sizes in the same precision and layout, at
the chunk that runs take: what is above these are normalization, activation, pooling and calls.
"""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import tyro
from torch import Tensor, nn

from attar import compute as computing
from attar.compute import CHUNK, Functional
from attar.networks import build
from attar.rng import Key

# images of a round
IMAGES = 640


@dataclass(frozen=True)
class Options:
    """What is measured."""

    network: str = "convnet3"
    """A network of convolutions."""
    side: int = 32
    """Of the images, in pixels."""
    chunks: tuple[int, ...] = (8, 16, 32, 64)
    """Images of a call."""
    rounds: int = 5
    """Of all, by turns."""
    threads: int = 1
    """Of the processor."""
    compile: Literal["auto", "on", "off"] = "on"
    """Whether the network is compiled."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the network."""


def convolutions(module: nn.Module, images: Tensor, dtype: torch.dtype) -> Callable[[], None]:
    """Return what runs the convolutions of a module alone, on maps of the sizes that they meet."""
    calls: list[tuple[nn.Conv2d, Tensor]] = []

    def note(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        assert isinstance(layer, nn.Conv2d)
        found = torch.randn(given[0].shape).to(dtype).to(memory_format=torch.channels_last)
        calls.append((layer, found))

    layers = [one for one in module.modules() if isinstance(one, nn.Conv2d)]
    hooks = [one.register_forward_pre_hook(note) for one in layers]
    module(images)
    for hook in hooks:
        hook.remove()
    module.to(dtype).to(memory_format=torch.channels_last)

    def run() -> None:
        for layer, maps in calls:
            layer(maps)

    return run


@torch.no_grad()
def main(options: Options) -> None:
    """Print a table."""
    torch.set_num_threads(options.threads)
    network = build(options.network, 3, (options.side, options.side), 10)
    base = computing.choose("cpu", options.precision, options.compile)
    ways: dict[str, tuple[int, Callable[[], object]]] = {}
    for chunk in options.chunks:
        compute = dataclasses.replace(base, chunk=chunk)
        function = Functional(network.draw(Key(0)), "embed", compute)
        tensors = function.tensors(network.draw(Key(0)))
        images = torch.randn(chunk, 3, options.side, options.side)

        def whole(function: Functional = function, tensors=tensors, images=images) -> object:
            return function.chunk(tensors, images)

        ways[f"{chunk} images a call"] = chunk, whole
    usual = CHUNK["cpu"]
    images = torch.randn(usual, 3, options.side, options.side)
    dtype = torch.bfloat16 if base.precision == "bfloat16" else torch.float32
    alone = convolutions(network.draw(Key(0)), images, dtype)
    ways[f"convolutions alone, {usual}"] = usual, alone
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _, way in ways.values():
        way()
    for _ in range(options.rounds):
        for name, (count, way) in ways.items():
            times = max(1, IMAGES // count)
            began = time.process_time()
            for _ in range(times):
                way()
            taken[name].append((time.process_time() - began) / times / count)
    print(f"{options.network}, {options.side} pixels, {base.precision}, compiled {base.compile}")
    print("| | ms / image |\n|---|---|")
    for name, found in taken.items():
        print(f"| {name} | {1e3 * statistics.median(found):.3f} |")


if __name__ == "__main__":
    main(tyro.cli(Options))
