"""Every suite of the repository runs end to end, on digits and at its smallest."""

import csv
from pathlib import Path

import pytest

import attar
from attar.benching import Asked, bench, read_suite
from attar.benching.cells import expand
from attar.benching.checking import check_names
from attar.benching.sizes import at_size

FOLDER = Path(__file__).parent.parent / "suites"
SUITES = sorted(FOLDER.glob("*.yaml"))


# an update of RememberThePast goes through 150 steps; a teacher is in test_bench_teacher, too; what
# esp-2, 3, 4 and plugin-3 have that the others lack are rows and networks
LONG = {"plugin-3", "plugin-5", "decoupled-1", "esp-2", "esp-3", "esp-4"}


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(one, id=one.stem, marks=[pytest.mark.slow] if one.stem in LONG else [])
        for one in SUITES
    ],
)
def test_a_suite_runs_at_its_smallest(path: Path, tmp_path: Path) -> None:
    asked = Asked(path, tmp_path / "out", smallest=True, jobs=0, data_dir=tmp_path)
    account, progress = bench(asked)
    assert progress.failures == {} and progress.done == progress.total
    methods = {entry.name for entry in read_suite(path).methods}
    with (tmp_path / "out" / "results.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert methods <= {row["method"] for row in rows}
    # everything that a set keeps is counted, what was learnt beside it included
    sets = [attar.load(one) for one in (tmp_path / "out" / "sets").rglob("seed-0.safetensors")]
    kept = {(one.totals.paper, one.nbytes) for one in sets}
    # those of a teacher, or of hard labels in place of learnt ones, beside
    sized = [row for row in rows if row["paper_bytes"] and "labels" not in row["variant"]]
    assert {(int(row["paper_bytes"]), int(row["bytes"])) for row in sized} <= kept
    hard = [row for row in rows if "hard labels" in row["variant"]]
    assert all(0 < int(row["bytes"]) <= max(size for _, size in kept) for row in hard)
    assert any(one.learned for one in sets) or not methods & {"mtt", "lomtt", "tesla"}
    for row in rows:
        assert row["status"] == "done" and 0 <= float(row["mean"]) <= 100
    assert account.title in (tmp_path / "out" / "results.md").read_text(encoding="utf-8")
    assert (tmp_path / "out" / "results.html").stat().st_size > 1000


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_every_size_of_a_suite_names_what_there_is(path: Path) -> None:
    suite = read_suite(path)
    assert path.stem == suite.name
    for size in suite.sizes:
        sized = at_size(suite, size)
        check_names(sized.suite)
        makings, measurings = expand(sized.suite)
        keys = [one.key for one in (*makings, *measurings)]
        assert len(set(keys)) == len(keys)
        assert sized.shrinks or sized.full
