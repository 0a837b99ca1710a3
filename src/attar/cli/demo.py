"""`attar demo`: the whole road in under two minutes, on data that come along."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from attar import threads
from attar.cli import evaluating, reporting
from attar.cli.clock import CLOCK
from attar.cli.console import PLAIN, err
from attar.cli.tables import print_rows
from attar.condensing.request import Request
from attar.errors import AttarError
from attar.options import Whole

IPC = 1
ITERATIONS = 200
# digits are small: a quarter of the usual real batch gives the same result sooner
SETTINGS = ("batch_real=64",)
EPOCHS = 150
REPEATS = 3
# what evaluating takes, in times of what condensing did (measured in seconds of one thread: 70 of
# 97), whatever the machine
FURTHER = 0.75


@dataclass(frozen=True)
class Demo:
    """Condense handwritten digits, evaluate the result, and write a report. Needs no network."""

    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("attar-demo")
    """Folder for the artefact and the report."""
    seed: int = 0
    """Everything random follows from it."""
    threads: Whole = None
    """CPU threads; left out: one for every core that is free, or as OMP_NUM_THREADS says."""

    def run(self) -> None:
        """Carry it out."""
        try:
            run(self.output, self.seed, self.threads)
        except AttarError as error:
            raise type(error)(_without_other_options(str(error))) from error


def _without_other_options(text: str) -> str:
    """Return what went wrong, without advice to use options of other commands."""
    own = {f"--{name}" for name in Demo.__dataclass_fields__}
    parts = re.split(r"(?<=[.;]) ", text)
    kept = [part for part in parts if own.issuperset(re.findall(r"--[a-z][a-z-]*", part))]
    return " ".join(kept).rstrip(";.") + "; 'attar demo' starts again"


def run(folder: Path, seed: int, count: int | None) -> None:
    """Condense the digits, evaluate beside the baselines, and write artefact and report.

    Args:
        folder: for both.
        seed: everything random follows from it.
        count: CPU threads; None for one on every core that is free.
    """
    err.print("attar demo: reading digits", **PLAIN)
    from attar.condensing.condense import carry_out
    from attar.condensing.progress import ProgressBar
    from attar.evaluation.comparison import evaluate
    from attar.evaluation.record import digest

    path = folder / "digits.safetensors"
    request = Request(
        method="lodm",
        ipc=IPC,
        iterations=ITERATIONS,
        settings=SETTINGS,
        validations=2,
        seed=seed,
        output=path,
        overwrite=True,
    )
    bar = ProgressBar(err, threads.use(count), FURTHER)
    try:
        artefact = carry_out(request, "digits", bar, CLOCK.began)
    finally:
        bar.stop()
    err.print(
        "training fresh networks on the condensed set, on random real images of the same bytes, "
        "and on the whole training set",
        highlight=False,
        soft_wrap=True,
    )
    sha256 = digest(path)
    with err.status("training") as status:
        rows = evaluate(
            path,
            "digits",
            repeats=REPEATS,
            epochs=EPOCHS,
            baselines=True,
            seed=seed,
            callback=evaluating.Accuracies(status, REPEATS),
        )
    print_rows(rows)
    reporting.keep(path, sha256, "digits", rows)
    reporting.write_one(folder / "report.html", path, artefact, rows)
    err.print(f"artefact: {path}", highlight=False, soft_wrap=True)
