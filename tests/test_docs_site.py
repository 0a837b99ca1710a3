"""The documents as a site, and the notebook among them."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

import attar

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def pages_of_the_site() -> list[str]:
    told = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]
    return [page for part in told["nav"] for own in part.values() for page in own]


def names_of_the_reference() -> dict[str, str]:
    text = (DOCS / "api.md").read_text(encoding="utf-8")
    homes = re.findall(r"^::: (\S+)\.(\w+)$", text, re.M)
    return {name: home for home, name in homes}


def test_pages_of_the_site_are_there_once() -> None:
    pages = pages_of_the_site()
    assert len(pages) == len(set(pages))
    assert set(pages) <= {one.name for one in DOCS.glob("*.md")}


@pytest.mark.slow
def test_nothing_is_left_out() -> None:
    assert sorted(pages_of_the_site()) == sorted(one.name for one in DOCS.glob("*.md"))
    assert sorted(names_of_the_reference()) == sorted(attar.__all__)


def test_names_of_the_reference_are_public() -> None:
    listed = names_of_the_reference()
    assert listed.keys() <= set(attar.__all__)
    for name, home in listed.items():
        found = getattr(attar, name)
        assert getattr(importlib.import_module(home), name) is found
        assert found.__doc__


def test_links_lead_to_pages() -> None:
    for page in DOCS.glob("*.md"):
        for link in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
            assert link.startswith("http") or (DOCS / link).is_file(), (page.name, link)


def test_the_notebook_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    found = json.loads((DOCS / "photos.ipynb").read_text(encoding="utf-8"))
    known: dict[str, Any] = {"__name__": "notebook"}
    for number, cell in enumerate(found["cells"]):
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            exec(compile("".join(cell["source"]), f"cell {number}", "exec"), known)
    assert known["condensed"].nbytes <= 10_000
    assert re.search(r"\d+ % of 120 photos", capsys.readouterr().out)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("zensical") is None, reason="the group docs has it")
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    for name in ("docs", "src"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "zensical.toml", tmp_path)
    command = [sys.executable, "-m", "zensical", "build", "--strict"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    page = (tmp_path / "build/site/api.html").read_text(encoding="utf-8")
    assert "condense" in page
    # a reader's browser asks no other place for fonts, scripts or pictures
    assert not re.findall(r'src="https?://', page)
