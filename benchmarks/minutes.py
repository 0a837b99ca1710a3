"""Accuracy against minutes at several budgets: the picture of docs/choosing.md.

    uv run python benchmarks/minutes.py npz:cifar10.npz --minutes 2

Methods that are trained have the minutes given, and so many iterates of them are measured on the
way; those that choose real images are done where they are. All are judged by the same updates of
the same networks on a tenth of the training images, which no set is made from; the test images are
not looked at. A finished run is kept in a file and not done again. The picture is of all data sets
in that file; ``--draw-only`` makes it of what is there.
"""

from __future__ import annotations

import json
import math
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

import attar
from attar.artefact.snapshots import load_snapshots
from attar.budget import format_bytes
from attar.data import Splits, load_source
from attar.rng import Key

HELD_OUT = 0.1
# budgets where none are given, in full float32 images of every class
SHARES = (0.25, 1, 10)
# pictures below this side are not halved
HALVED_FROM = 16


@dataclass(frozen=True)
class Options:
    """What is run."""

    source: Annotated[str, tyro.conf.Positional] = "digits"
    """The images, as 'attar condense' takes them."""
    budgets: tuple[int, ...] = ()
    """Bytes of the sets, all counted; left out: of a quarter of a float32 image, one and ten for
    every class."""
    minutes: float = 2.0
    """Wall minutes of what is trained."""
    points: int = 4
    """Iterates that are measured, evenly spread over them."""
    network: str = "convnet3:width=32"
    """Network to match in, and to be judged by."""
    updates: int = 200
    """Of every network."""
    repeats: int = 1
    """Networks of every point."""
    only: tuple[str, ...] = ()
    """Names of methods; all where left out."""
    seed: int = 0
    """Of sets and networks."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Whether networks are compiled."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the networks."""
    results: Path = Path("minutes.jsonl")
    """Where finished runs are kept."""
    drawing: Path | None = None
    """The SVG to draw."""
    draw_only: bool = False
    """Measure nothing."""


def methods(side: int) -> dict[str, dict[str, Any]]:
    """Return the options of every method, by its name, for images of a side in pixels."""
    half = {"form": f"resized:side={-(-side // 2)}"} if side >= HALVED_FROM else {}
    return {
        "random, float32": {"method": "random"},
        "coded real images": {"method": "coded"},
        "default": {"method": "best"},
        "DM, float32": {"method": "fastdm"},
        "DM, few bits": {"method": "fastdm", **half, "storage": "int4:rate=3.5"},
        "LoDM, float32": {"method": "fastlodm"},
        "LoDM, few bits": {"method": "fastlodm", "storage": "int4:rate=3.5"},
        "KFS, float16": {"method": "fastkfs"},
    }


class Clock(attar.Callback):
    """Notes when each update was done, in seconds since the run began."""

    def __init__(self) -> None:
        self.at: dict[int, float] = {}

    def stepped(self, step: int, loss: float, share: float, seconds: float) -> None:
        """Note one."""
        self.at[step] = seconds


