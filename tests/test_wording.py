"""Messages name options as whoever asked gives them."""

import pickle
import subprocess
import sys

import pytest

from attar.cli import run
from attar.errors import BadRequest, RunFailed
from attar.wording import in_python


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("--seed 1.0: a whole number is needed", "seed=1.0: a whole number is needed"),
        ("--iterations -1: 0 or more", "iterations=-1: 0 or more"),
        (
            "-o out: the name must end in .safetensors",
            "output=out: the name must end in .safetensors",
        ),
        ("-o is missing", "output is missing"),
        ("give --iterations or --minutes, not both", "give iterations or minutes, not both"),
        ("--snapshots needs -o: they", "snapshots needs output: they"),
        ("--nested: with one image", "nested: with one image"),
        ("--range 0:4095: too much", "value_range=0:4095: too much"),
        ("such as --method dm --init herding", "such as method=dm init=herding"),
        ("--set pool=0: at least 1", "setting pool=0: at least 1"),
        ("--set 'x': write name=value", "settings='x': write name=value"),
        ("unknown value of --per-class-budget 'x'", "unknown value of per_class_budget='x'"),
        (
            "--experts is missing. Train some with 'attar experts a --zca mtt -o e', then give "
            "--experts e",
            "experts is missing. Train some with 'attar experts a --zca mtt -o e', then give "
            "experts=e",
        ),
        ("use attar slim --expand; or --ipc 1", "use attar slim --expand; or ipc=1"),
        ("a file-name, well--known, -- and my--lr", "a file-name, well--known, -- and my--lr"),
    ],
)
def test_options_read_as_keywords(written: str, read: str) -> None:
    assert in_python(written) == read == in_python(read)


def test_python_reads_keywords_and_the_command_line_options(
    capsys: pytest.CaptureFixture[str],
) -> None:
    code = (
        "import attar\n"
        "try: attar.condense('digits', synthetic_per_class=0)\n"
        "except attar.BadRequest as error: print(error)\n"
        "try: attar.Request(validation=0.9)\n"
        "except attar.BadRequest as error: print(error, '|', error.text)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first.startswith("synthetic_per_class=0") and "--" not in first
    assert second == "validation=0.9: from 0 to 0.5 | --validation 0.9: from 0 to 0.5"
    assert run(["condense", "digits", "--images-per-class", "0"]) == 2
    assert "--images-per-class 0" in capsys.readouterr().err


def test_an_error_crosses_processes_as_it_was_written() -> None:
    for error in (BadRequest("--lr 1: no"), RunFailed("--lr 1: no")):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is type(error) and again.text == "--lr 1: no"
