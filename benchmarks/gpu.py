"""What a GPU shows in a quarter of an hour: steps beside the authors' code, then whole runs.

    uv run python benchmarks/gpu.py npz:cifar10.npz --plugin DIR --dm DIR --mtt DIR -o gpu.json
    uv run python benchmarks/gpu.py digits --device cpu --tiny -o tiny.json

Updates of LoDM, DC and MTT, in float32, in TF32 and in bfloat16, as they are and compiled, with
CUDA graphs, and with the real images of all classes in one call; the clones are those of `speed.py`
and `trajectory_step.py`, which measure each. Then LoDM on all of the source at 1 and 10 images per
class, condensed for so many minutes and evaluated. Every part is a process of its own with a limit
of time; what tells most comes first, and results are written after every part, so that whatever
ends it leaves what was found. ``--tiny`` is for a machine without a GPU: the same parts, small.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

import speed
import trajectory_step
from beside import print_result, result_of

# name → precision, compiled, TF32, CUDA graphs, images of a call
VARIANTS: dict[str, dict[str, Any]] = {
    "float32": {"precision": "float32"},
    "bfloat16": {"precision": "bfloat16"},
    "bfloat16, compiled": {"precision": "bfloat16", "compile": "on"},
    "TF32": {"precision": "float32", "tf32": True},
    "TF32, compiled": {"precision": "float32", "tf32": True, "compile": "on"},
    "bfloat16, CUDA graphs": {"precision": "bfloat16", "compile": "on", "graphs": True},
    "bfloat16, all classes in one call": {"precision": "bfloat16", "chunk": 2**15},
    "bfloat16, a class in a call": {"precision": "bfloat16", "chunk": 256},
    "float32, compiled": {"precision": "float32", "compile": "on"},
}
FIRST = 3
METHODS = ("lodm", "dc", "mtt")


@dataclass(frozen=True)
class Options:
    """What is run."""

    source: Annotated[str, tyro.conf.Positional]
    """Real images, as attar condense takes them."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("results/gpu.json")
    """Where results go, after every part."""
    dm: Path | None = None
    """Clone of VICO-UoE/DatasetCondensation."""
    plugin: Path | None = None
    """Clone of EnnengYang/An-Efficient-Dataset-Condensation-Plugin."""
    mtt: Path | None = None
    """Clone of GeorgeCazenavette/mtt-distillation."""
    device: str = "cuda"
    """Where ours runs; the authors' code takes a GPU where there is one."""
    minutes: float = 14.0
    """Of everything."""
    part: float = 1.5
    """Minutes of one part of steps, at most."""
    condense: float = 1.5
    """Minutes of each whole condensation; its evaluation may take as long again."""
    methods: tuple[str, ...] = METHODS
    """Of which steps are measured: lodm, dc, mtt."""
    tiny: bool = False
    """Small sizes and few updates, to see that every part runs."""
    worker: str = ""
    """For internal use: the part that this process measures, as JSON."""


def parts(options: Options) -> Iterator[dict[str, Any]]:
    """Yield all parts, those that tell most first."""
    clones = {"lodm": options.plugin, "dc": options.dm, "mtt": options.mtt}
    names = list(VARIANTS)
    for method in options.methods:
        clone = clones[method]
        if clone is not None:
            yield {"method": method, "variant": "authors", "folder": str(clone.resolve())}
        yield from ({"method": method, "variant": name} for name in names[:FIRST])
    yield from ({"method": "lodm", "whole": ipc} for ipc in (1, 10))
    for name in names[FIRST:]:
        for method in options.methods:
            # trajectories have no real images in their steps
            if method != "mtt" or "chunk" not in VARIANTS[name]:
                yield {"method": method, "variant": name}


def limit(options: Options, part: dict[str, Any]) -> float:
    """Return the seconds that a part may take, were there time without end."""
    if "whole" in part:
        return 60 * (2 * options.condense + 0.5)
    return 60 * options.part


def main(options: Options) -> None:
    """Measure part after part."""
    if options.worker:
        print_result(measure(options, json.loads(options.worker)))
        return
    options.output.parent.mkdir(parents=True, exist_ok=True)
    began, found = time.perf_counter(), []
    kept = {**dataclasses.asdict(options), "output": "", "worker": ""}
    whole = sum(limit(options, one) for one in parts(options) if "whole" in one)
    for part in parts(options):
        left = 60 * options.minutes - (time.perf_counter() - began)
        # steps leave room for the whole runs behind them
        room = left if "whole" in part or not whole else left - whole
        whole -= limit(options, part) if "whole" in part else 0.0
        taken = time.perf_counter()
        found.append({**part, **attempt(options, part, min(limit(options, part), room))})
        found[-1] |= {"folder": "", "taken": time.perf_counter() - taken}
        print(json.dumps(found[-1]), flush=True)
        text = json.dumps({"options": kept, "parts": found}, indent=1, default=str)
        options.output.write_text(text, encoding="utf-8")


