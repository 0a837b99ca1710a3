"""`attar bench`: a suite on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from attar import threads
from attar.options import Folder, Name, Number, Whole, option

if TYPE_CHECKING:
    from attar.benching.session import Account, Progress


@dataclass(frozen=True)
class Bench:
    """Run a suite: datasets × methods × budgets × networks × seeds, resumed where it stopped."""

    suite: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="SUITE.yaml")]
    """The suite; suites/README.md tells the format."""
    output: Annotated[Path | None, option("DIR", "-o")] = None
    """Folder for sets, accuracies, logs and tables; attar-bench/NAME-SIZE where left out. What
    is there and unchanged is not done again."""
    size: Name = None
    """One of the suite's sizes, such as laptop or paper; laptop where left out."""
    smallest: bool = False
    """Everything at its shortest on digits, to see that the suite runs."""
    jobs: Whole = None
    """Pieces of work at once, each in a process with its share of the cores; 0 for one after
    the other in this process. Left out: one for every GPU, or for every core where there is
    none."""
    ray: Annotated[str | None, option("ADDRESS")] = None
    """Do the work on a Ray cluster, such as auto or ray://host:10001; local starts one on this
    machine (needs the extra 'ray')."""
    data: Annotated[tuple[str, ...], option("NAME=SOURCE")] = ()
    """Read a dataset of the suite from elsewhere, such as cifar10=npz:cifar10.npz."""
    data_dir: Folder = None
    """Where named data sets lie (else $ATTAR_DATA or ~/.cache/attar)."""
    max_minutes: Number = None
    """Stop after this many minutes, with checkpoints; the same command goes on."""
    checkpoint_seconds: float = 60.0
    """The longest time between two checkpoints of a set."""
    json: bool = False
    """Print one JSON object with every cell."""

    def run(self) -> None:
        """Carry it out."""
        _run(self)


def _run(options: Bench) -> None:
    """Run `attar bench`; work that failed or is left makes the exit status 1."""
    from attar.cli import console
    from attar.errors import RunFailed

    console.err.print(f"attar bench: reading {options.suite}", **console.PLAIN)
    # after the first line, since torch takes seconds
    from attar.benching.session import Asked, bench
    from attar.cli.bench_progress import Lines

    if options.jobs == 0:
        threads.use()
    asked = Asked(
        options.suite,
        options.output,
        options.size,
        options.smallest,
        options.jobs,
        options.ray,
        options.data,
        options.data_dir,
        options.max_minutes,
        options.checkpoint_seconds,
    )
    account, progress = bench(asked, Lines(console.err))
    if options.json:
        console.print_json(_as_json(account, progress))
    else:
        _print(account)
    if progress.left:
        raise RunFailed(_left(account, progress))


def _left(account: Account, progress: Progress) -> str:
    why = [f"{len(progress.failures)} failed"] if progress.failures else []
    why += [progress.stopped] if progress.stopped else []
    return (
        f"{progress.left} of {progress.total} pieces of work are not done "
        f"({'; '.join(why) or 'they depend on others'}); go on with: {account.command}"
    )


def _as_json(account: Account, progress: Progress) -> dict[str, Any]:
    from attar.benching.results import as_record

    return {
        "suite": account.sized.suite.name,
        "size": account.sized.size,
        "shrinks": list(account.sized.shrinks),
        "folder": str(account.root),
        "done": progress.done,
        "total": progress.total,
        "stopped": progress.stopped,
        "failures": progress.failures,
        "cells": [as_record(cell, account.root) for cell in account.cells],
    }


def _print(account: Account) -> None:
    from attar.benching.tables import rows_of
    from attar.cli.console import Grid, out

    for one in account.tables:
        table = Grid(title=one.title, caption=one.caption)
        for index, head in enumerate(one.heads):
            table.add_column(head, justify="right" if index else "left")
        for row in rows_of(one):
            table.add_row(*row)
        out.print(table, highlight=False)
    for name in ("results.csv", "results.md", "results.html"):
        out.print(str(account.root / name), highlight=False, soft_wrap=True)
