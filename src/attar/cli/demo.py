"""`attar demo`: the whole road in under two minutes, on data that come along."""

from __future__ import annotations

from pathlib import Path

from attar.cli import commands
from attar.memory import keep_memory
from attar.request import Request

IPC = 1
ITERATIONS = 300
# digits are small: a quarter of the usual real batch gives the same result sooner
SETTINGS = ("batch_real=64",)
EPOCHS = 150
REPEATS = 3


def run(folder: Path, seed: int) -> None:
    """Condense the digits, evaluate beside the baselines, and write artefact and report."""
    keep_memory()
    from attar.cli import reporting
    from attar.cli.progress import ProgressBar
    from attar.condensing import carry_out
    from attar.evaluation.comparison import evaluate
    from attar.evaluation.record import digest

    path = folder / "digits.safetensors"
    request = Request(
        method="lodm",
        ipc=IPC,
        iterations=ITERATIONS,
        set=SETTINGS,
        validations=4,
        seed=seed,
        output=path,
        overwrite=True,
    )
    bar = ProgressBar(commands.err)
    try:
        artefact = carry_out(request, "digits", bar)
    finally:
        bar.stop()
    commands.err.print(
        "training fresh networks on the condensed set, on random real images of the same bytes, "
        "and on the whole training set",
        highlight=False,
        soft_wrap=True,
    )
    sha256 = digest(path)
    with commands.err.status("training") as status:
        rows = evaluate(
            path,
            "digits",
            repeats=REPEATS,
            epochs=EPOCHS,
            baselines=True,
            seed=seed,
            progress=commands.teller(status, REPEATS),
        )
    commands.print_rows(rows)
    reporting.keep(path, sha256, "digits", rows)
    reporting.write_one(folder / "report.html", path, artefact, rows)
    commands.err.print(f"artefact: {path}", highlight=False, soft_wrap=True)
