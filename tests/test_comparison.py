"""`attar.evaluate`: what a set is compared with, and what is refused."""

import dataclasses

import pytest
import torch
from torch import Tensor

import attar
from attar.artefact.artefact import Artefact
from attar.cli.lists import split_networks
from attar.errors import BadRequest
from attar.evaluation.baselines import coreset, wanted_baselines
from attar.training import EvaluationCard
from catalogue import tiny_data

NAME = "convnet1:width=8"
BRIEF = EvaluationCard("brief", "one epoch", epochs=1, augment="none")
QUICK = {"epochs": 1, "repeats": 1, "device": "cpu", "torch_compile": "off"}


@pytest.fixture(scope="module")
def artefact() -> Artefact:
    options = {"synthetic_per_class": 2, "network": NAME, "test_share": 0.2}
    return attar.condense(tiny_data(), method="random", **options)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (False, ()),
        (True, ("random", "whole")),
        ("random, herding", ("random", "herding")),
        (["whole", "kcenter", "kcenter"], ("whole", "kcenter")),
    ],
)
def test_baselines_by_name(given: bool | str | list[str], names: tuple[str, ...]) -> None:
    assert wanted_baselines(given) == names


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("hearding", "did you mean 'herding'"),
        ("dm", "unknown baseline"),
        ("", "name some of random, "),
        ([], "name some of random, "),
    ],
)
def test_other_baselines_are_refused_before_any_data_is_read(
    given: str | list[str], said: str
) -> None:
    with pytest.raises(BadRequest, match=said):
        attar.evaluate("nothing.safetensors", baselines=given)


def test_every_baseline_has_the_bytes_of_the_set(artefact: Artefact) -> None:
    rows = attar.evaluate(
        artefact, tiny_data(), baselines="whole,herding,random,kcenter,forgetting", **QUICK
    )
    kinds = ["condensed", "coreset", "random", "coreset", "coreset", "whole"]
    assert [row.kind for row in rows] == kinds
    assert {row.paper_bytes for row in rows[:-1]} == {artefact.totals.paper}
    assert {row.images_per_class for row in rows[:-1]} == {2}
    assert [row.name.split()[0] for row in rows[1:5]] == [
        "herding",
        "random",
        "kcenter",
        "forgetting",
    ]
    assert {row.results[0].card for row in rows[:-1]} == {rows[0].results[0].card}


def test_a_coreset_is_what_its_method_selects(artefact: Artefact) -> None:
    train = tiny_data()
    found = coreset("kcenter", train, artefact.totals.paper, BRIEF, artefact, seed=3)
    assert isinstance(found.images, Tensor)
    every = train.take(torch.arange(len(train)))
    for image, label in zip(found.images, found.labels, strict=True):
        same = [n for n in range(len(train)) if torch.allclose(every[n], image, atol=1e-5)]
        assert same and train.labels[same[0]] == label
    # one image of each class at least, and then it says so
    small = coreset("herding", train, 1, BRIEF, artefact, seed=3)
    assert small.images_per_class == 1 and "more bytes than the set" in small.note


def test_a_coreset_of_fewer_images_than_the_set_takes_all(artefact: Artefact) -> None:
    train = tiny_data(counts=(2, 2, 2))
    found = coreset("herding", train, 2 * artefact.totals.paper, BRIEF, artefact, seed=3)
    assert found.images_per_class == 2 and "the set has more bytes" in found.note


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"repeats": 0}, "--repeats 0"),
        ({"vectorized": 0}, "--vectorized 0"),
        ({"networks": "resmet18"}, "did you mean 'resnet18'"),
        ({"networks": "vgg11"}, "cannot take images of 8×8"),
    ],
)
def test_bad_options_are_refused_before_the_data_are_read(
    artefact: Artefact, options: dict, said: str
) -> None:
    with pytest.raises(BadRequest) as refusal:
        attar.evaluate(artefact, "npz:nothing.npz", **{**QUICK, **options})
    assert said in str(refusal.value)


def test_two_names_of_one_network_are_one(artefact: Artefact) -> None:
    names = ["ConvNetD1W8", " convnet1:width=8", "convnet1:width=8"]
    (row,) = attar.evaluate(artefact, tiny_data(), networks=names, **QUICK)
    assert [result.network for result in row.results] == ["convnet1:width=8"]


def test_names_of_networks_may_have_spaces_between_them() -> None:
    found = split_networks("convnet3:width=8, norm=batch, mlp,timm:vit, alexnet:norm=batch")
    assert found == ["convnet3:width=8,norm=batch", "mlp", "timm:vit", "alexnet:norm=batch"]


def test_the_time_is_told_before_and_after_the_first_row(artefact: Artefact) -> None:
    told: list[float] = []
    seen: list[int] = []

    class Times(attar.EvaluationCallback):
        def expected(self, seconds: float) -> None:
            told.append(seconds)

        def trained(self, *_: object) -> None:
            seen.append(len(told))

    attar.evaluate(artefact, tiny_data(), baselines="random", callback=Times(), **QUICK)
    assert len(told) == 2 and min(told) > 0 and seen[0] == 1 and seen[-1] == 2


def test_functions_given_one_by_one_are_told_and_warned_of(artefact: Artefact) -> None:
    told: list[str] = []
    with pytest.warns(DeprecationWarning, match="callback="):
        attar.evaluate(artefact, tiny_data(), say=told.append, **QUICK)  # pyright: ignore[reportCallIssue]
    assert len(told) == 1


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("a", "b", "c", "d"), "(a, b, c, d); give"),
        (("a", "b"), "(a, b); give"),
        (("a", "b", "other"), "class 2 is 'c' in the artefact and 'other' there"),
        (("b", "a", "c"), "class 0 is 'a' in the artefact and 'b' there"),
    ],
)
def test_data_of_other_classes_are_refused(
    artefact: Artefact, names: tuple[str, ...], said: str
) -> None:
    counts = (6,) * len(names)
    data = dataclasses.replace(tiny_data(counts=counts), class_names=names)
    with pytest.raises(BadRequest) as refusal:
        attar.evaluate(artefact, data, **QUICK)
    assert said in str(refusal.value) and "the artefact's classes (a, b, c)" in str(refusal.value)
