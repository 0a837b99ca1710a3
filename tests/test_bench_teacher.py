"""A suite under one teacher: trained once, looked at by some methods, labelling every row."""

import csv
from pathlib import Path

import pytest

from attar.benching import Asked, bench, read_suite
from attar.benching.cells import expand
from attar.benching.checking import check_names
from attar.benching.sizes import at_size
from attar.errors import BadRequest

SUITE = """
name: fair
datasets: {digits: {source: digits, classes: 2, per_class: 12}}
methods: [random, {method: rded, set: {crop_pool: 6}}]
budgets: [{images_per_class: 1}]
networks: ["convnet2:width=4"]
repeats: 1
evaluation:
  card: rethinkdc
  epochs: 1
  teacher: {network: "convnet2:norm=batch", epochs: 3}
options: {network: "convnet2:width=4", device: cpu}
sizes:
  short: {teacher_epochs: 1, width: 4, repeats: 1}
"""
# 2 images of 8×8 pixels, and the teacher's parameters and buffers
PIXELS = 2 * 64 * 4


def write(folder: Path, text: str = SUITE) -> Path:
    path = folder / "suite.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_row_has_the_labels_of_one_teacher_beside(tmp_path: Path) -> None:
    asked = Asked(write(tmp_path), tmp_path / "out", size="short", jobs=0)
    _, progress = bench(asked)
    assert progress.failures == {}
    (teacher,) = (tmp_path / "out" / "teachers" / "digits").glob("*.safetensors")
    before = teacher.stat().st_mtime_ns
    with (tmp_path / "out" / "results.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = {(row["method"], row["variant"]): int(row["bytes"]) - PIXELS for row in rows}
    taught = found["random", "teacher's labels"]
    stored = 2 * 2 * 4
    assert found == {
        ("random", ""): 0,
        ("random", "teacher's labels"): taught,
        ("rded", ""): stored,
        ("rded", "hard labels"): 2,
        ("rded", "teacher's labels"): taught,
    }
    assert 0 < taught < teacher.stat().st_size
    page = (tmp_path / "out" / "results.md").read_text(encoding="utf-8")
    assert "labels each batch" in page and "epochs of the teacher: 1" in page
    _, again = bench(asked)
    assert again.kept == again.total and teacher.stat().st_mtime_ns == before


def test_only_methods_that_look_at_a_teacher_depend_on_it(tmp_path: Path) -> None:
    suite = read_suite(write(tmp_path))
    makings, measurings = expand(at_size(suite, "short").suite)
    wanted = {"network": "convnet2:norm=batch,width=4", "epochs": 1, "device": "cpu"}
    assert {one.method: one.teacher for one in makings} == {"random": None, "rded": wanted}
    assert all(one.teacher == wanted for one in measurings)
    assert "teacher" in measurings[0].identity() and "teacher" not in makings[0].identity()
    own = SUITE.replace("method: rded,", "method: rded, teacher: convnet1,")
    makings, _ = expand(read_suite(write(tmp_path, own)))
    assert [one.options.get("teacher") for one in makings] == [None, "convnet1"]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("card: rethinkdc", "card: dsa-1000", "networks learn from stored labels"),
        ("  card: rethinkdc\n", "", "a teacher needs one card for every row"),
        ('"convnet2:norm=batch", epochs', "t.safetensors, epochs", "trained already; leave epochs"),
        ("{teacher_epochs: 1", "{teacher_epoch: 1", "teacher_epochs"),
        ('"convnet2:norm=batch", epochs: 3', "t.safetensors", "there is no teacher"),
        ('"convnet2:norm=batch"', "convnot2", "convnet"),
    ],
)
def test_what_a_teacher_cannot_be_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in SUITE
    with pytest.raises(BadRequest, match=said):
        path = write(tmp_path, SUITE.replace(old, new))
        check_names(read_suite(path))
        bench(Asked(path, tmp_path / "out", size="short", jobs=0))


def test_the_epochs_of_a_teacher_need_one(tmp_path: Path) -> None:
    lines = [one for one in SUITE.splitlines() if "  teacher:" not in one]
    with pytest.raises(BadRequest, match="the suite has no teacher"):
        read_suite(write(tmp_path, "\n".join(lines)))
