"""Robust scores: the definition of DD-Ranking, and the accuracies that go into it."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import attar
from attar.artefact.artefact import Artefact
from attar.artefact.header import Header
from attar.data import LabelledImages
from attar.evaluation import evaluate_images
from attar.evaluation.baselines import random_set
from attar.evaluation.comparing import condensed
from attar.evaluation.forecast import Forecast, Work
from attar.evaluation.ranking import SCORED, Scores, augmentation_robust, label_robust, normalised
from attar.networks import build
from attar.rng import Key
from attar.synthetic import Pixels, Synthetic
from attar.training import Trainer, card
from catalogue import COMPUTE, tiny_data

NAME = "convnet1:width=8"
QUICK = {"networks": NAME, "repeats": 2, "device": "cpu", "torch_compile": "off"}
accuracies = st.floats(0, 1)


def by_definition(weight: float, first: float, second: float) -> float:
    """The formula as the paper writes it, in float64."""
    e = np.float64(np.e)
    value = np.float64(weight) * first + (1 - np.float64(weight)) * second
    return float((e**value - e**-1) / (e - e**-1))


@given(accuracies, accuracies, accuracies, accuracies, accuracies)
def test_scores_are_those_of_the_definition(
    a: float, b: float, c: float, d: float, weight: float
) -> None:
    # HLR = a − b is a fault, so it enters with a minus; IOR = c − d
    assert label_robust(a, b, c, d, weight) == pytest.approx(
        by_definition(weight, c - d, -(a - b)), abs=1e-12
    )
    assert augmentation_robust(a, b, c, d, weight) == pytest.approx(
        by_definition(weight, a - b, c - d), abs=1e-12
    )


def test_scores_known_by_hand() -> None:
    assert normalised(-1) == 0 and normalised(1) == pytest.approx(1)
    # nothing gained and nothing lacking: (1 − 1/e) / (e − 1/e) = 1 / (1 + e)
    assert label_robust(0.8, 0.8, 0.5, 0.5) == pytest.approx(1 / (1 + math.e))
    assert augmentation_robust(0.3, 0.3, 0.2, 0.2) == pytest.approx(1 / (1 + math.e))
    # IOR 0.2 and HLR 0.4 at w = ½: α = −0.1, and (0.904837 − 0.367879) / 2.350402
    assert label_robust(0.9, 0.5, 0.6, 0.4) == pytest.approx(0.228454, abs=1e-6)
    # the more a gain is due to labels, the lower the score
    assert label_robust(0.8, 0.4, 0.6, 0.4) < label_robust(0.8, 0.6, 0.6, 0.4)


def scores(**columns: tuple[float, ...]) -> Scores:
    columns = dict.fromkeys(SCORED, (50.0, 50.0)) | columns
    return Scores("net", *(columns[name] for name in SCORED), protocol="p")


def test_each_network_gives_one_value_and_percentages_become_fractions() -> None:
    one = scores(real_hard=(90.0, 80.0), synthetic=(60.0, 70.0), random=(40.0, 20.0))
    expected = [label_robust(0.9, 0.5, 0.6, 0.4), label_robust(0.8, 0.5, 0.7, 0.2)]
    assert one.label_robust.values == pytest.approx(expected)
    assert one.label_robust.mean == pytest.approx(sum(expected) / 2)
    assert one.label_robust.std == pytest.approx(abs(expected[0] - expected[1]) / 2)
    assert one.hard_label_recovery.values == (40.0, 30.0)
    assert one.improvement_over_random.values == (20.0, 50.0)
    assert one.augmentation_robust.values == pytest.approx([1 / (1 + math.e)] * 2)
    told = one.as_dict()
    assert told["lrs"]["mean"] == one.label_robust.mean and told["ior"]["mean"] == 35.0
    assert told["lrs"]["interval"] is None


def both() -> tuple[LabelledImages, LabelledImages]:
    """Return training images and enough test images to tell networks apart."""
    return tiny_data(), tiny_data(counts=(60, 60, 60), seed=1)


def hard_artefact() -> Artefact:
    return attar.condense(tiny_data(), method="random", synthetic_per_class=2, network=NAME)


def soft_artefact() -> Artefact:
    """Return real images with learnt labels, one of which has another class on top."""
    plain = hard_artefact()
    made = Header.model_validate(
        {**plain.header.model_dump(), "method": "soft", "learned_labels": True}
    )
    synthetic = Synthetic(made.layout, Pixels(), learned_labels=True)
    state = synthetic.state_dict()
    labels = torch.nn.functional.one_hot(plain.labels, 3).float() * 0.8 + 0.1
    labels[0] = torch.tensor([0.1, 0.1, 0.8])
    (name,) = [name for name, tensor in state.items() if tensor.shape == labels.shape]
    images = plain.synthetic.state_dict()
    synthetic.load_state_dict({**images, name: labels})
    return Artefact(made, synthetic.requires_grad_(False), plain.preprocessing)


def test_scores_of_an_artefact_use_the_rows_and_training_without_augmentation() -> None:
    artefact, data = hard_artefact(), both()
    rows = attar.evaluate(artefact, data, card="dsa-1000", epochs=3, scores=True, **QUICK)
    assert [row.kind for row in rows] == ["condensed", "random", "whole"]
    own, random, whole = (row.results[0].accuracies for row in rows)
    (found,) = rows[0].scores
    assert not rows[1].scores and not rows[2].scores
    assert found.synthetic == found.synthetic_hard == found.synthetic_augmented == own
    assert found.random == found.random_augmented == random and found.real_hard == whole
    plain = dataclasses.replace(card("dsa-1000", 3), augment="none")
    (alone,) = evaluate_images(
        artefact.images,
        artefact.labels,
        data[1],
        plain,
        dataset="tiny",
        networks=(NAME,),
        repeats=2,
        compute=COMPUTE,
    )
    assert found.synthetic_plain == alone.accuracies != own
    assert "no augmentation" in found.protocol and "class indices" in found.protocol


def test_a_card_without_augmentation_is_scored_with_that_of_dsa() -> None:
    rows = attar.evaluate(
        hard_artefact(), both(), card="plain-1000", epochs=3, scores=True, **QUICK
    )
    (found,) = rows[0].scores
    assert found.synthetic_plain == found.synthetic == rows[0].results[0].accuracies
    assert found.synthetic_augmented != found.synthetic_plain
    assert "DSA augmentation" in found.protocol


def test_learnt_labels_are_compared_with_hard_ones_and_a_teacher(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    artefact = soft_artefact()
    seen: list[torch.Tensor] = []
    fit = Trainer.fit

    def watched(self, images, labels, recipe, strategy, keys, *teacher):
        seen.append(labels)
        return fit(self, images, labels, recipe, strategy, keys, *teacher)

    monkeypatch.setattr(Trainer, "fit", watched)
    rows = attar.evaluate(artefact, both(), epochs=2, scores=True, **QUICK)
    assert [(row.kind, row.labels) for row in rows] == [
        ("condensed", "own"),
        ("condensed", "hard"),
        ("random", "own"),
        ("whole", "own"),
    ]
    assert rows[1].name == f"{rows[0].name}, hard labels"
    assert rows[1].note == "argmax of each label" and not rows[0].note
    # six bytes in place of 6 × 3 float32
    assert rows[0].bytes is not None and rows[0].bytes - (rows[1].bytes or 0) == 6 * 3 * 4 - 6
    # the class of the largest value, not the one that the image was made for
    hard = next(labels for labels in seen if len(labels) == 6 and labels.ndim == 1)
    assert hard.tolist() == [2, 0, 1, 1, 2, 2]
    (found,) = rows[0].scores
    assert found.synthetic_hard == rows[1].results[0].accuracies
    assert "softmax" in found.protocol
    taught = [labels for labels in seen if labels.ndim == 2 and not labels.equal(artefact.labels)]
    assert taught and all(
        labels.shape == (len(taught[0]), 3) and torch.allclose(labels.sum(1), torch.ones(()))
        for labels in taught
    )


def test_squared_error_compares_with_the_scores_of_the_teacher(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[torch.Tensor] = []
    fit = Trainer.fit

    def watched(self, images, labels, recipe, strategy, keys, *teacher):
        seen.append(labels)
        return fit(self, images, labels, recipe, strategy, keys, *teacher)

    monkeypatch.setattr(Trainer, "fit", watched)
    artefact = soft_artefact()
    rows = attar.evaluate(
        artefact, both(), card="frepo", epochs=2, scores=True, **{**QUICK, "repeats": 1}
    )
    taught = [labels for labels in seen if labels.ndim == 2 and not labels.equal(artefact.labels)]
    assert taught and all(bool((labels < 0).any()) for labels in taught)
    assert "labels of random images: scores of" in rows[0].scores[0].protocol


def test_the_time_told_counts_the_teacher(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    works: list[Work] = []
    monkeypatch.setattr(Forecast, "seconds", lambda self, some: works.extend(some) or 1.0)

    class Asking(attar.EvaluationCallback):
        def expected(self, seconds: float) -> None:
            del seconds

    options = {**QUICK, "callback": Asking(), "repeats": 1}
    attar.evaluate(soft_artefact(), both(), epochs=1, scores=True, **options)
    whole = [work.repeats for work in works if work.given.kind == "whole"]
    assert whole[-1] == 1 and len(whole) == 2


def test_hard_labels_without_scores_need_no_asking() -> None:
    rows = attar.evaluate(soft_artefact(), both(), epochs=1, **{**QUICK, "repeats": 1})
    assert [row.labels for row in rows] == ["own", "hard"]


def test_a_trainer_gives_the_scores_that_it_counts() -> None:
    data = tiny_data()
    one = Trainer(build(NAME, 1, (8, 8), 3), dataclasses.replace(COMPUTE, chunk=7))
    tensors = one.training.tensors(one.network.draw(Key(0)))
    found = one.scores(tensors, data.take(torch.arange(len(data))))
    right = (found.argmax(1) == data.labels).float().mean()
    assert found.shape == (26, 3)
    assert one.accuracy(tensors, data) == pytest.approx(100 * float(right))


def test_scores_are_shown_kept_and_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import json

    from attar.cli import run
    from attar.evaluation.record import evaluation_path, read_record

    path = tmp_path / "set.safetensors"
    words = ["condense", "digits", "--method", "random", "--ipc", "1", "--network", NAME]
    assert run([*words, "--classes", "3", "--per-class", "8", "-o", str(path)]) == 0
    page = tmp_path / "page.html"
    words = ["evaluate", str(path), "--repeats", "2", "--epochs", "1", "--scores"]
    capsys.readouterr()
    assert run([*words, "--report", str(page)]) == 0
    shown = capsys.readouterr()
    for text in ("LRS", "ARS", "HLR", "IOR", "of ceiling", "scores: networks trained under"):
        assert text in shown.out, text
    assert "estimate: about" in shown.err and " left" in shown.err
    (evaluation,) = read_record(evaluation_path(path)).evaluations
    assert evaluation.own is not None
    (kept,) = evaluation.own.scores
    html = page.read_text(encoding="utf-8")
    assert "Robust scores" in html and f"{kept.label_robust.mean:.3f}" in html
    assert "% of the ceiling" in html and kept.protocol in html
    assert run([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["rows"][0]
    assert told["scores"][0]["lrs"]["values"] == list(kept.label_robust.values)
    # the whole training set was not trained on again
    assert json.loads(evaluation_path(path).read_text())["version"] == 2


def test_condensed_lines_say_the_bytes_of_the_artefact() -> None:
    artefact = hard_artefact()
    line = condensed(artefact, card("dc-300"))
    beside = random_set(tiny_data(), artefact.totals.paper, card("dc-300"), seed=0)
    assert line.paper_bytes == beside.paper_bytes == 3 * 2 * 64 * 4
    assert line.images_per_class == beside.images_per_class == 2
