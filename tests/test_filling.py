"""How many images an allowance holds, whoever asks."""

import dataclasses

import pytest

import attar
from attar.budget import Budget
from attar.errors import BadRequest
from attar.methods import METHODS, Task
from attar.synthetic import (
    Allowance,
    Decoded,
    Kept,
    Layout,
    LowRank,
    OrderedSVD,
    Parametrization,
    Pixels,
    Tiled,
    fill,
    planned_ledger,
)
from catalogue import tiny_data

TASK = Task("tiny", 2, (1, 8, 8), 3)
SMALL = {"iterations": 2, "network": "convnet2:width=8", "validation": 0, "torch_compile": "off"}


@pytest.mark.parametrize(
    "form",
    [Pixels(), LowRank(1), Tiled(2), LowRank(2, Tiled(2)), OrderedSVD(), Decoded(2, 2, 1, 3)],
)
@pytest.mark.parametrize("count", ["paper", "all"])
@pytest.mark.parametrize("labels", [False, True])
def test_no_further_image_would_fit(form: Parametrization, count: str, labels: bool) -> None:
    budget = Budget(max_bytes=3000, count=count)  # pyright: ignore[reportArgumentType]
    found = fill(Kept(form, labels), Allowance(budget, "float16"), TASK)
    one_more = dataclasses.replace(found.layout, per_class=found.layout.per_class + 1)
    assert found.form == form
    assert found.ledger == planned_ledger(found.layout, form, "float16", labels)
    assert found.ledger.of(budget.count) <= 3000
    assert planned_ledger(one_more, form, "float16", labels).of(budget.count) > 3000


def test_images_are_shared_out_in_proportion() -> None:
    found = fill(Kept(Tiled(2)), Allowance(Budget(ipc=1), sizes=(90, 9, 1)), TASK)
    # three stored images of four tiles
    assert found.layout == Layout(3, 10, (1, 8, 8), (10, 1, 1))
    even = fill(Kept(Pixels()), Allowance(Budget(ipc=2), sizes=(5, 5, 5)), TASK)
    assert even.layout == Layout(3, 2, (1, 8, 8))
    with pytest.raises(BadRequest, match="6 images are more than the 5 training images"):
        fill(Kept(Pixels()), Allowance(Budget(ipc=2), sizes=(3, 1, 1)), TASK)


def test_a_recipe_may_fix_the_rows() -> None:
    recipe = dataclasses.replace(METHODS["dm"].recipe(TASK), rows=2)
    made = attar.condense(tiny_data(), method=recipe, ipc=3, **SMALL)
    assert made.header.images_per_class == 2
    counted = attar.condense(tiny_data(), method=recipe, synthetic_per_class=1, **SMALL)
    assert counted.header.images_per_class == 1
    shared = fill(recipe, Allowance(Budget(ipc=3), sizes=(9, 14, 3)), TASK)
    assert shared.layout.counts == (2, 3, 1)
    with pytest.raises(BadRequest, match=r"does not hold the 6 images .* 1536 bytes"):
        attar.condense(tiny_data(), method=recipe, ipc=1, **SMALL)
