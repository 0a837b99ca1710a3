"""The tangent kernel of 500×500 pairs of digits, beside neural-tangents in one run.

    python benchmarks/kernel_step.py --peer FOLDER [--count 500] [--rounds 3]

FOLDER holds neural-tangents (`pip install --target FOLDER 'neural-tangents==0.6.5' 'jax==0.4.30'
'jaxlib==0.4.30' 'tf2jax==0.3.6'`); without it Attar is timed alone. Both compute in float64 on one
core, in turns, ours with the allocator set as the command line sets it; neural-tangents is compiled
beforehand and goes through the pairs in the batches that served it best of those tried. What is
told is the median of CPU seconds, the ratio of the two, and their largest difference.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from attar.data import load_source
from attar.kernels import infinite
from attar.memory import keep_memory
from attar.networks import make_for

# each as Attar and as neural-tangents call it, and images per batch of the peer
NETWORKS = {
    "mlp": ("fc", 250),
    "convnet3:norm=none,pooling=none": ("conv", 250),
    "convnet3:norm=none": ("pool", 25),
}
_PEER = r"""
import sys, time
import jax
jax.config.update("jax_enable_x64", True)
import numpy as np
import neural_tangents as nt
from neural_tangents import stax

relu = stax.Relu()
dense = lambda: stax.Dense(1, 2**0.5, 0.1)
conv = lambda: stax.Conv(1, (3, 3), padding="SAME", W_std=2**0.5, b_std=0.1)
pool = lambda: stax.AvgPool((2, 2), (2, 2))
nets = {
    "fc": [stax.Flatten(), dense(), relu, dense(), relu, dense()],
    "conv": [conv(), relu] * 3 + [stax.Flatten(), dense()],
    "pool": [conv(), relu, pool()] * 3 + [stax.Flatten(), dense()],
}
images = np.moveaxis(np.load(sys.argv[1]), 1, -1)
for line in sys.stdin:
    name, batch, out = line.split()
    kernel = nt.batch(stax.serial(*nets[name])[2], batch_size=int(batch))
    if out == "warm":
        few = images[: int(batch)]
        np.asarray(kernel(few, few, "ntk"))
        print(0, flush=True)
        continue
    start = time.process_time()
    found = np.asarray(kernel(images, images[::-1], "ntk"))
    print(time.process_time() - start, flush=True)
    np.save(out, found)
    print("saved", flush=True)
"""


def main() -> None:
    """Print one line per network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", type=Path)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    keep_memory()
    # in three channels, so that the first convolution is padded as any other
    digits = load_source("digits").train.take(torch.arange(asked.count)).expand(-1, 3, -1, -1)
    peer = _Peer(asked.peer, digits.numpy()) if asked.peer else None
    try:
        for name in asked.networks:
            told(name, digits, peer, asked.rounds)
    finally:
        if peer is not None:
            peer.close()


def told(name: str, digits: torch.Tensor, peer: _Peer | None, rounds: int) -> None:
    """Time one network in turns, and print the line."""
    kernel = infinite(make_for(name, tuple(digits.shape[1:]), 10))
    called, batch = NETWORKS[name]

    def own() -> tuple[float, np.ndarray]:
        start = time.process_time()
        found = kernel.gram(digits, digits.flip(0))
        return time.process_time() - start, found.numpy()

    kernel.gram(digits[:20], digits[:20])
    ways: list[Callable[[], tuple[float, np.ndarray]]] = [own]
    if peer is not None:
        peer.warm(called, batch)
        ways.append(lambda: peer.timed(called, batch))
    seconds: list[list[float]] = [[] for _ in ways]
    found: list[np.ndarray] = [np.empty(0) for _ in ways]
    for _ in range(rounds):
        for number, way in enumerate(ways):
            took, found[number] = way()
            seconds[number].append(took)
    middle = [statistics.median(each) for each in seconds]
    line = f"{name}: {middle[0]:.3f} s"
    if peer is not None:
        difference = float(np.abs(found[0] - found[1]).max())
        line += f", neural-tangents {middle[1]:.3f} s ({middle[1] / middle[0]:.2f} times as long)"
        line += f", largest difference {difference:.1e}"
    print(line, flush=True)


class _Peer:
    """neural-tangents in a process of its own, on one core."""

    def __init__(self, folder: Path, images: np.ndarray) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="attar-kernel-step-")
        self._out = Path(self._folder.name) / "kernel.npy"
        given = Path(self._folder.name) / "images.npy"
        np.save(given, np.ascontiguousarray(images, dtype=np.float64))
        core = min(os.sched_getaffinity(0))
        self._process = subprocess.Popen(
            ["taskset", "-c", str(core), sys.executable, "-c", _PEER, str(given)],
            env={**os.environ, "PYTHONPATH": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def warm(self, name: str, batch: int) -> None:
        """Compile a kernel."""
        self._ask(f"{name} {batch} warm")

    def timed(self, name: str, batch: int) -> tuple[float, np.ndarray]:
        """Return CPU seconds and the kernel."""
        took = float(self._ask(f"{name} {batch} {self._out}"))
        self._line()
        return took, np.load(self._out)

    def close(self) -> None:
        """End the process, and remove its files."""
        self._process.terminate()
        self._process.wait()
        self._folder.cleanup()

    def _ask(self, line: str) -> str:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


if __name__ == "__main__":
    main()
