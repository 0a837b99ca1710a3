"""A hundred kills at drawn moments over every command that writes; what is done again is equal.

Slow: some minutes. The figures are printed as they come.
"""

from __future__ import annotations

import random
import re
import shutil
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import attar
from siege.server import Server, serving

KILLS = 100
# what takes long to read, and is read once
MODULES = (
    "attar.benching.work",
    "attar.evaluation.comparison",
    "attar.experts.making",
    "attar.pictures",
    "attar.report",
    "attar.slimming.slimming",
    "sklearn.datasets",
    "torchvision",
)


@dataclass(frozen=True)
class Job:
    """A command, what it takes to do it again, and which of its files are compared."""

    line: str
    again: str = ""
    pattern: str = "*.safetensors"


_SMALL = "--network convnet1:width=8"
_OFTEN = "--compile off --checkpoint-seconds 0"


def condensing(rest: str) -> Job:
    line = (
        "condense digits --per-class 20 --validation 0.2 --validations 2 "
        f"{_SMALL} {_OFTEN} -o out/a.safetensors"
    )
    return Job(f"{line} --method {rest}", "--resume")


JOBS = {
    "condense dm": condensing("dm --iterations 60"),
    "condense lodm": condensing("lodm --iterations 60 --average 0.9"),
    "condense dsa": condensing("dsa --iterations 12"),
    "condense frepo": condensing("frepo --iterations 12"),
    "condense nested": condensing("dm --iterations 40 --ipc 3 --nested"),
    "condense snapshots": condensing("dm --iterations 40 --snapshots 5"),
    "slim": Job(
        f"slim in.safetensors --ipc 1 --iterations 30 {_SMALL} {_OFTEN} -o out/a.safetensors",
        "--resume",
    ),
    "experts": Job(
        "experts digits --per-class 20 --count 2 --epochs 8 --network convnet1:width=8 "
        f"{_OFTEN} -o out"
    ),
    "evaluate": Job(
        "evaluate out/in.safetensors --networks convnet1:width=8 --repeats 1 --epochs 20 "
        "--compile off",
        pattern="*.json",
    ),
    "export png": Job("export in.safetensors --png out/png", "--overwrite", "*.png"),
    "export npz": Job("export in.safetensors --npz out/a.npz", pattern="*.npz"),
    "report": Job("report in.safetensors -o out/a.html", pattern="*.html"),
    "pictures": Job("pictures in.safetensors --kind grid -o out", pattern="*.png"),
    "import": Job("import png --data-name digits -o out/a.safetensors", "--overwrite"),
    "bench": Job("bench suite.yaml --jobs 0 -o out/b"),
}

SUITE = """
name: tiny
datasets: {digits: {source: digits, per_class: 10}}
budgets: [{ipc: 1}]
networks: [convnet1]
methods: [random, {method: dm, name: DM}]
seeds: 1
repeats: 1
evaluation: {card: dc-300, epochs: 2}
options: {iterations: 20, compile: 'off', validation: 0}
"""


def contents(folder: Path, pattern: str) -> dict[str, bytes]:
    """Return what was made, without what tells how long it took."""
    found = sorted(one for one in (folder / "out").rglob(pattern) if one.is_file())
    return {
        str(one.relative_to(folder)): re.sub(rb'"seconds": [0-9.e-]+', b"", one.read_bytes())
        for one in found
        if not one.name.endswith(".end.safetensors")
    }


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the commands read."""
    folder = tmp_path_factory.mktemp("given")
    made = attar.condense(
        "digits", method="random", ipc=2, per_class=20, output=folder / "in.safetensors"
    )
    from attar.artefact.exporting import export_png

    export_png(made, folder / "png")
    (folder / "suite.yaml").write_text(SUITE)
    (folder / "out").mkdir()
    shutil.copy(folder / "in.safetensors", folder / "out")
    return folder


def fresh(given: Path, to: Path) -> Path:
    return Path(shutil.copytree(given, to))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(*MODULES) as found:
        yield found


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="forks")
@pytest.mark.parametrize("name", JOBS)
def test_what_was_killed_and_done_again_is_equal(
    name: str, server: Server, given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job, said = JOBS[name], tmp_path / "said"
    whole = fresh(given, tmp_path / "whole")
    first = server.run(job.line.split(), said, whole)
    assert first["status"] == 0, first["said"]
    wanted = contents(whole, job.pattern)
    assert wanted
    draw = random.Random(name)
    kills = -(-KILLS // len(JOBS))
    landed = 0
    for number in range(kills):
        folder = fresh(given, tmp_path / f"killed-{number}")
        after = draw.uniform(0.05, 1.0) * first["wall"]
        signal_number = draw.choice((signal.SIGKILL, signal.SIGTERM))
        killed = server.run(job.line.split(), said, folder, signal_number, after)
        landed += killed["ended"] == "signal"
        again = server.run([*job.line.split(), *job.again.split()], said, folder)
        assert again["status"] == 0, (number, after, again["said"])
        assert contents(folder, job.pattern) == wanted, (number, after)
        shutil.rmtree(folder)
    with capsys.disabled():
        sys.stdout.write(
            f"\n{name}: {landed} of {kills} in the midst of {first['wall']:.1f} s, all equal"
        )
