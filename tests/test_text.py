"""Names and texts from anywhere: nothing in them acts on a terminal, whoever prints them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import attar
from attar.cli import run
from attar.cli.console import Grid, Plain
from attar.errors import BadRequest
from attar.synthetic import Pixels, Synthetic
from attar.text import printable, printable_json

# a colour, a title of the window, its 8-bit form, an override of the direction, a line that looks
# like our own, a markup and an emoji of the library that draws tables
EVIL = "\x1b[31m\x1b]0;title\x07\x9b31m\u202etac\nattar: all is well\r[red]cat[/red] :cat: [/x]"
UNFIT = "\x1b\x07\x9b\u202e\r"


def test_what_is_written_as_an_escape() -> None:
    assert printable("Käfer 猫 👩‍🚀 [red] :cat: it's") == "Käfer 猫 👩‍🚀 [red] :cat: it's"
    assert printable("a\x1b\x9b\u202e\n\ud800b") == "a\\x1b\\x9b\\u202e\\n\\ud800b"
    assert printable("a\nb\x00", keep="\n") == "a\nb\\x00"
    assert printable(printable(EVIL)) == printable(EVIL)
    assert printable("\U000e0041\ufeff") == "\\U000e0041\\ufeff"


def test_json_reads_back_as_it_was() -> None:
    value = {"name": EVIL, "more": ["\ud800\U000e0041\x7fß", 1]}
    text = printable_json(value)
    assert json.loads(text) == value
    assert not any(one in text for one in (*UNFIT, "\x7f", "\ud800", "\U000e0041"))
    assert "ß" in text


def test_errors_are_one_line() -> None:
    assert str(BadRequest(f"class {EVIL} is none")) == f"class {printable(EVIL)} is none"
    assert "\n" not in str(BadRequest(EVIL))


def unacted(text: str) -> str:
    """Check that nothing of `EVIL` acts in what was printed, and return it."""
    assert not any(one in text for one in UNFIT), repr(text)
    assert "\nattar: all is well" not in text and "🐱" not in text
    return text


def test_tables_and_lines(capsys: pytest.CaptureFixture[str]) -> None:
    console, table = Plain(), Grid(title=EVIL, caption=EVIL)
    table.add_column(EVIL)
    table.add_row(EVIL)
    table.add_row(["first", EVIL])
    console.print(table, EVIL, highlight=False, soft_wrap=True)
    said = unacted(capsys.readouterr().out)
    assert said.count("[red]cat[/red] :cat: [/x]") >= 3


@pytest.fixture
def artefact(tmp_path: Path) -> Path:
    """Return an artefact all of whose texts are hostile."""
    images = torch.rand(2, 2, 1, 8, 8)
    made = attar.condense(
        (images.flatten(0, 1).repeat(5, 1, 1, 1), torch.arange(2).repeat_interleave(2).repeat(5)),
        method="random",
        synthetic_per_class=1,
        validation=0,
    )
    names = {"class_names": [EVIL, f"other{EVIL}"], "method": EVIL}
    provenance = {**made.header.provenance, "source": EVIL, "command": EVIL, "dataset": EVIL}
    header = made.header.model_copy(update={**names, "provenance": provenance})
    assert isinstance(made.synthetic, Synthetic) and isinstance(
        header.parametrization, dict | Pixels
    )
    path = tmp_path / "evil.safetensors"
    attar.Artefact(header, made.synthetic, made.preprocessing).save(path)
    assert "\x1b" not in repr(attar.load(path))
    return path


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    capsys.readouterr()
    try:
        status = run(list(words))
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else -1
    shown = capsys.readouterr()
    return status, unacted(shown.out) + unacted(shown.err)


def test_commands_that_print_cards(
    artefact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, text = said(capsys, "show", str(artefact))
    assert status == 0 and "\\x1b[31m" in text and "[red]" in text
    status, text = said(capsys, "show", str(artefact), "--json")
    assert status == 0 and json.loads(text)["card"]["class_names"][0] == EVIL
    assert said(capsys, "export", str(artefact), "--png", str(tmp_path / "png"))[0] == 0
    report = tmp_path / "report.html"
    assert said(capsys, "report", str(artefact), "-o", str(report))[0] == 0
    assert "\x1b" not in report.read_text() and "\u202e" not in report.read_text()
    # of other classes
    status, text = said(capsys, "evaluate", str(artefact), "--data", "digits")
    assert status == 2 and "\\x1b[31m" in text
    status, text = said(capsys, "evaluate", str(artefact))
    assert status == 2


def test_names_of_files_and_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases: list[tuple[Any, ...]] = [
        ("show", f"{EVIL}.safetensors"),
        ("show", "x", f"--{EVIL}"),
        ("show", "x", "--ipc", EVIL),
        ("import", f"{tmp_path}/{EVIL.replace('/', '')}.pt"),
        ("condense", EVIL, "-o", f"{tmp_path}/a.safetensors"),
        ("condense", "digits", "--network", EVIL, "--ipc", "1", "-o", f"{tmp_path}/a.safetensors"),
        (EVIL,),
    ]
    for words in cases:
        status, text = said(capsys, *words)
        assert status == 2 and "31m" in text, words


def test_names_of_classes_and_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    evil = EVIL.replace("/", "")
    for name in ("a", evil):
        (tmp_path / "data" / name).mkdir(parents=True)
        for index in range(5):
            Image.fromarray(pixels + index).save(tmp_path / "data" / name / f"{index}.png")
    out = tmp_path / "out.safetensors"
    words = ("condense", f"folder:{tmp_path / 'data'}", "--method", "random", "--ipc", "1")
    assert said(capsys, *words, "-o", str(out))[0] == 0
    assert evil in attar.load(out).header.class_names
    (tmp_path / "data" / evil / f"{evil}.png").write_bytes(b"no picture")
    status, text = said(capsys, *words, "--overwrite", "-o", str(out))
    assert status == 2 and "\\x1b[31m" in text
    lines = [f'path,label\n"{evil}",a\n"{evil}2",b\n']
    (tmp_path / "data.csv").write_text("".join(lines))
    status, text = said(
        capsys, "condense", f"csv:{tmp_path / 'data.csv'}", *words[2:], "-o", "x.safetensors"
    )
    assert status == 2 and "\\x1b[31m" in text
