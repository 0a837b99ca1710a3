"""Membership inference against artefacts: what is found, and what is not found where nothing is."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import attar
from attar.applications.auditing.nearest import nearest
from attar.applications.auditing.rates import attack, auc, auc_interval, share_interval
from attar.applications.auditing.shadows import halves, ratios, shadow_request
from attar.cli import run
from attar.condensing.condense import condense
from attar.data import LabelledImages, Splits
from attar.rng import Key


@pytest.fixture(scope="module")
def digits() -> Splits:
    return attar.load_source("digits")


@pytest.fixture(scope="module")
def halved(digits: Splits) -> tuple[LabelledImages, LabelledImages]:
    """Return two halves of the training images that share none."""
    return digits.train.split(0.5, Key(0))


def condensed(data: LabelledImages, **options) -> attar.Artefact:
    return attar.condense(Splits(data, None), ipc=5, method="random", validation=0, **options)


def test_real_images_are_found(digits: Splits) -> None:
    found = attar.audit(condensed(digits.train), digits)
    assert found.rows == found.exact == found.copies == found.close == 50
    assert found.images.auc >= 0.95 and found.images.low >= 0.95
    # few of all training images are in it
    assert found.nearest.low > 0.5 and found.nearest.auc < 0.95
    assert found.nearest.hits[0].share >= 50 / len(digits.train)


def test_members_may_be_those_that_a_coreset_keeps(digits: Splits, tmp_path: Path) -> None:
    made = condensed(digits.train)
    everything = digits.train.take(torch.arange(len(digits.train))).flatten(1)
    kept = [int((everything == one.flatten()).all(dim=1).nonzero()[0]) for one in made.images]
    np.save(tmp_path / "kept.npy", np.array(kept))
    (tmp_path / "kept.txt").write_text("\n".join(map(str, kept)))
    for given in (kept, tmp_path / "kept.npy", tmp_path / "kept.txt"):
        found = attar.audit(made, digits, members=given)
        assert found.nearest.members == 50 and found.nearest.auc >= 0.95


def test_nothing_is_found_of_disjoint_images(
    digits: Splits, halved: tuple[LabelledImages, LabelledImages]
) -> None:
    first, second = halved
    found = attar.audit(condensed(first), (second, digits.test))
    assert found.exact == 0
    for one in (found.images, found.nearest):
        assert one.low < 0.5 < one.high
    assert any("other images" in note for note in found.notes)


def test_coded_images_are_found_though_no_bit_is_the_same(digits: Splits) -> None:
    found = attar.audit(condensed(digits.train, storage="jpeg:quality=90"), digits)
    assert found.exact == 0
    assert found.images.low > 0.9 and found.close >= 0.9 * found.rows


def test_an_audit_repeats_and_is_plain_values(digits: Splits) -> None:
    made = condensed(digits.train)
    first, again = (attar.audit(made, digits).as_dict() for _ in range(2))
    assert json.loads(json.dumps(first)) == again
    assert first["neighbours"][0]["distance"] == 0


@pytest.mark.parametrize("rows", [1, 25, 26, 100])
def test_copies_are_at_distance_0(digits: Splits, rows: int) -> None:
    # torch 2.15: torch.cdist takes a product of matrices where more than 25 rows are given
    index = torch.arange(rows)
    train = digits.train.preprocessing
    found = nearest(train.invert(digits.train.take(index)), rows, digits.train)
    assert not found.of_queries.any() and found.which.tolist() == index.tolist()


def test_whitened_copies_are_the_same_pictures() -> None:
    whitened = attar.load_source("digits", zca="mtt")
    found = attar.audit(condensed(whitened.train), whitened)
    assert found.copies == found.rows


def test_shadow_sets_find_no_member_of_disjoint_images(
    digits: Splits, halved: tuple[LabelledImages, LabelledImages]
) -> None:
    first, second = halved
    lines: list[str] = []
    found = attar.audit(
        condensed(first), (second, digits.test), shadows=2, epochs=3, said=lines.append
    )
    assert found.likelihood is not None and found.likelihood.others == len(digits.test or ())
    assert found.likelihood.low < 0.5 < found.likelihood.high
    assert any("2 shadow sets" in line for line in lines)
    assert any("minutes left" in line for line in lines)


@pytest.mark.parametrize(
    "given",
    [
        {
            "method": "dm",
            "settings": {"batch_real": 8, "augment": "none"},
            "average": 0.5,
            "bounded": True,
        },
        {"method": "dm", "form": "resized:side=4", "lr": 0.5, "momentum": 0.2},
        {"method": "dm", "optimiser": "adam", "schedule": "cosine", "storage": "int8"},
        {"method": "lodm", "rank": 1},
        {"method": "kfs", "settings": {"batch_real": 8}},
        {"method": "frepo", "settings": {"batch_real": 16}},
        {"method": "dc", "settings": {"batch_real": 8, "outer": 1, "inner": 1}},
    ],
    ids=lambda given: "-".join(given),
)
def test_shadow_sets_are_made_with_the_settings_of_the_set(
    digits: Splits, given: dict[str, Any]
) -> None:
    made = attar.condense(
        digits, ipc=1, iterations=1, validation=0, network="convnet2:width=8", **given
    )
    shadow = condense(digits, shadow_request(made, None, 1))
    own, of_shadow = (
        {**one.header.settings, "parametrization": one.header.parametrization}
        for one in (made, shadow)
    )
    names = ["objective", "optimisers", "parametrization", "average", "storage", "network"]
    for name in [*names, "bounded"]:
        assert of_shadow.get(name) == own.get(name)


def test_shadow_sets_of_a_method_that_trains_say_their_cost_first(digits: Splits) -> None:
    made = attar.condense(digits, method="dm", ipc=1, iterations=2, validation=0)
    lines: list[str] = []
    found = attar.audit(made, digits, shadows=2, iterations=1, epochs=1, said=lines.append)
    assert found.likelihood is not None
    assert "2 shadow sets of 1 updates" in lines[1]


def test_every_image_is_in_half_of_the_shadow_sets(digits: Splits) -> None:
    taken = halves(digits.train, 6, Key(0))
    assert taken.sum(dim=0).eq(3).all()
    assert (taken.sum(dim=1).double() / len(digits.train)).sub(0.5).abs().max() < 0.01


def test_ratios_tell_members_where_confidence_does() -> None:
    generator = torch.Generator().manual_seed(0)
    taken = torch.rand(16, 400, generator=generator) < 0.5
    # images differ in how hard they are by far more than membership adds
    hard = 10 * torch.randn(400, generator=generator)
    seen = hard + 2.0 * taken + torch.randn(16, 400, generator=generator)
    own = hard + torch.randn(400, generator=generator)
    own[:200] += 2.0
    score = ratios(own.double(), seen.double(), taken)
    assert auc(score[:200], score[200:]) > 0.85
    assert auc(own[:200], own[200:]) < 0.65


def test_auc_counts_ties_half_and_its_interval_is_never_empty() -> None:
    same = torch.ones(20)
    assert auc(same, same) == 0.5
    low, high = auc_interval(1.0, 20, 20)
    assert 0.8 < low < 1.0 and high == pytest.approx(1)
    low, high = auc_interval(0.5, 100, 100)
    # Hanley and McNeil 1982: a standard error of 0.0409 at 0.5 with 100 and 100
    assert high - low == pytest.approx(2 * 1.96 * 0.0409, rel=0.05)
    assert share_interval(0.0, 10)[0] == 0 and share_interval(1.0, 10)[1] == pytest.approx(1)


def test_hits_are_given_where_there_are_others_enough_to_measure_them() -> None:
    members, others = torch.arange(100.0) + 900, torch.arange(1000.0)
    found = attack("", members, others)
    assert [one.false_alarms for one in found.hits] == [0.01, 0.001]
    # above 989 there are ten of the others
    assert found.hits[0].share == pytest.approx(0.10)
    assert attack("", members, others[:50]).hits == ()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"shadows": 3}, "--shadows 3: an even number"),
        ({"minutes": 1.0}, "give --shadows, too"),
        ({"epochs": 3}, "--epochs 3: of shadow sets alone; give --shadows, too"),
        ({"shadows": 2, "minutes": 1.0, "iterations": 1}, "not both"),
        ({"shadows": 2, "minutes": math.inf}, "--minutes inf"),
        ({"shadows": 2, "minutes": "a"}, "'a': a number is needed"),
        ({"shadows": 2, "iterations": 0}, "--iterations 0"),
        ({"repeats": 0}, "--repeats 0"),
        ({"members": [0, 5000]}, "indices run from 0 to 5000"),
        ({"members": [0.5]}, "whole numbers"),
        ({"members": "nothing.npy"}, "--members nothing.npy"),
    ],
)
def test_what_cannot_be_is_refused(digits: Splits, options: dict, said: str) -> None:
    with pytest.raises(attar.BadRequest, match=said.replace("(", r"\(")):
        attar.audit(condensed(digits.train), digits, **options)


def test_data_that_do_not_fit_are_refused(digits: Splits) -> None:
    made = condensed(digits.train)
    fewer = digits.train.of_classes(["1", "2"])
    with pytest.raises(attar.BadRequest, match="classes"):
        attar.audit(made, (fewer, fewer))
    with pytest.raises(attar.BadRequest, match=r"in one piece|left to test on"):
        attar.audit(made, digits.train)


def test_sets_of_no_method_have_no_shadows(digits: Splits) -> None:
    made = condensed(digits.train)
    for changes in ({"method": "theirs"}, {"settings": {}}):
        made.header = made.header.model_copy(update=changes)
        with pytest.raises(attar.BadRequest, match="leave --shadows out"):
            attar.audit(made, digits, shadows=2)


def test_the_command_tells_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "set.safetensors"
    attar.condense("digits", ipc=5, method="random", output=out)
    words = ["audit", str(out), "--data", "digits"]
    assert run([*words, "--picture", str(tmp_path / "near.png"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["exact_copies"] == 50
    assert (tmp_path / "near.png").read_bytes()[:4] == b"\x89PNG"
    assert run(words) == 0
    assert "does not prove" in capsys.readouterr().out
    assert run([*words, "--picture", str(tmp_path / "near.jpg")]) == 2
