"""Figure 4 of the low-rank plugin's paper: memories of five methods, class after class.

    uv run python benchmarks/continual.py runs --data cifar10=npz:cifar10.npz

Three panels (CIFAR-10 in 5 steps at 10 images per class, CIFAR-100 in 5 and in 10 at 20), three
orders of the classes, each method with its own settings but for the lengths that are given here
and told in the page's title. Every run lies in a folder of its own and goes on where it was left;
the page is written anew after each. Without data given, named sets are read as `attar condense`
reads them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

import attar
from attar.applications.continual.page import write_several
from attar.applications.continual.results import ContinualResult, Step
from attar.applications.continual.telling import ContinualCallback

# data, steps, images of each class, rank of lodm: 80 images of each class, as in its paper
PANELS = {
    "CIFAR-10, 5 steps": ("cifar10", 5, 10, 2),
    "CIFAR-100, 5 steps": ("cifar100", 5, 20, 4),
    "CIFAR-100, 10 steps": ("cifar100", 10, 20, 4),
}
METHODS = ("random", "herding", "dsa", "dm", "lodm")


@dataclass(frozen=True)
class Options:
    """What is run."""

    output: Annotated[Path, tyro.conf.Positional]
    """Folder of all runs, and of the page figure-4.html."""
    data: tuple[str, ...] = ()
    """Where data lie, as NAME=SOURCE."""
    iterations: int = 200
    """Updates of each condensed set of dm and lodm; the papers: 20,000."""
    loops: int = 20
    """Outer loops of dsa; the papers: 1000."""
    epochs: int = 100
    """Of each network; the papers: 1000."""
    updates: int | None = None
    """Of each network, in place of epochs, which are more updates of a larger memory."""
    repeats: int = 1
    """Networks after each step; the papers: 3."""
    orders: int = 3
    """Orders of the classes; the papers: 5."""
    network: str = "convnet3:width=32"
    """To match in and to be tested."""
    per_class: int | None = None
    """The most training images of a class."""
    classes: int | None = None
    """The first classes of CIFAR-100 alone."""
    share: int = 1
    """Divides the memory of each class."""
    batch_real: int = 256
    """Real images of a class in an update."""
    only: tuple[str, ...] = ()
    """Names of methods; all where left out."""
    panels: tuple[str, ...] = tuple(PANELS)
    """Those to run, in this order."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Compile what is trained."""


class Lines(ContinualCallback):
    """Prints one line for every step."""

    def measured(self, step: Step) -> None:
        """Say what it came to."""
        print(f"  order {step.order}, {step.seen} classes: {step.mean:.2f} %", flush=True)


def main(options: Options) -> None:
    """Run all panels, or what is left of them."""
    found: dict[str, list[ContinualResult]] = {name: [] for name in PANELS}
    length = f"{options.epochs} epochs" if options.updates is None else f"{options.updates} updates"
    title = (
        f"Figure 4: {options.network}, {options.iterations} updates of each set, {length} of each "
        f"network, {options.orders} orders"
    )
    for panel in options.panels:
        for method in METHODS:
            if options.only and method not in options.only:
                continue
            print(f"{panel}: {method}", flush=True)
            found[panel].append(one_run(options, panel, method))
            write_several(options.output / "figure-4.html", title, found)


def one_run(options: Options, panel: str, method: str) -> ContinualResult:
    """Run one method of one panel, or what is left of it."""
    data, steps, ipc, rank = PANELS[panel]
    more: dict[str, Any] = {"rank": rank} if method == "lodm" else {}
    if not attar.methods.METHODS[method].coreset:
        more["iterations"] = options.loops if method == "dsa" else options.iterations
        more["settings"] = f"batch_real={options.batch_real}"
    if options.updates is None:
        more["epochs"] = options.epochs
    return attar.continual(
        dict(one.split("=", 1) for one in options.data).get(data, data),
        steps,
        f"{max(1, ipc // options.share)}ipc",
        method=method,
        orders=options.orders,
        repeats=options.repeats,
        updates=options.updates,
        network=options.network,
        torch_compile=options.compile,
        per_class=options.per_class,
        classes=options.classes if data == "cifar100" else None,
        validation=0,  # as in the papers, the last update counts
        output=options.output / f"{data}-{steps}-{method}",
        callback=Lines(),
        **more,
    )


if __name__ == "__main__":
    main(tyro.cli(Options))
