"""`--tune`: a learning rate and epochs, chosen on held-out training images and nothing else."""

import dataclasses

import pytest
import torch

import attar
from attar.artefact.artefact import Artefact
from attar.artefact.header import Header
from attar.data import LabelledImages
from attar.data.splits import Splits
from attar.errors import BadRequest
from attar.evaluation import tuning
from attar.evaluation.tuning import Tuning, cost, held_out, settings
from attar.networks import build
from attar.rng import Key
from attar.synthetic import Layout, Pixels, Synthetic
from attar.training import Trainer, card
from attar.training.by_class import Hits
from catalogue import COMPUTE, tiny_data

NAME = "convnet1:width=4"
TRAIN = tiny_data(counts=(12, 11, 20))
TEST = dataclasses.replace(tiny_data(seed=1), name="tiny test")


def artefact(settings: dict | None = None, **provenance: object) -> Artefact:
    """Return six images of noise, made from the tiny data."""
    header = Header(
        class_names=["a", "b", "c"],
        shape=(1, 8, 8),
        images_per_class=2,
        parametrization=Pixels().describe(),
        mean=[0.4],
        std=[0.25],
        method="dm",
        settings={"network": NAME, "card": "dsa-1000", **(settings or {})},
        provenance={"dataset": "tiny", **provenance},
    )
    synthetic = Synthetic(Layout(3, 2, (1, 8, 8)), Pixels())
    synthetic.images.start_from_noise(Key(0))
    return Artefact(header, synthetic.requires_grad_(False), TRAIN.preprocessing)


def searched(said: list[str] | None = None) -> Tuning:
    network = build(NAME, 1, (8, 8), 3)
    return Tuning("tiny", [network], COMPUTE, say=said.append if said is not None else None)


def test_nine_settings_around_the_card() -> None:
    found = settings(card("dsa-1000", 100), 6)
    assert [(one.epochs, round(one.lr, 6)) for one in found] == [
        (epochs, lr) for epochs in (100, 50, 200) for lr in (0.01, 0.003, 0.03)
    ]
    assert found[0] == card("dsa-1000", 100) and len({one.name for one in found}) == 9
    assert found[-1].name == "dsa-1000 (epochs 200, lr 0.03)"


def test_of_one_epoch_there_is_no_half() -> None:
    assert len(settings(card("dsa-1000", 1), 6)) == 6


def test_updates_of_frepo_become_epochs() -> None:
    found = settings(card("frepo"), 100)
    assert [one.steps(100) for one in found[::3]] == [2000, 1000, 4000]


def test_cost_is_said_in_trainings_of_the_card() -> None:
    # 3 × (1 + ½ + 2) settings, and one epoch more for each
    said = cost(card("rtp", 100), 6, networks=2)
    assert said == (
        "tuning: 9 settings × 2 networks, the work of 21 trainings of 6 images under "
        "rtp (epochs 100)"
    )


def test_the_best_on_held_out_images_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = {0.003: 10.0, 0.01: 20.0, 0.03: 30.0}

    def accuracy(self: Tuning, one, artefact, own) -> float:
        assert len(own) == 4
        return scores[round(one.lr, 4)] + (one.epochs == 50)

    monkeypatch.setattr(Tuning, "_accuracy", accuracy)
    said: list[str] = []
    found = searched(said).tuned(card("dsa-1000", 100), artefact(), TRAIN)
    assert (found.card.epochs, found.card.lr) == (50, 0.03)
    assert found.card.name == "dsa-1000 (epochs 50, lr 0.03, tuned)"
    assert said[0].startswith("tuning: 9 settings") and len(said) == 10
    assert found.note == (
        "lr 0.03 and 50 epochs chosen among 9 settings on 4 held-out training images, which the "
        "set was made from: 31.0 % there"
    )


def test_a_tie_leaves_the_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tuning, "_accuracy", lambda *given: 50.0)
    found = searched().tuned(card("mtt", 4), artefact(), TRAIN)
    assert dataclasses.replace(found.card, name="mtt (epochs 4)") == card("mtt", 4)


def test_images_that_the_run_held_out_serve_again() -> None:
    kept, own = TRAIN.split(9 / 43, Key(0).fold("held out"))
    made = artefact({"held_out": len(own)}, images=len(kept))
    found, fresh = held_out(made, TRAIN)
    assert fresh and torch.equal(found.images, own.images)
    # other data than those of the run
    _, fresh = held_out(artefact({"held_out": len(own)}, images=99), TRAIN)
    assert not fresh


@pytest.mark.parametrize("share", [0.1, 0.2, 0.25, 0.05, 0.125])
def test_classes_of_any_sizes_give_the_held_out_images_again(share: float) -> None:
    # where rounding and the least of one image make the share of all another one
    train = tiny_data(counts=(4, 14, 15, 16, 25, 26, 98))
    kept, own = train.split(share, Key(0).fold("held out"))
    found, fresh = held_out(artefact({"held_out": len(own)}, images=len(kept)), train)
    assert fresh and torch.equal(found.images, own.images)


def test_a_class_of_one_image_is_refused() -> None:
    with pytest.raises(BadRequest, match="--tune: a class of tiny has one training image"):
        searched().tuned(card("mtt", 4), artefact(), tiny_data(counts=(1, 5, 5)))


def measured_with(
    monkeypatch: pytest.MonkeyPatch, test: LabelledImages
) -> tuple[list[LabelledImages], list]:
    """Evaluate with tuning; return the sets that networks were tested on, and the rows."""
    seen: list[LabelledImages] = []
    hits = Trainer.hits

    def watched(self: Trainer, tensors, data: LabelledImages) -> Hits:
        seen.append(data)
        return hits(self, tensors, data)

    monkeypatch.setattr(Trainer, "hits", watched)
    rows = attar.evaluate(
        artefact(), Splits(TRAIN, test), epochs=2, repeats=1, tune=True, torch_compile="off"
    )
    return seen, rows


def test_test_images_never_enter(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, rows = measured_with(monkeypatch, TEST)
    known = {image.numpy().tobytes() for image in TRAIN.images}
    *during, last = seen
    assert len(during) == 9
    for data in during:
        assert all(image.numpy().tobytes() in known for image in data.images)
    assert torch.equal(last.images, TEST.images)
    other = dataclasses.replace(TEST, images=255 - TEST.images)
    _, again = measured_with(monkeypatch, other)
    assert again[0].note == rows[0].note
    assert again[0].results[0].card == rows[0].results[0].card


def test_table_and_json_say_that_it_was_tuned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Tuning, "_accuracy", lambda self, one, *given: one.lr)
    rows = attar.evaluate(
        artefact(),
        Splits(TRAIN, TEST),
        epochs=2,
        repeats=1,
        tune=True,
        baselines="random",
        torch_compile="off",
    )
    own, random = (row.as_dict() for row in rows)
    assert "chosen among 9 settings" in own["note"] and random["note"] == ""
    cards = {row["results"][0]["card"] for row in (own, random)}
    assert cards == {"dsa-1000 (epochs 2, lr 0.03, tuned)"}


def test_seed_repeats_the_search() -> None:
    one, other = (searched().tuned(card("dsa-1000", 2), artefact(), TRAIN) for _ in range(2))
    assert one == other
    assert tuning.RATES[0] == tuning.LENGTHS[0] == 1
