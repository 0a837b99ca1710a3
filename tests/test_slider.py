"""A set over what it started from, on the pages of commands."""

from pathlib import Path

from attar.cli import run

NAME = "from-start-to-end"


def test_the_start_of_a_run_is_kept_for_its_page(tmp_path: Path) -> None:
    made, page, later = (tmp_path / name for name in ("a.safetensors", "a.html", "later.html"))
    words = "--method dm --ipc 1 --iterations 2 --network convnet3:width=4 --validation 0"
    condense = ["condense", "digits", *words.split(), "--report", str(page), "-o", str(made)]
    assert run(condense) == 0
    text = page.read_text(encoding="utf-8")
    assert NAME in text and "0, image 1, step 0" in text and "0, image 1, step 2" in text
    # a page that is made later knows the start where snapshots were kept
    assert run(["report", str(made), "-o", str(later)]) == 0
    assert NAME not in later.read_text(encoding="utf-8")
    assert run([*condense, "--snapshots", "0,2", "--overwrite"]) == 0
    assert run(["report", str(made), "-o", str(later)]) == 0
    assert "0, image 1, step 0" in later.read_text(encoding="utf-8")


def test_what_makes_no_step_has_no_start(tmp_path: Path) -> None:
    made, page = tmp_path / "a.safetensors", tmp_path / "a.html"
    words = ["condense", "digits", "--method", "random", "--ipc", "1", "-o", str(made)]
    assert run([*words, "--report", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert NAME not in text and "<script" not in text
