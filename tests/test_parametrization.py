import json
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attar.errors import BadRequest
from attar.synthetic import (
    PARAMETRIZATIONS,
    Layout,
    LowRank,
    Parametrization,
    Pixels,
    Resized,
    Tiled,
    from_description,
    stores,
)

FORMS = (
    Pixels(),
    LowRank(),
    LowRank(1),
    LowRank(3),
    LowRank(2, Pixels()),
    Tiled(),
    Tiled(1),
    Resized(),
    Resized(3),
)


@pytest.mark.parametrize("form", FORMS, ids=repr)
def test_a_description_builds_the_same_again_and_is_json(form: Parametrization) -> None:
    description = json.loads(json.dumps(form.describe()))
    assert description["name"] == form.name
    assert from_description(description) == form
    assert description == form.describe()  # not eaten


def test_descriptions() -> None:
    assert Pixels().describe() == {"name": "pixels"}
    assert LowRank(4).describe() == {"name": "low_rank", "rank": 4, "base": {"name": "pixels"}}
    assert from_description({"name": "low_rank"}) == LowRank(2)


@given(
    count=st.integers(1, 5),
    shape=st.tuples(st.integers(1, 3), st.integers(3, 8), st.integers(3, 8)),
    form=st.sampled_from(FORMS),
)
@settings(deadline=None, max_examples=40)
def test_values_are_those_of_the_store_built(
    count: int, shape: tuple[int, int, int], form: Parametrization
) -> None:
    store = form.build(Layout(1, count, shape))
    assert form.values(Layout(1, count, shape)) == sum(p.numel() for p in store.parameters())
    assert store(torch.arange(count)).shape == (count, *shape)


def test_storage_arithmetic_of_the_papers() -> None:
    # values per class at 32×32 colour: 3,072 for one image, 8 images of rank 2 in the same
    assert Pixels().values(Layout(1, 1, (3, 32, 32))) == 3072
    assert LowRank(2).values(Layout(1, 8, (3, 32, 32))) == 3072
    assert LowRank(4).values(Layout(1, 8, (3, 64, 64))) == 12_288
    assert LowRank(2).values(Layout(1, 8, (1, 28, 28))) == 896


def test_forms_build_their_stores() -> None:
    assert isinstance(Pixels().build(Layout(1, 2, (1, 4, 4))), stores.Dense)
    made = LowRank(3).build(Layout(1, 2, (1, 4, 4)))
    assert isinstance(made, stores.LowRank)
    assert made.rank == 3


def test_every_form_is_listed_under_its_name() -> None:
    assert [kind.name for kind in PARAMETRIZATIONS.values()] == list(PARAMETRIZATIONS)


@pytest.mark.parametrize(
    ("description", "text"),
    [
        ({}, "unknown form ''"),
        ({"name": None}, "unknown form 'None'"),
        ({"name": "pixel"}, "unknown form 'pixel' (did you mean 'pixels'?)"),
        ({"name": "low-rank"}, "unknown form 'low-rank' (did you mean 'low_rank'?)"),
        (
            {"name": "zzz"},
            f"unknown form 'zzz'. There is: {', '.join(sorted(PARAMETRIZATIONS))}.",
        ),
        (
            {"name": "low_rank", "ranks": 2},
            "unknown setting of the form 'low_rank' 'ranks' (did you mean 'rank'?). "
            "There is: auto, base, rank.",
        ),
        ({"name": "pixels", "rank": 2}, "unknown setting of the form 'pixels' 'rank'"),
        ({"name": "low_rank", "base": {"name": "nope"}}, "unknown form 'nope'"),
        (
            {"name": "low_rank", "base": {"name": "low_rank"}},
            "low-rank factors of low-rank factors are one lower rank: set --rank",
        ),
        ({"name": "low_rank", "base": "pixels"}, "'pixels' is no parametrization"),
        ({"name": "low_rank", "base": None}, "None is no parametrization"),
    ],
)
def test_descriptions_of_nothing_are_refused(description: dict[str, Any], text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        from_description(description)
    assert str(caught.value).startswith(text)


def test_low_rank_of_low_rank_is_refused() -> None:
    with pytest.raises(BadRequest, match="are one lower rank: set --rank"):
        LowRank(2, LowRank(4))


@pytest.mark.parametrize("rank", [0, -2, 5])
def test_ranks_are_refused_when_the_size_is_known(rank: int) -> None:
    form = LowRank(rank)
    for call in (form.build, form.values):
        with pytest.raises(BadRequest, match=f"--rank {rank}: images of 8×4 have ranks 1 to 4"):
            call(Layout(1, 1, (1, 8, 4)))
