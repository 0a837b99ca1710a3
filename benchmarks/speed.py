"""Seconds per update of the synthetic set, beside the authors' own code.

    uv run python benchmarks/speed.py --dm DIR --plugin DIR --source npz:cifar10.npz --method dc

``--dm`` is a clone of VICO-UoE/DatasetCondensation, which has DM and DC; ``--plugin`` is a clone of
EnnengYang/An-Efficient-Dataset-Condensation-Plugin, which has the low-rank forms, and DM and DSA
with an augmentation mended for current PyTorch. Their scripts are run as they are, on data kept
in memory; the time between two networks that they draw is divided by the updates made with one.
Every variant runs in a process of its own, in turn, several rounds; the table gives medians over
all networks but the first of each process, ratios to the authors' code, and peak memory. The
first process of a compiled variant starts with an empty compiler cache, which the later ones
find filled. The last rows are a bound: the step's multiplications at the speed that this machine
multiplies the matrices of the middle convolution.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import resource
import runpy
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from beside import print_result, restore_old_scipy, result_of

# name → environment, precision and compilation of ours; each adds one lever to the one before
LEVERS: dict[str, tuple[dict[str, str], str, str]] = {
    "ours, eager float32, system allocator": ({"ATTAR_ALLOCATOR": "system"}, "float32", "off"),
    "+ allocator": ({}, "float32", "off"),
    "+ compiled": ({}, "float32", "on"),
    "+ bfloat16 (default)": ({}, "bfloat16", "on"),
}
# method → whose clone, script, further arguments
SCRIPTS: dict[str, tuple[str, str, list[str]]] = {
    "dc": ("dm", "main.py", ["--method", "DC"]),
    "dsa": ("plugin", "main_DC.py", ["--method", "DSA"]),
    "lodc": ("plugin", "main_LoDC.py", ["--method", "DC"]),
    "lodsa": ("plugin", "main_LoDC.py", ["--method", "DSA"]),
    "dm": ("dm", "main_DM.py", []),
    "lodm": ("plugin", "main_LoDM.py", []),
}
MATCHING = ("dc", "dsa", "lodc", "lodsa")


@dataclass(frozen=True)
class Options:
    """What is run."""

    source: str
    """Real images, as attar condense takes them."""
    dm: Path | None = None
    """Clone of the DC, DSA and DM authors' repository."""
    plugin: Path | None = None
    """Clone of the plugin authors' repository."""
    earlier: Path | None = None
    """Checkout of an earlier Attar, which is measured beside this one."""
    method: tuple[str, ...] = ("dm", "lodm")
    """Methods: dc, dsa, lodc, lodsa, dm or lodm."""
    ipc: tuple[int, ...] = (1, 10)
    """Images per class."""
    batch: tuple[int, ...] = (64, 256)
    """Real images per class."""
    outer: int = 1
    """Updates of the set with one network, for gradient matching."""
    inner: int = 1
    """Epochs of network training between two of them."""
    classes: tuple[int, ...] = ()
    """Take the first so many classes; all where left out."""
    variants: tuple[str, ...] = ("authors' code", *LEVERS)
    """Rows of the table."""
    iterations: int = 6
    """Networks per process; the first is not counted."""
    rounds: int = 2
    """Processes per variant."""
    device: str = "auto"
    """Of ours, as attar condense takes it; the authors' scripts take a GPU where there is one."""
    output: Path = Path("results/speed.json")
    """Where all times go."""
    worker: str = ""
    """For internal use: the variant that this process measures, as JSON."""


def splits_of(options: Options, job: dict[str, Any]) -> Any:
    """Return the real images, of all or of the first classes."""
    from attar.data import load_source

    classes = job["classes"]
    return load_source(options.source, classes=classes) if classes else load_source(options.source)


