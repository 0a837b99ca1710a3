"""The fair table of decoupled methods: every set under hard labels, and under one teacher's.

All sets are made and labelled by one teacher, which is trained once, and students learn under one
card. Real images drawn at random stand among the methods, so that what the images bring is told
apart from what the labels do. Bytes of labels and of the teacher are counted where they are used.

    python benchmarks/decoupled.py cifar10 -o decoupled.json
    python benchmarks/decoupled.py cifar10 --per-class 200 --budgets 1,10 --epochs 60 -o small.json
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

import attar
from attar.budget import format_bytes

METHODS = ("random", "herding", "rded", "sre2l", "cda", "lodm", "kfs")
# those that look at the teacher; the others are made without, and labelled by it
TAUGHT = ("rded", "sre2l", "cda")


@dataclass(frozen=True)
class Options:
    """What is made, and how it is measured."""

    source: tyro.conf.Positional[str]
    """The data."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Where every row is written, as JSON."""
    network: str = "convnet3:norm=batch"
    """Teacher and student."""
    methods: str = ",".join(METHODS)
    """Names with commas between."""
    budgets: str = "1,10,50"
    """Images per class; memory of so many for lodm and kfs."""
    per_class: int | None = None
    """Training images of each class at most."""
    classes: str | None = None
    """How many classes, or which."""
    resize: int | None = None
    """Bring all images to this side."""
    teacher_epochs: int = 30
    """Of training the teacher."""
    iterations: int | None = None
    """Updates of sre2l, cda, lodm and kfs; the authors' own where left out."""
    batch_real: int = 256
    """Real images of a class at a step of lodm and kfs."""
    card: str = "rethinkdc"
    """Of the students."""
    epochs: int | None = None
    """Of the students; the card's own where left out."""
    repeats: int = 3
    """Students of each row."""
    compile: str = "auto"
    """auto, on or off, of what is trained."""
    precision: str = "auto"
    """auto, float32 or bfloat16, likewise."""
    seed: int = 0
    """Of everything."""


def main(options: Options) -> None:
    """Make the table."""
    reading = {
        name: getattr(options, name)
        for name in ("per_class", "classes", "resize")
        if getattr(options, name) is not None
    }
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        teacher = _teacher(options, Path(folder), reading)
        for budget in map(int, options.budgets.split(",")):
            for method in options.methods.split(","):
                for row in _measured(options, method, budget, teacher, reading):
                    rows.append(row)
                    print(line(row), flush=True)
                    options.output.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def _teacher(options: Options, folder: Path, reading: dict[str, Any]) -> str:
    """Return the file of the one teacher."""
    out = folder / "first.safetensors"
    attar.condense(
        options.source,
        method="rded",
        synthetic_per_class=1,
        network=options.network,
        teacher=options.network,
        settings={"epochs": options.teacher_epochs},
        output=out,
        seed=options.seed,
        **reading,
    )
    return str(out.with_suffix(".teacher.safetensors"))


def _measured(
    options: Options, method: str, budget: int, teacher: str, reading: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    began = time.perf_counter()
    asked: dict[str, Any] = {"method": method, "validation": 0, "seed": options.seed} | reading
    asked |= {"network": options.network, "precision": options.precision}
    asked["torch_compile"] = options.compile
    if method in ("lodm", "kfs"):
        asked |= {"ipc": budget, "settings": {"batch_real": options.batch_real}}
    else:
        asked["synthetic_per_class"] = budget
    if method in TAUGHT:
        asked["teacher"] = teacher
    if method in ("sre2l", "cda", "lodm", "kfs") and options.iterations is not None:
        asked["iterations"] = options.iterations
    made = attar.condense(options.source, **asked)
    seconds = time.perf_counter() - began
    found = attar.evaluate(
        made,
        options.source,
        networks=[options.network],
        teacher=teacher,
        card=options.card,
        epochs=options.epochs,
        repeats=options.repeats,
        seed=options.seed,
        **reading,
    )
    for row in found:
        (result,) = row.results
        labels = "stored" if made.header.learned_labels and row.labels == "own" else "hard"
        yield {
            "budget": budget,
            "method": method,
            "images": row.images_per_class,
            "labels": "teacher" if "teacher's labels" in row.name else labels,
            "bytes": row.bytes,
            "accuracies": list(result.accuracies),
            "mean": result.mean,
            "interval": result.interval,
            "seconds": seconds,
        }


def line(row: dict[str, Any]) -> str:
    """Return a row of the table."""
    interval = "" if row["interval"] is None else f" ± {row['interval']:.1f}"
    return (
        f"| {row['budget']} | `{row['method']}` | {row['images']} | {row['labels']} | "
        f"{format_bytes(row['bytes'])} | {row['mean']:.1f}{interval} | {row['seconds']:.0f} |"
    )


if __name__ == "__main__":
    main(tyro.cli(Options))
