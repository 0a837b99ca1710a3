"""Updates beside epochs: what a comparison says of rows that were trained for less."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

import attar
from attar.cli import run
from attar.errors import BadRequest
from attar.evaluation import Result
from attar.evaluation.ceiling import whole_set
from attar.evaluation.remarks import Trained, length, less_trained, no_better, remarks
from attar.evaluation.rows import Row
from attar.evaluation.tuning import settings
from attar.training import EvaluationCard, card
from attar.training.schedules import steps
from catalogue import tiny_data

NAME = "convnet1:width=8"


def row(name: str, updates: int | None, kind: Any = "condensed", *hits: int) -> Row:
    tested, right = ((50, 50), (hits,)) if hits else ((), ())
    accuracy = float(sum(hits)) if hits else 60.0
    result = Result(
        "convnet3",
        "c",
        (accuracy,),
        1.0,
        tested=tested,
        right=right,
        epochs=None if updates is None else 40,
        updates=updates,
    )
    return Row(name, 1, 4, 4, (result,), "", kind)


def test_a_row_trained_for_less_than_another_is_marked() -> None:
    said = remarks([row("ours", 41), row("random real images", 164, "random"), row("old", None)])
    text = "trained for 41 updates, a quarter of the 164 of random real images"
    assert said == [[text], [], []]


@pytest.mark.parametrize(
    ("updates", "part"),
    [
        (500, "half of the 1,000"),
        (334, "a third of the 1,000"),
        (999, "99 % of the 1,000"),
        (1, "1 % of the 1,000"),
        (370, "37 % of the 1,000"),
        (1000, ""),
    ],
)
def test_the_part_is_said_in_words(updates: int, part: str) -> None:
    said, _ = less_trained([Trained("a", updates), Trained("b", 1000)])
    assert (part in said) and bool(said) == bool(part)


def test_the_whole_training_set_is_no_measure_and_is_marked_where_it_got_less() -> None:
    assert remarks([row("ours", 41), row("whole", 4000, "whole")]) == [[], []]
    (_, said) = remarks([row("ours", 41), row("whole", 20, "whole")])
    assert said == ["trained for 20 updates, 49 % of the 41 of ours"]


def test_rows_no_better_than_naming_the_largest_class_are_marked() -> None:
    assert no_better(row("ours", 1, "condensed", 30, 21).results[0]) == ""
    said = no_better(row("ours", 1, "condensed", 50, 0).results[0])
    assert said == "no better than naming one class for every image (50.0 %)"
    unequal = Result("mlp", "c", (76.0,), 1.0, tested=(90, 10), right=((70, 6),))
    assert no_better(unequal) == "no better than naming the largest class (90.0 %)"
    assert no_better(Result("mlp", "c", (76.0,), 1.0)) == ""


def test_epochs_and_updates_stand_beside_each_other() -> None:
    assert length(40, 1001) == "40 epochs, 1,001 updates"
    assert length(1, 1) == "1 epoch, 1 update"
    assert length(2.5, 20) == "2.5 epochs, 20 updates"
    assert length(1000, 1001) == "1,000 epochs, 1,001 updates"
    assert length(None, None) == ""


@pytest.mark.parametrize("name", ["dsa-1000", "idc", "rtp", "frepo"])
@pytest.mark.parametrize("count", [3, 600, 700])
def test_updates_are_those_asked_for(name: str, count: int) -> None:
    one = card(name, updates=30)
    found = list(steps(one, count))
    assert len(found) == one.steps(count) == 30 and one.fixed_updates == 30
    assert "(updates 30)" in one.name
    # rates fall within the training, whatever the number of images
    assert [step.lr for step in found] == [step.lr for step in steps(one, 5)]
    assert found[0].start == 0 and max(step.start for step in found) < count


def test_the_rate_falls_in_the_second_half() -> None:
    rates = [round(step.lr, 6) for step in steps(card("dsa-1000", updates=10), 4)]
    assert rates == [0.01] * 5 + [0.001] * 5
    found = list(steps(card("dsa-1000", updates=10), 4))
    assert [step.restart for step in found].count(True) == 1
    rates = [round(step.lr, 6) for step in steps(card("idc", updates=12), 4)]
    assert rates == [0.01] * 8 + [0.002] * 2 + [0.0004] * 2


def test_a_card_has_one_length() -> None:
    with pytest.raises(BadRequest, match=r"--epochs 3 and --updates 4 each say"):
        card("dsa-1000", 3, 4)
    with pytest.raises(BadRequest, match="--updates 0: at least 1"):
        card("dsa-1000", updates=0)
    assert card("frepo", updates=7).with_epochs(5).name == "frepo (epochs 5)"
    assert card("dsa-1000", 5).with_updates(7).name == "dsa-1000 (updates 7)"


def test_a_number_of_updates_holds_for_the_whole_training_set_and_while_tuning() -> None:
    one = card("dsa-1000", updates=7)
    whole = whole_set(tiny_data(), one, 3)
    assert whole.card == one and whole.note == ""
    assert whole_set(tiny_data(), one, 3, epochs=2).card.name == "dsa-1000 (epochs 2)"
    assert {each.fixed_updates for each in settings(one, 6)} == {7} and len(settings(one, 6)) == 3


def test_epochs_of_a_card_that_counts_updates_are_how_often_it_goes_through() -> None:
    one = EvaluationCard("u", "", 0, "none", batch=4, updates=((0, 10),))
    assert one.epochs_of(8) == 5.0 and one.epochs_of(2) == 10.0
    assert card("dsa-1000").epochs_of(8) == 1000


def test_evaluate_fixes_the_updates_of_all_rows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "set.safetensors"
    attar.condense("digits", method="random", ipc=1, network=NAME, output=path)
    words = ["evaluate", str(path), "--repeats", "1", "--baselines", "--data-dir", str(tmp_path)]
    page = tmp_path / "page.html"
    assert run([*words, "--updates", "9", "--json", "--report", str(page)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["updates"] for one in told["rows"]] == [9, 9, 9]
    assert [one["results"][0]["updates"] for one in told["rows"]] == [9, 9, 9]
    assert not any("trained for" in text for one in told["rows"] for text in one["remarks"])
    assert "9 updates" in page.read_text(encoding="utf-8")
    assert run([*words, "--epochs", "3", "--updates", "9"]) == 2
    assert "give one of them" in " ".join(capsys.readouterr().err.split())


def test_a_larger_set_at_the_same_epochs_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A low-rank set has more images than random ones of its bytes, and gets more updates."""
    path = tmp_path / "set.safetensors"
    made = {"method": "lodm", "synthetic_per_class": 40, "iterations": 0, "validation": 0.0}
    attar.condense("digits", **made, network=NAME, output=path)
    words = ["evaluate", str(path), "--repeats", "1", "--baselines", "random", "--epochs", "2"]
    page = tmp_path / "page.html"
    assert run([*words, "--report", str(page)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    text = "trained for 3 updates, half of the 6 of lodm (last iterate)"
    found = re.search(f"([¹²]) {re.escape(text)}", shown)
    # broken in a narrow column, the mark behind its end
    assert found and re.search(rf"random real images\S*{found[1]}", shown)
    assert "2 epochs" in shown and "6 updates" in shown
    assert text[1:] in page.read_text(encoding="utf-8")
