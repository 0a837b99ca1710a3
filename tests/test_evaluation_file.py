"""What `attar evaluate` keeps beside an artefact."""

import dataclasses
import json
import threading
from pathlib import Path
from typing import Any

import pytest

from attar.errors import ArtefactError, BadRequest, RunFailed
from attar.evaluation import Result
from attar.evaluation.comparison import Row
from attar.evaluation.ranking import SCORED, Scores
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
        (changed(version=4), "format version 4"),
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


def test_evaluations_that_end_at_the_same_time_are_all_kept(artefact: Path) -> None:
    own, names = digest(artefact), [f"card-{n}" for n in range(12)]
    ready = threading.Barrier(len(names))

    def evaluate(card: str) -> None:
        ready.wait()
        keep(artefact, own, evaluation(card=card))

    threads = [threading.Thread(target=evaluate, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = [one.card for one in read_record(evaluation_path(artefact)).evaluations]
    assert sorted(found) == sorted(names)


def written_by_version_1() -> dict[str, Any]:
    """Return what the first version of the format wrote."""
    names = ("name", "kind", "images_per_class", "paper_bytes", "bytes", "note", "results")
    of_result = ("network", "card", "accuracies", "seconds", "compute", "mean", "std")
    rows = []
    for one in (row("condensed", 70.0, 72.0), row("random", 50.0), row("whole", 90.0)):
        told = one.as_dict()
        told["results"] = [{name: each[name] for name in of_result} for each in told["results"]]
        rows.append({name: told[name] for name in names})
    return {"card": "dsa-1000", "data": "digits", "rows": rows}


def test_what_the_first_version_wrote_is_read_and_added_to(artefact: Path) -> None:
    before = {"format": "attar.evaluation", "version": 1, "sha256": digest(artefact)}
    path = evaluation_path(artefact)
    path.write_text(json.dumps({**before, "evaluations": [written_by_version_1()]}))
    (read,) = read_record(path).evaluations
    assert [one.kind for one in read.rows] == ["condensed", "random", "whole"]
    assert read.own == row("condensed", 70.0, 72.0)
    keep(artefact, digest(artefact), evaluation(row("coreset", 60.0)))
    record = read_record(path)
    (merged,) = record.evaluations
    assert record.version == 2
    assert [one.kind for one in merged.rows] == ["condensed", "random", "whole", "coreset"]
    # the ceiling is now known to the rows that were measured before it was asked for
    assert [one.results[0].ceiling for one in merged.rows] == [90.0, 90.0, None, 90.0]
    assert merged.rows[0].results[0].share == pytest.approx(100 * 71 / 90)


def scored(*accuracies: float) -> Row:
    columns = [accuracies] * len(SCORED)
    scores = Scores("convnet3", *columns, protocol="as the card says")
    return dataclasses.replace(row("condensed", *accuracies), scores=(scores,))


def test_scores_are_kept_as_long_as_their_accuracies(artefact: Path) -> None:
    own = digest(artefact)
    for later, kept in ((row("condensed", 70.0, 72.0), 1), (row("condensed", 60.0), 0)):
        keep(artefact, own, evaluation(scored(70.0, 72.0)))
        keep(artefact, own, evaluation(later))
        (found,) = read_record(evaluation_path(artefact)).evaluations
        assert found.own is not None and len(found.own.scores) == kept
        if kept:
            assert found.own.scores == scored(70.0, 72.0).scores


def test_scores_that_cannot_be_are_refused(artefact: Path) -> None:
    for name, values in (("random", [101.0, 1.0]), ("real_hard", [1.0])):
        told = evaluation(scored(70.0, 72.0)).as_dict()
        told["rows"][0]["scores"][0][name] = values
        evaluation_path(artefact).write_text(changed(evaluations=[told]))
        with pytest.raises(BadRequest, match=r"percentages|do not fit together"):
            read_record(evaluation_path(artefact))


def test_hard_labels_are_another_row(artefact: Path) -> None:
    soft = row("condensed", 70.0)
    hard = dataclasses.replace(row("condensed", 65.0, name="condensed, hard labels"), labels="hard")
    keep(artefact, digest(artefact), evaluation(soft, hard))
    (found,) = read_record(evaluation_path(artefact)).evaluations
    assert found.own == soft and found.hard == hard
