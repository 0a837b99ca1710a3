"""What five commands say at their start that they will take, and what they took.

    uv run python benchmarks/estimates.py

Each runs in a process of its own; the first line that it prints is timed as well. A command whose
estimate is not within 1.5 times of the truth is marked.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import tyro

UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}
SUITE = """
name: small
datasets:
  digits: {source: digits}
methods: [{method: random}, {method: dm}]
budgets: [1, 2]
networks: [convnet3]
seeds: [0]
repeats: 2
evaluation: {epochs: 100}
options: {iterations: 60, set: [batch_real=64]}
"""


@dataclass(frozen=True)
class Options:
    """What is run."""

    folder: Path | None = None
    """Where files go; a temporary folder where left out."""
    only: tuple[str, ...] = ()
    """Commands by name; all where left out."""


def commands(folder: Path) -> dict[str, list[str]]:
    """Return the commands, each with what it needs from the ones before."""
    made, small = folder / "made.safetensors", folder / "small.safetensors"
    suite = folder / "suite.yaml"
    suite.write_text(SUITE, encoding="utf-8")
    few = ["--set", "batch_real=64"]
    return {
        "condense": ["digits", "--ipc", "2", "--iterations", "200", *few, "-o", str(made)],
        "evaluate": [str(made), "--baselines", "--repeats", "3", "--epochs", "150"],
        "slim": [str(made), "--ipc", "1", "--iterations", "100", "-o", str(small)],
        "demo": ["-o", str(folder / "demo")],
        "bench": [str(suite), "-o", str(folder / "bench")],
    }


def timed(name: str, words: list[str]) -> tuple[float, float, float]:
    """Return the seconds to the first line, those of the estimate, and those that it took."""
    begin = time.perf_counter()
    first, estimate = 0.0, float("nan")
    process = subprocess.Popen(
        [sys.executable, "-m", "attar", name, *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    )
    assert process.stderr is not None
    for line in process.stderr:
        first = first or time.perf_counter() - begin
        found = re.search(r"estimate: (?:about )?([\d.]+) (s|min|h) in all", line)
        if found and estimate != estimate:
            estimate = float(found[1]) * UNITS[found[2]]
    if process.wait() != 0:
        raise SystemExit(f"attar {name} {' '.join(words)}: status {process.returncode}")
    return first, estimate, time.perf_counter() - begin


def main() -> None:
    """Run every command and print a Markdown table."""
    options = tyro.cli(Options)
    folder = options.folder or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    print("| command | first line, s | estimate, s | took, s | took / estimate |")
    print("|---|---|---|---|---|")
    for name, words in commands(folder).items():
        if options.only and name not in options.only:
            continue
        first, estimate, took = timed(name, words)
        ratio = took / estimate
        mark = "" if 1 / 1.5 <= ratio <= 1.5 else " **off**"
        shown = " ".join(word.replace(f"{folder}/", "") for word in words)
        row = f"`attar {name} {shown}` | {first:.2f} | {estimate:.0f} | {took:.0f} | {ratio:.2f}"
        print(f"| {row}{mark} |", flush=True)


if __name__ == "__main__":
    main()
