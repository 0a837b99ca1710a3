"""What the tables of a suite say of cells that are not to be set against others."""

import csv
import pickle
from pathlib import Path
from typing import Any

import pytest
import yaml

from attar.benching import Asked, bench
from attar.benching.cell import Cell
from attar.benching.cells import expand
from attar.benching.measured import Measured, read_measured
from attar.benching.suite import Suite
from attar.benching.tables import Table, row_of, size
from attar.errors import BadRequest
from attar.evaluation.results import Result
from attar.evaluation.rows import Row

NETWORK = "convnet1:width=4"
BASE: dict[str, Any] = {
    "name": "tried",
    "datasets": {"digits": {"source": "digits", "classes": 2, "per_class": 10}},
    "methods": ["random"],
    "budgets": [1],
    "networks": [NETWORK],
    "seeds": 1,
    "repeats": 1,
    "options": {"network": NETWORK, "validation": 0},
}


def cell(method: str, mean: float, budget: str = "ipc 1", **more: Any) -> Cell:
    return Cell("digits", method, "", budget, "convnet3", "c", (mean,), 1, 1, 1, 4, 4, **more)


def test_cells_trained_for_less_than_others_of_their_column_are_marked() -> None:
    cells = (
        cell("random", 60.0, epochs=40, updates=41),
        cell("LoDM", 70.0, epochs=40, updates=164),
        cell("random", 80.0, "ipc 10", epochs=40, updates=900),
        cell("whole", 90.0, "", epochs=20, updates=9000),
    )
    table = Table("digits", "convnet3", cells, True)
    assert [text.endswith("¹") for text in row_of(table, "random")] == [False, True, False, False]
    assert not any("¹" in text for text in row_of(table, "LoDM"))
    assert "¹ trained for 41 updates, a quarter of the 164 of LoDM." in table.caption
    assert size(cells[0]).endswith("40 epochs, 41 updates")


def test_cells_no_better_than_naming_the_largest_class_are_marked() -> None:
    balanced = {"tested": (90, 10), "balanced": (52.0,)}
    table = Table("digits", "convnet3", (cell("random", 76.0, **balanced),), True)
    assert row_of(table, "random")[1] == "76.00, balanced 52.00¹"
    assert "¹ no better than naming the largest class (90.0 %)." in table.caption
    assert "Balanced: the mean of the accuracies on each class." in table.caption
    equal = cell("random", 76.0, tested=(50, 50), balanced=(76.0,))
    table = Table("digits", "convnet3", (equal,), True)
    assert row_of(table, "random")[1] == "76.00" and "alanced" not in table.caption
    # of before
    assert not Table("digits", "convnet3", (cell("random", 7.0),), True).notes


def test_a_suite_may_fix_the_updates(tmp_path: Path) -> None:
    path = tmp_path / "tried.yaml"
    text = {**BASE, "evaluation": {"updates": 3}, "whole": True}
    path.write_text(yaml.safe_dump(text), encoding="utf-8")
    bench(Asked(path, tmp_path / "out", jobs=0, data_dir=tmp_path))
    with (tmp_path / "out" / "results.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["updates"] for row in rows] == ["3", "3"]
    assert all("updates 3" in row["card"] and row["largest_class"] for row in rows)
    assert "3 updates" in (tmp_path / "out" / "results.md").read_text(encoding="utf-8")


def test_updates_survive_the_way_to_another_process_and_count_as_another_work() -> None:
    suite = Suite.model_validate({**BASE, "evaluation": {"updates": 3}})
    _, (measuring,) = expand(suite)
    assert (
        pickle.loads(pickle.dumps(measuring)) == measuring and measuring.identity()["updates"] == 3
    )
    _, (before,) = expand(Suite.model_validate(BASE))
    assert "updates" not in before.identity()


@pytest.mark.parametrize("place", ["evaluation", "sizes"])
def test_a_training_has_one_length(place: str) -> None:
    both: dict[str, Any] = {"epochs": 3, "updates": 4}
    given = both if place == "evaluation" else {"laptop": both}
    with pytest.raises((BadRequest, ValueError), match="give epochs or updates, not both"):
        Suite.model_validate({**BASE, place: given})


def test_what_was_measured_is_read_as_it_was_written(tmp_path: Path) -> None:
    results = tuple(
        Result("convnet3", "dsa-1000", (75.0,), 0.1, tested=(2, 2), right=((2, 1),), epochs=epochs)
        for epochs in (1, 2.5, None)
    )
    row = Row("random", 1, 256, 264, results)
    Measured({"repeats": 1}, "0" * 64, "digits", "dsa-1000", (row,)).write(tmp_path / "one.json")
    found = read_measured(tmp_path / "one.json")
    assert found is not None and found.rows == (row,)
    found.write(tmp_path / "two.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"identity": {}, "rows": 7}'])
def test_a_damaged_file_counts_as_not_measured(text: str, tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(text, encoding="utf-8")
    assert read_measured(tmp_path / "one.json") is None
    assert read_measured(tmp_path / "none.json") is None