def iterates(
    options: Options, asked: dict[str, Any], size: int, data: Splits
) -> list[tuple[float, attar.Artefact]]:
    """Return sets, and the minutes after which each was there."""
    trained = asked["method"].startswith("fast")
    limits: dict[str, Any] = {}
    if trained or asked["method"] == "best":
        limits = {"minutes": options.minutes}
    if trained:
        limits |= {"validation": 0, "snapshots": options.points + 1}
    clock, began = Clock(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "set.safetensors"
        made = attar.condense(
            Splits(data.train, None, source=options.source),
            **asked,
            **limits,
            max_bytes=size,
            network=options.network,
            seed=options.seed,
            torch_compile=options.compile,
            precision=options.precision,
            output=output,
            callback=clock,
        )
        taken = (time.perf_counter() - began) / 60
        if not trained:
            return [(taken, made)]
        kept = load_snapshots(output.with_suffix(".snapshots.safetensors"))
    found = [(clock.at[one.header.step] / 60, one) for one in kept if one.header.step in clock.at]
    return [*found[:-1], (taken, found[-1][1])]


def measured(
    options: Options, name: str, asked: dict[str, Any], size: int, data: Splits
) -> dict[str, Any]:
    """Return what was found of a method at a budget."""
    points = []
    for minutes, found in iterates(options, asked, size, data):
        judged = attar.evaluate(
            found,
            data,
            networks=options.network,
            updates=options.updates,
            repeats=options.repeats,
            seed=options.seed,
            torch_compile=options.compile,
            precision=options.precision,
        )[0]
        points.append(
            {
                "minutes": round(minutes, 3),
                "updates": found.header.step,
                "images": found.totals.images_per_class,
                "bytes": found.totals.all,
                "accuracies": list(judged.results[0].accuracies),
            }
        )
    return {"method": name, "data": data.train.name, "budget": size, "points": points}


def told(found: dict[str, Any]) -> str:
    """Return a run as a row of Markdown."""
    course = ", ".join(
        f"{statistics.fmean(one['accuracies']):.1f} ({one['minutes']:.1f} min)"
        for one in found["points"]
    )
    last = found["points"][-1]
    cells = [found["data"], found["budget"], found["method"], last["images"], last["bytes"], course]
    return f"| {' | '.join(map(str, cells))} |"


def kept(path: Path) -> list[dict[str, Any]]:
    """Return the finished runs of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def measure(options: Options) -> None:
    """Measure what is not there yet, and print a Markdown table."""
    whole = load_source(options.source).train
    train, held = whole.split(HELD_OUT, Key(options.seed).fold("held out"))
    data = Splits(train, held, source=options.source)
    one = train.classes * math.prod(train.shape) * 4
    budgets = options.budgets or tuple(round(share * one) for share in SHARES)
    fixed = ("source", "minutes", "points", "network", "updates", "repeats", "seed")
    asked = {name: getattr(options, name) for name in fixed}
    print(f"attar {attar.__version__}: {asked}\n")
    print("| data | budget | method | images a class | bytes | accuracy (minutes) |")
    print("|---|---|---|---|---|---|", flush=True)
    for size in budgets:
        for name, given in methods(min(train.shape[1:])).items():
            if options.only and name not in options.only:
                continue
            own = {**asked, "method": name, "budget": size}
            found = next((run for run in kept(options.results) if run["asked"] == own), None)
            if found is None:
                try:
                    found = measured(options, name, given, size, data) | {"asked": own}
                except attar.AttarError as error:
                    print(f"| {train.name} | {size} | {name} | | | {error} |", flush=True)
                    continue
                with options.results.open("a") as out:
                    out.write(json.dumps(found) + "\n")
            print(told(found), flush=True)


def draw(runs: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw accuracy against minutes: a row for each data set, a panel for each budget."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot as plt

    # words stay words, and the same runs give the same file
    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "attar", "font.size": 8})
    names = list(dict.fromkeys(run["data"] for run in runs))
    order = list(methods(HALVED_FROM))
    budgets = {
        name: sorted({run["budget"] for run in runs if run["data"] == name}) for name in names
    }
    columns = max(map(len, budgets.values()))
    most = max(point["minutes"] for run in runs for point in run["points"])
    figure, panels = plt.subplots(
        len(names), columns, figsize=(2.5 * columns, 2.2 * len(names) + 0.6), squeeze=False,
        sharey="row", sharex=True,
    )  # fmt: skip
    lines: dict[str, Any] = {}
    for line, name in enumerate(names):
        for column, size in enumerate(budgets[name]):
            panel = panels[line][column]
            panel.set_title(f"{name}, {format_bytes(size)}", fontsize=8)
            panel.grid(alpha=0.3, linewidth=0.5)
            for run in runs:
                if (run["data"], run["budget"]) == (name, size):
                    lines[run["method"]] = _line(panel, run, order, most)
        panels[line][0].set_ylabel("accuracy in %")
    for panel in panels[-1]:
        panel.set_xlabel("minutes")
    shown = [one for one in order if one in lines]
    figure.legend([lines[one] for one in shown], shown, loc="lower center", ncols=4, frameon=False)
    figure.tight_layout(rect=(0, 0.6 / (2.2 * len(names) + 0.6), 1, 1))
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    plt.close(figure)


def _line(panel: Any, run: dict[str, Any], order: Sequence[str], most: float) -> Any:
    """Draw one run; real images stay as they are once they are chosen."""
    minutes = [one["minutes"] for one in run["points"]]
    heights = [statistics.fmean(one["accuracies"]) for one in run["points"]]
    colour = f"C{order.index(run['method'])}"
    if len(run["points"]) == 1:
        panel.plot([*minutes, most], heights * 2, "--", color=colour, linewidth=1)
        return panel.plot(minutes, heights, "s", color=colour, markersize=3)[0]
    return panel.plot(minutes, heights, "o-", color=colour, linewidth=1.2, markersize=3)[0]


def main() -> None:
    """Measure, and draw where it is asked for."""
    options = tyro.cli(Options, description=__doc__)
    if not options.draw_only:
        measure(options)
    runs = kept(options.results)
    if options.drawing is not None and runs:
        draw(runs, options.drawing)


if __name__ == "__main__":
    main()
