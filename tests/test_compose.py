"""Every form under every objective, labels fixed and learnt, as docs/combinations.md says."""

import itertools
import re
from pathlib import Path
from typing import Any

import pytest

import attar
from attar.objectives import OBJECTIVES as REGISTERED_OBJECTIVES
from attar.objectives import WeightedSum
from attar.synthetic import PARAMETRIZATIONS as REGISTERED_FORMS
from attar.synthetic import from_description
from attar.testing import check_combination
from attar.testing.counterparts import FORMS, NETWORK_OF, OBJECTIVES, SLIMMERS, all_forms
from catalogue import NETWORK, prepared_data, tiny_data, tiny_problem

PAGE = (Path(__file__).parent.parent / "docs" / "combinations.md").read_text(encoding="utf-8")
# each an item of a list
REASONS = {
    " ".join(item.split()) for item in re.findall(r"^- ((?:.+\n)+?)(?=- |\n|\Z)", PAGE, re.M)
}
ALL_FORMS = all_forms()
LEARNING_LABELS = attar.Recipe(
    OBJECTIVES["gradient"],
    FORMS["pixels"],
    {"images": attar.Optimiser(1.0), "labels": attar.Optimiser(1.0)},
    iterations=1,
    init="real",
    network="convnet2:width=8",
    card="dsa-1000",
    learned_labels=True,
)


def said() -> dict[str, dict[str, str]]:
    """Return the cells of the page's table by form and objective."""
    rows = [re.split(r"\s*\|\s*", line)[1:-1] for line in PAGE.splitlines() if line[:1] == "|"]
    names = [name.strip("`") for name in rows[0][1:]]
    return {row[0].replace("`", ""): dict(zip(names, row[1:], strict=True)) for row in rows[2:]}


def test_the_counterparts_are_everything_that_is_registered() -> None:
    assert FORMS.keys() == REGISTERED_FORMS.own.keys()
    assert OBJECTIVES.keys() == REGISTERED_OBJECTIVES.own.keys()
    for registered, instances in (
        (REGISTERED_FORMS, FORMS),
        (REGISTERED_OBJECTIVES, OBJECTIVES),
    ):
        for name, instance in instances.items():
            assert type(instance) is registered[name] and instance.name == name


def test_the_page_tells_of_every_combination() -> None:
    assert said().keys() == ALL_FORMS.keys()
    assert all(row.keys() == OBJECTIVES.keys() for row in said().values())


@pytest.mark.parametrize("name", FORMS)
def test_a_form_is_rebuilt_from_its_description(name: str) -> None:
    assert from_description(FORMS[name].describe()) == FORMS[name]


def cells() -> list[Any]:
    """Return every form with every objective.

    Factors over a form are tried with two in the default suite: a leaf knows no objective.
    """
    return [
        pytest.param(form, objective, marks=[pytest.mark.slow] if slow else [])
        for form, objective in itertools.product(ALL_FORMS, OBJECTIVES)
        for slow in [" over " in form and objective not in ("distribution", "kernel")]
    ]


@pytest.mark.parametrize(("form", "objective"), cells())
def test_every_combination_holds_or_is_refused_as_the_page_says(form: str, objective: str) -> None:
    data = prepared_data() if objective in SLIMMERS else None
    problem = tiny_problem(data, network=NETWORK_OF.get(objective, NETWORK))
    held = []
    for word, learned in (("fixed", False), ("learnt", True)):
        found = check_combination(
            OBJECTIVES[objective], ALL_FORMS[form], problem, learned_labels=learned
        )
        if not found.refused:
            held.append(word)
        else:
            assert found.refused in REASONS
    assert said()[form][objective] == ", ".join(held)


@pytest.mark.parametrize(
    "options",
    [
        {"form": "low_rank:base=low_rank"},
        {"form": "low_rank:base=frequency", "method": "dm"},
        {"form": "tiled", "nested": True, "method": "dm"},
        {"form": "ordered_svd", "nested": True, "method": "dm"},
        {"form": "decoded", "nested": True, "method": "dm"},
        {"objective": "kernel", "nested": True, "method": "dm"},
        {"objective": "parameters", "method": "dm"},
        {"objective": "subspace", "per_class_budget": "proportional", "method": "dm"},
        {"method": LEARNING_LABELS, "nested": True},
        {"form": "decoded", "per_class_budget": "proportional", "method": "dm"},
        {"objective": "kernel", "method": "herding", "iterations": None},
        {"form": "pixels:base=tiled"},
        {"method": "kip", "zca": "none"},
        {"objective": "random_features"},
        {"form": "ordered_svd", "rank": "auto", "method": "dm"},
        {"objective": "2*kernel"},
        {"objective": "nested"},
    ],
    ids=lambda options: " ".join(options),
)
def test_what_else_is_refused_is_told_on_the_page(options: dict[str, Any]) -> None:
    small = {"ipc": 2, "iterations": 1, "device": "cpu", "network": "convnet2:width=8"}
    with pytest.raises(attar.BadRequest) as refusal:
        attar.condense(tiny_data(), **(small | options))
    assert str(refusal.value) in REASONS


def test_two_of_a_sum_that_learn_one_tensor_are_refused_as_the_page_says() -> None:
    twice = WeightedSum((OBJECTIVES["trajectory"], OBJECTIVES["trajectory"]))
    found = check_combination(twice, FORMS["pixels"], tiny_problem())
    assert found.refused in REASONS