def run_of(options: Options, job: dict[str, Any], precision: str, compile: str) -> Any:
    """Return our run at its beginning."""
    from attar.memory import keep_memory

    keep_memory()
    from attar.condensing.planning import make_plan
    from attar.condensing.request import Request

    settings = [f"batch_real={job['batch']}"]
    if job["method"] in MATCHING:
        settings += [f"outer={job['outer']}", f"inner={job['inner']}"]
    request = Request(
        method=job["method"],
        ipc=job["ipc"],
        settings=tuple(settings),
        precision=precision,  # pyright: ignore[reportArgumentType]
        torch_compile=compile,  # pyright: ignore[reportArgumentType]
        validation=0,
        device=options.device,
        chunk=job.get("chunk"),
    )
    return make_plan(request, splits_of(options, job)).run()


def measure_ours(options: Options, job: dict[str, Any]) -> list[float]:
    """Return seconds per update, one figure per network."""
    run = run_of(options, job, job["precision"], job["compile"])
    times = []
    for _ in range(options.iterations):
        start = time.perf_counter()
        for _ in range(job["outer"]):
            run.advance()
        synchronise()
        times.append((time.perf_counter() - start) / job["outer"])
    return times


def synchronise() -> None:
    """Wait for a GPU, where there is one."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def measure_theirs(options: Options, job: dict[str, Any]) -> list[float]:
    """Return seconds per update of the authors' script, run as it is, one figure per network."""
    import torch

    folder, script = Path(job["folder"]), job["script"]
    restore_old_scipy()
    train = splits_of(options, job).train

    class InMemory(torch.utils.data.Dataset[Any]):
        def __init__(self) -> None:
            # as many images per class as the largest batch needs
            self.index = torch.cat([own[:300] for own in train.indices_of_class])

        def __len__(self) -> int:
            return len(self.index)

        def __getitem__(self, item: int) -> tuple[torch.Tensor, int]:
            row = self.index[item : item + 1]
            return train.take(row)[0], int(train.labels[row])

    def get_dataset(name: str, path: str) -> tuple[Any, ...]:
        data, (channels, *size) = InMemory(), train.shape
        constants = (train.preprocessing.mean, train.preprocessing.std)
        loader = torch.utils.data.DataLoader(data, batch_size=256)
        names = list(train.class_names)
        return channels, tuple(size), len(names), names, *constants, data, data, loader

    sys.path.insert(0, str(folder))
    os.chdir(job["scratch"])
    utils = __import__("utils")
    drawn = utils.get_network
    stamps: list[float] = []

    class Enough(Exception):
        pass

    def stamped(*arguments: Any) -> Any:
        synchronise()
        stamps.append(time.perf_counter())
        if len(stamps) > options.iterations:
            raise Enough
        return drawn(*arguments)

    utils.get_network = stamped
    utils.get_dataset = get_dataset
    utils.get_loops = lambda ipc: (job["outer"], job["inner"])
    sys.argv = [script, *job["arguments"], "--model", "ConvNet", "--ipc", str(job["ipc"])]
    sys.argv += ["--batch_real", str(job["batch"]), "--num_exp", "1", "--num_eval", "0"]
    if job["method"] not in ("dc", "lodc"):
        sys.argv += ["--dsa_strategy", "color_crop_cutout_flip_scale_rotate"]
    sys.argv += ["--data_path", job["scratch"] + "/", "--save_path", job["scratch"] + "/"]
    with contextlib.suppress(Enough):
        runpy.run_path(str(folder / script), run_name="__main__")
    return [(after - before) / job["outer"] for before, after in itertools.pairwise(stamps)]


