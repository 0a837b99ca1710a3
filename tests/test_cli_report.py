"""`attar report`, and what `attar evaluate` keeps for it, as a user types them."""

import json
import os
import shutil
from pathlib import Path

import pytest

import attar
from attar.cli import run
from attar.evaluation.record import digest, read_record

QUICK = ("--repeats", "1", "--epochs", "1")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two artefacts, one of them evaluated."""
    folder = tmp_path_factory.mktemp("report")
    for name, method in (("low", "lodm"), ("pixels", "dm")):
        attar.condense(
            "digits",
            method=method,
            ipc=1,
            iterations=3,
            validation=0.0,
            network="convnet2:width=8",
            output=folder / f"{name}.safetensors",
        )
    assert run(["evaluate", str(folder / "low.safetensors"), *QUICK]) == 0
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "sets"))


def said(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    status = run([str(word) for word in words])
    shown = capsys.readouterr()
    return status, shown.out, shown.err


def test_several_artefacts_are_compared(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "report.html"
    sets = folder / "low.safetensors", folder / "pixels.safetensors"
    status, out, err = said(capsys, "report", *sets, "-o", path, "--title", "Two sets")
    assert status == 0 and not out and f"report: {path}" in err
    html = path.read_text(encoding="utf-8")
    for part in ("Two sets", "images-side-by-side", "not evaluated", "attar evaluate", "Loss over"):
        assert part in html, part
    # a page that is there is replaced
    assert said(capsys, "report", *reversed(sets), "-o", path)[0] == 0
    assert "Two sets" not in path.read_text(encoding="utf-8")


def test_one_artefact_gives_its_own_page(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, own = folder / "report.html", folder / "low.safetensors"
    assert said(capsys, "report", own, "-o", path)[0] == 0
    html = path.read_text(encoding="utf-8")
    record = read_record(folder / "low.evaluation.json")
    mean = record.evaluations[0].rows[0].results[0].mean
    assert "lodm on digits" in html and "Budget" in html and f"{mean:.1f}" in html
    assert "Evaluation card: dsa-1000 (epochs 1)." in html


def test_evaluate_keeps_its_result_and_adds_to_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, kept = folder / "pixels.safetensors", folder / "pixels.evaluation.json"
    status, out, _ = said(capsys, "evaluate", path, *QUICK, "--json")
    printed = json.loads(out)
    assert status == 0 and printed["sha256"] == digest(path) and printed["data"] == "digits"
    (one,) = read_record(kept).evaluations
    assert {name: printed[name] for name in ("card", "data", "rows")} == json.loads(
        json.dumps(one.as_dict())
    )
    assert said(capsys, "evaluate", path, *QUICK, "--card", "dc-300")[0] == 0
    cards = [one.card for one in read_record(kept).evaluations]
    assert cards == ["dsa-1000 (epochs 1)", "dc-300 (epochs 1)"]


def test_what_evaluate_printed_can_be_given(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = folder / "low.safetensors", folder / "pixels.safetensors"
    _, out, _ = said(capsys, "evaluate", sets[1], *QUICK, "--json")
    (folder / "pixels.evaluation.json").rename(folder / "elsewhere.json")
    (folder / "printed.json").write_text(out, encoding="utf-8")
    for given in ("elsewhere.json", "printed.json"):
        words = ("report", *sets, "-o", folder / "r.html", "--evaluation", folder / given)
        assert said(capsys, *words)[0] == 0
        assert "not evaluated" not in (folder / "r.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("what", ["foreign file", "full disk"])
def test_evaluate_succeeds_where_its_result_cannot_be_kept(
    folder: Path,
    what: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kept = folder / "pixels.evaluation.json"
    if what == "foreign file":
        kept.write_text("mine")
    else:

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
    status, out, err = said(capsys, "evaluate", folder / "pixels.safetensors", *QUICK, "--json")
    assert status == 0 and json.loads(out)["rows"]
    assert "warning: the accuracies are not kept" in err and "--evaluation FILE" in err
    assert ("not JSON" if what == "foreign file" else "No space left") in err
    assert kept.read_text() == "mine" if what == "foreign file" else not kept.exists()


def test_a_replaced_artefact_is_not_credited_with_old_accuracies(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(folder / "pixels.safetensors", folder / "low.safetensors")
    words = ("report", folder / "low.safetensors", folder / "pixels.safetensors")
    assert said(capsys, *words, "-o", folder / "r.html")[0] == 0
    html = (folder / "r.html").read_text(encoding="utf-8")
    assert "not evaluated since the file was replaced" in html


BAD = [
    (("low.safetensors",), "-o is missing"),
    (("-o", "r.html"), "no artefact is given"),
    (("low.safetensors", "none.safetensors", "-o", "r.html"), "none.safetensors: no such file"),
    (("low.safetensors", "note.txt", "-o", "r.html"), "note.txt is not a safetensors file"),
    (("low.safetensors", "low.safetensors", "-o", "r.html"), "given twice"),
    (("low.safetensors", "sub/../low.safetensors", "-o", "r.html"), "given twice (also as"),
    (("low.safetensors", "-o", "sub"), "-o sub is a directory"),
    (("low.safetensors", "-o", "pixels.safetensors"), "must end in .html"),
    (("low.safetensors", "-o", "note.txt/r.html"), "not a folder"),
    (("low.safetensors", "-o", "r.html", "--evaluation", "none.json"), "none.json: no such file"),
    (("low.safetensors", "-o", "r.html", "--evaluation", "note.txt"), "(it is not JSON)"),
    (
        ("pixels.safetensors", "-o", "r.html", "--evaluation", "low.evaluation.json"),
        "of another artefact",
    ),
]


@pytest.mark.parametrize(("words", "text"), BAD)
def test_bad_requests_end_with_status_2_and_write_nothing(
    words: tuple[str, ...],
    text: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    (folder / "sub").mkdir()
    (folder / "note.txt").write_text("only words, and long enough to be read as a header")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    status, out, err = said(capsys, "report", *words)
    assert status == 2 and text in err and err.startswith("attar: ") and not out
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_page_that_cannot_be_written_ends_with_status_1(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    words = ("report", folder / "low.safetensors", "-o", folder / "r.html")
    status, _, err = said(capsys, *words)
    assert status == 1 and "No space left" in err and not (folder / "r.html").exists()


def test_help_says_what_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["report", "--help"])
    text = capsys.readouterr().out
    assert ended.value.code == 0
    for part in ("OUT.safetensors", "--evaluation", "--title", "-o"):
        assert part in text
