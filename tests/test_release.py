"""What a release needs: documents that are read by machines, and a wheel that holds everything."""

from __future__ import annotations

import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
import yaml

import attar
from attar.renaming import GONE_IN

ROOT = Path(__file__).parents[1]
PAPERS = {
    "An Efficient Dataset Condensation Plugin and Its Application to Continual Learning": "Yang",
    "Slimmable Dataset Condensation": "Liu",
    "Dataset Condensation via Expert Subspace Projection": "Ma",
}


def test_the_papers_are_cited() -> None:
    told = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert told["cff-version"] == "1.2.0" and told["license"] == "Apache-2.0"
    found = {one["title"]: one["authors"][0]["family-names"] for one in told["references"]}
    assert found == PAPERS


def test_one_workflow_runs_the_checks_on_three_systems() -> None:
    told = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    job = told["jobs"]["ci"]
    systems = {one.split("-")[0] for one in job["strategy"]["matrix"]["os"]}
    assert systems == {"ubuntu", "macos", "windows"}
    assert any(step.get("run") == ".ci/run" for step in job["steps"])
    assert (ROOT / ".ci/run").is_file()


def test_issue_templates_have_a_name_and_what_they_are_for() -> None:
    found = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.md"))
    assert len(found) == 3
    for one in found:
        told = yaml.safe_load(one.read_text(encoding="utf-8").split("---")[1])
        assert told["name"] and told["about"]


def test_old_names_have_dates() -> None:
    text = (ROOT / "docs/releasing.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if f"| {GONE_IN}, not before " in line]
    assert len(rows) == 3
    assert all(len(re.findall(r"\b20\d\d-\d\d-\d\d\b", row)) == 2 for row in rows)


def test_the_version_is_that_of_what_is_installed() -> None:
    assert re.fullmatch(r"\d+\.\d+(\.\d+)?(\.?dev\d+)?", attar.__version__)
    assert attar.__version__.split(".")[0] == "0"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("uv") is None, reason="uv builds the wheel")
def test_a_wheel_without_git_holds_every_file_of_the_package(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    for name in ("src", "docs"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"):
        shutil.copy(ROOT / name, tree / name)
    subprocess.run(["uv", "build", "-q", "--wheel", "--out-dir", tmp_path, tree], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name == "attar-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as opened:
        names = set(opened.namelist())
    files = (one.relative_to(tree / "src") for one in (tree / "src").rglob("*") if one.is_file())
    own = {one.as_posix() for one in files}
    assert own <= names
    assert {"attar/py.typed", "attar/published/figures.yaml"} <= own