def measure_bound(options: Options, job: dict[str, Any]) -> list[float]:
    """Return the seconds that the multiplications of one step take as matrix products."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    run = run_of(options, {**job, "outer": 1}, "float32", "off")
    with FlopCounterMode(display=False) as counted:
        run.probe()
    # the second convolution of ConvNet-3, on 32 maps of 16×16
    kind = getattr(torch, job["precision"])
    left, right = torch.randn(8192, 1152).to(kind), torch.randn(1152, 128).to(kind)
    seconds = []
    for _ in range(30):
        start = time.perf_counter()
        torch.mm(left, right)
        seconds.append(time.perf_counter() - start)
    speed = 2 * 8192 * 1152 * 128 / statistics.median(seconds)
    return [counted.get_total_flops() / speed] * 2


def work(options: Options) -> None:
    """Measure one variant and print its times and peak memory as JSON."""
    job = json.loads(options.worker)
    measure = {"theirs": measure_theirs, "bound": measure_bound}.get(job["what"], measure_ours)
    times = measure(options, job)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print_result({"seconds": times[1:], "first": times[0], "peak": peak})


def jobs_of(options: Options, shape: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the variants to compare, by name; the authors' own first."""
    whose, script, arguments = SCRIPTS[shape["method"]]
    folder = options.dm if whose == "dm" else options.plugin
    jobs: dict[str, dict[str, Any]] = {}
    if folder is not None:
        theirs = {"folder": str(folder.resolve()), "script": script, "arguments": arguments}
        jobs["authors' code"] = {**shape, **theirs, "what": "theirs"}
        jobs["authors' code"]["scratch"] = tempfile.mkdtemp()
    for name, (environment, precision, compile) in LEVERS.items():
        cache = {"TORCHINDUCTOR_CACHE_DIR": tempfile.mkdtemp()}
        settings = {"precision": precision, "compile": compile}
        settings |= {"environment": {**environment, **cache}, "what": "ours"}
        jobs[name] = {**shape, **settings}
    chosen = {name: job for name, job in jobs.items() if name in options.variants}
    if options.earlier is not None:
        chosen |= {
            f"{name}, earlier": {**job, "earlier": str(options.earlier.resolve())}
            for name, job in chosen.items()
            if job["what"] == "ours"
        }
    for precision in ("float32", "bfloat16"):
        name = f"bound: matrix products, {precision}"
        chosen[name] = {**shape, "precision": precision, "what": "bound"}
    return chosen


def run_worker(options: Options, job: dict[str, Any]) -> dict[str, Any]:
    """Measure one variant in a process of its own."""
    arguments = ["--source", options.source, "--iterations", str(options.iterations)]
    arguments += ["--device", options.device]
    earlier = job.get("earlier", "")
    return result_of(__file__, job, arguments, job.get("environment"), earlier=earlier)


def main() -> None:
    """Measure every shape and print one table each."""
    options = tyro.cli(Options)
    if options.worker:
        work(options)
        return
    options.output.parent.mkdir(parents=True, exist_ok=True)
    everything = []
    shapes = itertools.product(options.method, options.ipc, options.batch, options.classes or (0,))
    for method, ipc, batch, classes in shapes:
        shape: dict[str, Any] = {"method": method, "ipc": ipc, "batch": batch, "classes": classes}
        loops = (options.outer, options.inner) if method in MATCHING else (1, 1)
        shape["outer"], shape["inner"] = loops
        jobs = jobs_of(options, shape)
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in jobs}
        for _ in range(options.rounds):
            for name, job in jobs.items():
                found[name].append(run_worker(options, job))
        everything.append({**shape, "runs": found})
        options.output.write_text(json.dumps(everything, indent=1), encoding="utf-8")
        show(shape, found)


def show(shape: dict[str, Any], found: dict[str, list[dict[str, Any]]]) -> None:
    """Print one table."""
    print("\n" + ", ".join(f"{name} {value}" for name, value in shape.items() if value) + "\n")
    print("| variant | s / update | times as fast | first, empty cache | first, later | peak GB |")
    print("|---|---|---|---|---|---|")
    base = None
    for name, runs in found.items():
        seconds = statistics.median(s for run in runs for s in run["seconds"])
        base = base or seconds
        row = f"| {name} | {seconds:.3f} | {base / seconds:.2f} |"
        if name.startswith("bound"):
            print(f"{row} | | |")
            continue
        later = f"{runs[-1]['first']:.1f}" if len(runs) > 1 else ""
        peak = max(run["peak"] for run in runs) / 1e9
        print(f"{row} {runs[0]['first']:.1f} | {later} | {peak:.2f} |")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
