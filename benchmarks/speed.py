"""Seconds per iteration of distribution matching, beside the authors' own code.

    uv run python benchmarks/speed.py --dm DIR --plugin DIR --source npz:cifar10.npz

``--dm`` is a clone of VICO-UoE/DatasetCondensation (whose augmentation current PyTorch refuses at
one image per class) or of the plugin, which holds the same script with that mended;
``--plugin`` is a clone of EnnengYang/An-Efficient-Dataset-Condensation-Plugin. Their scripts are
run as they are, on data kept in memory, and an iteration is the time between two networks that
they draw. Every variant runs in a process of its own, in turn, several rounds; the table gives
medians over all iterations but the first of each process, ratios to the authors' code, and peak
memory.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import resource
import runpy
import statistics
import subprocess
import sys
import time
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

# name → environment, precision and compilation of ours; each adds one lever to the one before
LEVERS: dict[str, tuple[dict[str, str], str, str]] = {
    "ours, eager float32, system allocator": ({"ATTAR_ALLOCATOR": "system"}, "float32", "off"),
    "+ allocator": ({}, "float32", "off"),
    "+ compiled": ({}, "float32", "on"),
    "+ bfloat16 (default)": ({}, "bfloat16", "on"),
}


@dataclass(frozen=True)
class Options:
    """What is run."""

    source: str
    """CIFAR-10, as attar condense takes it."""
    dm: Path | None = None
    """Clone of the DM authors' repository."""
    plugin: Path | None = None
    """Clone of the plugin authors' repository."""
    ipc: tuple[int, ...] = (1, 10)
    """Images per class."""
    batch: tuple[int, ...] = (64, 256)
    """Real images per class."""
    iterations: int = 6
    """Per process; the first is not counted."""
    rounds: int = 2
    """Processes per variant."""
    output: Path = Path("results/speed.json")
    """Where all times go."""
    worker: str = ""
    """For internal use: the variant that this process measures, as JSON."""


def measure_ours(options: Options, job: dict[str, Any]) -> list[float]:
    """Return seconds per iteration of our engine."""
    from attar.memory import keep_memory

    keep_memory()
    from attar.data import load_source
    from attar.plan import make_plan
    from attar.request import Request

    request = Request(
        method=job["method"],
        ipc=job["ipc"],
        set=(f"batch_real={job['batch']}",),
        precision=job["precision"],
        compile=job["compile"],
        validation=0,
    )
    run = make_plan(request, load_source(options.source)).run()
    times = []
    for _ in range(options.iterations):
        start = time.perf_counter()
        run.advance()
        times.append(time.perf_counter() - start)
    return times


def measure_theirs(options: Options, job: dict[str, Any]) -> list[float]:
    """Return seconds per iteration of the authors' script, run as it is."""
    import scipy.ndimage
    import torch
    import torchvision

    from attar.data import load_source

    folder, script = Path(job["folder"]), job["script"]
    # a module that SciPy has since removed, which the script only imports
    old = types.ModuleType("scipy.ndimage.interpolation")
    old.rotate = scipy.ndimage.rotate  # pyright: ignore[reportAttributeAccessIssue]
    sys.modules[old.__name__] = old
    splits = load_source(options.source)

    class InMemory(torch.utils.data.Dataset[Any]):
        def __init__(self, root: str, train: bool = True, **others: Any) -> None:
            self.data = splits.train if train else splits.test
            self.classes = list(self.data.class_names)
            # as many images per class as the largest batch needs
            self.index = torch.cat([own[:300] for own in self.data.indices_of_class])

        def __len__(self) -> int:
            return len(self.index)

        def __getitem__(self, item: int) -> tuple[torch.Tensor, int]:
            row = self.index[item : item + 1]
            return self.data.take(row)[0], int(self.data.labels[row])

    torchvision.datasets.CIFAR10 = InMemory  # pyright: ignore[reportAttributeAccessIssue]
    sys.path.insert(0, str(folder))
    os.chdir(job["scratch"])
    utils = __import__("utils")
    drawn = utils.get_network
    stamps: list[float] = []

    class Enough(Exception):
        pass

    def stamped(*arguments: Any) -> Any:
        stamps.append(time.perf_counter())
        if len(stamps) > options.iterations:
            raise Enough
        return drawn(*arguments)

    utils.get_network = stamped
    sys.argv = [script, "--dataset", "CIFAR10", "--model", "ConvNet", "--ipc", str(job["ipc"])]
    sys.argv += ["--batch_real", str(job["batch"]), "--num_exp", "1", "--num_eval", "0"]
    sys.argv += ["--dsa_strategy", "color_crop_cutout_flip_scale_rotate"]
    sys.argv += ["--data_path", job["scratch"] + "/", "--save_path", job["scratch"] + "/"]
    with contextlib.suppress(Enough):
        runpy.run_path(str(folder / script), run_name="__main__")
    return [after - before for before, after in itertools.pairwise(stamps)]


