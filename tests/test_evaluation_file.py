"""What `attar evaluate` keeps beside an artefact."""

import json
from pathlib import Path
from typing import Any

import pytest

from attar.errors import ArtefactError, BadRequest, RunFailed
from attar.evaluation import Result
from attar.evaluation.comparison import Row
from attar.evaluation.record import Evaluation, digest, evaluation_path, keep, merge, read_record


def row(kind: Any, *accuracies: float, network: str = "convnet3", name: str = "") -> Row:
    result = Result(network, "dsa-1000", accuracies, 1.5, {"device": "cpu"})
    return Row(name or kind, 2, 640, 700, (result,), "a note", kind)


def evaluation(*rows: Row, card: str = "dsa-1000", data: str = "digits") -> Evaluation:
    return Evaluation(card, data, rows or (row("condensed", 70.0, 72.0),))


@pytest.fixture
def artefact(tmp_path: Path) -> Path:
    path = tmp_path / "set.safetensors"
    path.write_bytes(b"any bytes")
    return path


def test_it_lies_beside_the_artefact_and_reads_back_the_same(artefact: Path) -> None:
    written = evaluation(row("condensed", 70.0, 72.0), row("whole", 99.0))
    path = keep(artefact, digest(artefact), written)
    assert path == evaluation_path(artefact) == artefact.with_name("set.evaluation.json")
    record = read_record(path)
    assert record.sha256 == digest(artefact) and record.evaluations == (written,)
    assert sorted(path.parent.iterdir()) == [path, artefact]


def test_the_same_evaluation_twice_gives_the_same_bytes(artefact: Path) -> None:
    path = keep(artefact, digest(artefact), evaluation())
    first = path.read_bytes()
    keep(artefact, digest(artefact), evaluation())
    assert path.read_bytes() == first


def test_other_cards_data_and_networks_are_added_and_the_same_replaced(artefact: Path) -> None:
    own = digest(artefact)
    for one in (
        evaluation(),
        evaluation(card="dc-300"),
        evaluation(data="folder:mine"),
        evaluation(row("condensed", 60.0, network="convnet4"), row("random", 50.0)),
        evaluation(row("condensed", 80.0)),
    ):
        keep(artefact, own, one)
    found = read_record(evaluation_path(artefact)).evaluations
    places = [("dsa-1000", "digits"), ("dc-300", "digits"), ("dsa-1000", "folder:mine")]
    assert [(one.card, one.data) for one in found] == places
    first = found[0].own
    assert first is not None
    means = {result.network: result.mean for result in first.results}
    assert means == {"convnet3": 80.0, "convnet4": 60.0}
    assert [one.kind for one in found[0].rows] == ["condensed", "random"]


def test_evaluations_of_a_replaced_file_are_dropped(artefact: Path) -> None:
    keep(artefact, digest(artefact), evaluation(card="dc-300"))
    artefact.write_bytes(b"other bytes")
    keep(artefact, digest(artefact), evaluation())
    record = read_record(evaluation_path(artefact))
    assert [one.card for one in record.evaluations] == ["dsa-1000"]


def test_rows_of_other_names_stay_apart() -> None:
    names = ("dm (selected iterate)", "dm (last iterate)")
    rows = [row("condensed", 50.0 + n, name=name) for n, name in enumerate(names)]
    (merged,) = merge([evaluation(*rows), evaluation(*rows)])
    assert merged.rows == tuple(rows) and merged.own == rows[0]


def test_what_evaluate_prints_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "printed.json"
    path.write_text(json.dumps({"path": "x", "sha256": "12", **evaluation().as_dict()}))
    record = read_record(path)
    assert record.sha256 == "12" and record.evaluations == (evaluation(),)


def changed(**parts: Any) -> str:
    whole = {"format": "attar.evaluation", "version": 1, "sha256": "1", "evaluations": []}
    return json.dumps({**whole, **parts})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[1]", "the whole"),
        ("{}", "sha256"),
        (changed(format="other"), "format"),
        (changed(version=2), "format version 2"),
        (changed(evaluations=[{"card": "x"}]), "evaluations.0.data"),
        (changed(evaluations=[evaluation(row("condensed", 101.0)).as_dict()]), "percentages"),
        (changed(evaluations=[evaluation().as_dict()]).replace("72.0", "NaN"), "percentages"),
        (json.dumps(evaluation().as_dict()), "sha256"),
    ],
)
def test_other_files_are_refused_and_left_as_they_are(artefact: Path, text: str, why: str) -> None:
    path = evaluation_path(artefact)
    path.write_text(text)
    for attempt in (
        lambda: read_record(path),
        lambda: keep(artefact, digest(artefact), evaluation()),
    ):
        with pytest.raises(BadRequest, match=why):
            attempt()
    assert path.read_text() == text


def test_without_accuracies_a_row_is_refused(artefact: Path) -> None:
    empty = evaluation().as_dict()
    empty["rows"][0]["results"][0]["accuracies"] = []
    evaluation_path(artefact).write_text(changed(evaluations=[empty]))
    with pytest.raises(BadRequest, match="percentages"):
        read_record(evaluation_path(artefact))


def test_missing_files_are_said(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="no such file"):
        read_record(tmp_path / "none.json")
    with pytest.raises(ArtefactError, match="no such file"):
        digest(tmp_path / "none.safetensors")


def test_a_folder_that_cannot_be_written_ends_in_a_failed_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFailed):
        keep(tmp_path / "file" / "set.safetensors", "1", evaluation())
