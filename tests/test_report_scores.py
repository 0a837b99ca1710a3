"""Scores, hard labels, coresets and ceilings on the HTML pages."""

import dataclasses
from pathlib import Path

import pytest

from attar.evaluation import Result
from attar.evaluation.ranking import SCORED, Scores
from attar.evaluation.record import Evaluation
from attar.evaluation.rows import Row
from attar.report import Entry, write_comparison
from attar.report.single import write_entry
from test_report import make
from test_report_several import section, table_rows, words


def scores(*accuracies: float) -> Scores:
    return Scores("convnet3", *([accuracies] * len(SCORED)), protocol="under its card")


def row(kind, name: str, *accuracies: float, **options) -> Row:
    results = (Result("convnet3", "dsa-1000", accuracies, 1.0),)
    return Row(name, 1, 640, 640, results, kind=kind, **options)


def entry(name: str = "one", **card) -> Entry:
    artefact = make(method="lodm", provenance={"dataset": "pets", "source": "pets"})
    artefact.header.learned_labels = card.pop("learned_labels", False)
    rows = (
        row("condensed", "lodm", 70.0, 72.0, scores=(scores(70.0, 72.0),)),
        row("condensed", "lodm, hard labels", 61.0, 61.0, labels="hard"),
        row("random", "random real images", 50.0, 50.0),
        row("coreset", "herding (real images)", 55.0, 55.0),
        row("whole", "whole training set", 90.0, 90.0, note="20 epochs, not 1000"),
    )
    return Entry(name, artefact, (Evaluation("dsa-1000", "pets", rows),))


def page_of_one(path: Path, one: Entry) -> str:
    write_entry(path, one)
    return path.read_text(encoding="utf-8")


def page_of(path: Path, *entries: Entry) -> str:
    write_comparison(path, entries)
    return path.read_text(encoding="utf-8")


def test_one_set_is_shown_with_everything_beside_it(tmp_path: Path) -> None:
    html = page_of_one(tmp_path / "one.html", entry())
    _, own, hard, random, coreset, whole = table_rows(section(html, "comparison"))
    # of two networks there is no interval
    for said in ("71.0 ± 1.0 %", "79 % of the ceiling"):
        assert said in own, said
    assert "95 %" not in own
    assert "hard labels" in hard and "61.0" in hard and "68 % of the ceiling" in hard
    assert "50.0" in random and "herding" in coreset and "61 % of the ceiling" in coreset
    assert "20 epochs, not 1000" in whole and "of the ceiling" not in whole
    told = words(section(html, "robust-scores"))
    expected = scores(70.0, 72.0).label_robust
    assert f"{expected.mean:.3f} ± {expected.std:.3f}" in told and "Scores: under its card." in told


def test_several_sets_are_shown_with_their_hard_labels_and_scores(tmp_path: Path) -> None:
    html = page_of(tmp_path / "two.html", entry(), entry("two"))
    summary = table_rows(section(html, "summary"))
    assert sum("with hard labels" in line and "61.0" in line for line in summary) == 2
    assert any("herding (real images)" in line and "55.0" in line for line in summary)
    assert any("A one" in line and "79 % of the ceiling" in line for line in summary)
    told = table_rows(section(html, "robust-scores"))
    assert len(told) == 3 and "A one" in told[1] and "B two" in told[2]
    assert "herding (real images)" in section(html, "accuracy-against-bytes")
    assert "before-comparing" not in html


def test_learnt_labels_beside_others_are_warned_of(tmp_path: Path) -> None:
    html = page_of(tmp_path / "two.html", entry(learned_labels=True), entry("two"))
    assert "A: learnt labels; B: the class of each image." in words(
        section(html, "before-comparing")
    )


def test_without_scores_there_is_no_such_section(tmp_path: Path) -> None:
    plain = entry()
    (evaluation,) = plain.evaluations
    rows = tuple(dataclasses.replace(one, scores=()) for one in evaluation.rows)
    plain = dataclasses.replace(plain, evaluations=(dataclasses.replace(evaluation, rows=rows),))
    assert "robust-scores" not in page_of_one(tmp_path / "one.html", plain)
    assert "robust-scores" not in page_of(tmp_path / "two.html", plain, plain)


def test_of_two_networks_the_spread_is_told_without_an_interval(
    capsys: pytest.CaptureFixture[str],
) -> None:
    from attar.cli.tables import print_rows

    one = row("condensed", "lodm", 70.0, 72.0)
    compute = {"device": "cpu", "precision": "float32", "compile": False}
    result = dataclasses.replace(one.results[0], compute=compute)
    print_rows([dataclasses.replace(one, results=(result,))])
    told = capsys.readouterr().out
    assert "mean ± std" in told and "71.00 ± 1.00" in told and "95 %" not in told