def work(options: Options) -> None:
    """Measure one variant and print its times and peak memory as JSON."""
    job = json.loads(options.worker)
    times = measure_theirs(options, job) if "script" in job else measure_ours(options, job)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print("\nRESULT " + json.dumps({"seconds": times[1:], "first": times[0], "peak": peak}))


def variants(options: Options, method: str, ipc: int, batch: int) -> dict[str, dict[str, Any]]:
    """Return the jobs to compare, by name; the authors' own first."""
    import tempfile

    shape = {"method": method, "ipc": ipc, "batch": batch}
    folder, script = (
        (options.dm, "main_DM.py") if method == "dm" else (options.plugin, "main_LoDM.py")
    )
    jobs: dict[str, dict[str, Any]] = {}
    if folder is not None:
        scratch = tempfile.mkdtemp()
        theirs = {"folder": str(folder.resolve()), "script": script, "scratch": scratch}
        jobs["authors' code"] = {**shape, **theirs}
    for name, (environment, precision, compile) in LEVERS.items():
        settings = {"precision": precision, "compile": compile, "environment": environment}
        jobs[name] = {**shape, **settings}
    return jobs


def run_worker(options: Options, job: dict[str, Any]) -> dict[str, Any]:
    """Measure one variant in a process of its own."""
    command = [sys.executable, __file__, "--source", options.source]
    command += ["--iterations", str(options.iterations), "--worker", json.dumps(job)]
    environment = {**os.environ, **job.get("environment", {})}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            return json.loads(line.removeprefix("RESULT "))
    raise SystemExit(f"{job} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")


def main() -> None:
    """Measure every shape and print one table each."""
    options = tyro.cli(Options)
    if options.worker:
        work(options)
        return
    options.output.parent.mkdir(parents=True, exist_ok=True)
    everything = []
    methods = [m for m, folder in (("dm", options.dm), ("lodm", options.plugin)) if folder]
    for method in methods or ["dm"]:
        for ipc in options.ipc:
            for batch in options.batch:
                jobs = variants(options, method, ipc, batch)
                found: dict[str, list[dict[str, Any]]] = {name: [] for name in jobs}
                for _ in range(options.rounds):
                    for name, job in jobs.items():
                        found[name].append(run_worker(options, job))
                everything.append({"method": method, "ipc": ipc, "batch": batch, "runs": found})
                options.output.write_text(json.dumps(everything, indent=1), encoding="utf-8")
                show(method, ipc, batch, found)


def show(method: str, ipc: int, batch: int, found: dict[str, list[dict[str, Any]]]) -> None:
    """Print one table."""
    print(f"\n{method}, ipc {ipc}, {batch} real images per class\n")
    print("| variant | s / iteration | times as fast | first step s | peak GB |")
    print("|---|---|---|---|---|")
    base = None
    for name, runs in found.items():
        seconds = statistics.median(s for run in runs for s in run["seconds"])
        base = base or seconds
        first = statistics.median(run["first"] for run in runs)
        peak = max(run["peak"] for run in runs) / 1e9
        print(f"| {name} | {seconds:.3f} | {base / seconds:.2f} | {first:.1f} | {peak:.2f} |")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