def attempt(options: Options, part: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Return what a part gives within so many seconds, or why it gives nothing."""
    if seconds < 1:
        return {"why": "no time was left"}
    arguments = [options.source, "--device", options.device, "--condense", str(options.condense)]
    arguments += ["--tiny"] * options.tiny
    with tempfile.TemporaryDirectory() as scratch:
        try:
            job = {**part, "scratch": scratch}
            return result_of(__file__, job, arguments, seconds=seconds)
        except subprocess.TimeoutExpired:
            return {"why": f"it took more than {seconds:.0f} s"}
        except SystemExit as error:
            return {"why": str(error)[-2000:]}


def measure(options: Options, job: dict[str, Any]) -> dict[str, Any]:
    """Return what one part gives, in this process."""
    import torch

    given = VARIANTS.get(job.get("variant", ""), {})
    torch.backends.cuda.matmul.allow_tf32 = bool(given.get("tf32"))
    torch.backends.cudnn.allow_tf32 = bool(given.get("tf32"))
    if given.get("graphs"):
        import torch._inductor.config as inductor

        inductor.triton.cudagraphs = True
    found = {"device": options.device, "torch": torch.__version__}
    if options.device.startswith("cuda"):
        found["device"] = torch.cuda.get_device_name()
    if "whole" in job:
        return found | whole_run(options, job)
    if job["method"] == "mtt":
        return found | trajectory(options, job, given)
    return found | step(options, job, given)


def step(options: Options, job: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Return the seconds of an update of LoDM or DC, as `speed.py` measures it."""
    batch, rounds = (4, 2) if options.tiny else (256, 12)
    asked = speed.Options(options.source, iterations=rounds, device=options.device)
    full = {"ipc": 1 if options.tiny else 10, "batch": batch, "classes": 0, "outer": 1, "inner": 1}
    full |= {"compile": "off"} | given | job
    if job["variant"] == "authors":
        _, script, arguments = speed.SCRIPTS[job["method"]]
        full |= {"script": script, "arguments": arguments}
        seconds = speed.measure_theirs(asked, full)
    else:
        seconds = speed.measure_ours(asked, full)
    return {"first": seconds[0], "seconds": seconds[1:]}


def trajectory(options: Options, job: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Return the seconds of an update of MTT, as `trajectory_step.py` measures it."""
    import torch

    small: dict[str, Any] = {"updates": 8, "steps": 20}
    if options.tiny:
        small = {"width": 4, "updates": 1, "steps": 2}
    asked = trajectory_step.Options(
        device=options.device,
        precision=given.get("precision", "float32"),
        compile=given.get("compile", "off"),
        **small,
    )
    full = {"steps": asked.steps, "per_class": 1 if options.tiny else 10} | job
    if job["variant"] != "authors":
        return trajectory_step.measure_ours(asked, {**full, "what": "trajectory"})
    torch.set_default_device(options.device)
    return trajectory_step.measure_theirs(asked, full)


def whole_run(options: Options, job: dict[str, Any]) -> dict[str, Any]:
    """Return the accuracy of LoDM after some minutes of condensing."""
    import attar

    length: dict[str, Any] = {"minutes": options.condense}
    if options.tiny:
        length = {"iterations": 2, "settings": {"batch_real": 4}, "network": "convnet3:width=4"}
        length |= {"per_class": 20, "torch_compile": "off"}
    began = time.perf_counter()
    made = attar.condense(
        options.source, method="lodm", ipc=job["whole"], device=options.device, **length
    )
    condensed = time.perf_counter() - began
    few: dict[str, Any] = {"epochs": 1, "repeats": 1} if options.tiny else {"repeats": 3}
    row = attar.evaluate(made, device=options.device, **few)[0].results[0]
    return {
        "condensing": condensed,
        "updates": made.header.step,
        "bytes": made.nbytes,
        "images": len(made),
        "accuracies": list(row.accuracies),
        "evaluating": time.perf_counter() - began - condensed,
    }


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
