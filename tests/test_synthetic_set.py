import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from attar.budget import Entry
from attar.errors import BadRequest
from attar.rng import Key
from attar.synthetic import (
    STORAGE_TYPES,
    Layout,
    LowRank,
    Parametrization,
    Pixels,
    Synthetic,
    planned_ledger,
)

SHAPE = (2, 6, 5)
RANK_2 = LowRank(2)
FORMS = (Pixels(), LowRank(1), LowRank(3))


def make(
    classes: int = 3, per_class: int = 4, form: Parametrization = RANK_2, labels: bool = False
) -> Synthetic:
    made = Synthetic(Layout(classes, per_class, SHAPE), form, labels)
    made.images.start_from_noise(Key(0))
    return made


def test_rows_lie_class_after_class() -> None:
    layout = Layout(3, 2, (1, 4, 4))
    assert len(layout) == 6
    assert layout.class_of_row().tolist() == [0, 0, 1, 1, 2, 2]
    assert layout.class_of_row().dtype == torch.int64


def test_rows_are_given_with_their_one_hot_labels() -> None:
    made = make()
    assert len(made) == 12
    images, labels = made(torch.tensor([11, 0, 4, 4]))
    assert images.shape == (4, *SHAPE)
    assert torch.equal(images, made.images(torch.arange(12))[[11, 0, 4, 4]])
    assert labels.dtype == torch.float32
    assert labels.tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 1, 0]]
    assert not labels.requires_grad


def test_learned_labels_start_as_one_hot_and_are_learnt() -> None:
    made = make(labels=True)
    images, labels = made(torch.arange(12))
    assert torch.equal(labels, torch.eye(3).repeat_interleave(4, dim=0))
    (images.sum() + labels.sum()).backward()
    assert all(parameter.grad is not None for parameter in made.parameters())


def test_roles() -> None:
    fixed, learnt = make(), make(labels=True)
    assert {role: len(found) for role, found in fixed.roles().items()} == {"images": 2}
    assert {role: len(found) for role, found in learnt.roles().items()} == {
        "images": 2,
        "labels": 1,
    }
    together = [id(p) for found in learnt.roles().values() for p in found]
    assert sorted(together) == sorted(id(p) for p in learnt.parameters())


def test_classes_of_rows_are_implied_and_not_stored() -> None:
    assert make().state_dict().keys() == {"images.left", "images.right"}
    assert make(form=Pixels(), labels=True).state_dict().keys() == {
        "images.values",
        "labels.values",
    }


def test_ledger_lists_what_is_stored() -> None:
    extras = {"whitening.mean": torch.zeros(60), "whitening.scale": torch.zeros(1).double()}
    ledger = make(labels=True).ledger("float16", extras)
    images, learnt = "images or their factors", "learned labels"
    why = "preprocessing: needed to show the images and to test on real ones"
    assert ledger.entries == (
        Entry("images.left", (12, 2, 6, 2), "float16", 12 * 2 * 6 * 2 * 2, True, images),
        Entry("images.right", (12, 2, 2, 5), "float16", 12 * 2 * 2 * 5 * 2, True, images),
        Entry("labels.values", (12, 3), "float16", 12 * 3 * 2, False, learnt),
        Entry("whitening.mean", (60,), "float32", 240, False, why),
        Entry("whitening.scale", (1,), "float64", 8, False, why),
    )


@given(
    classes=st.integers(2, 4),
    per_class=st.integers(1, 4),
    form=st.sampled_from(FORMS),
    dtype=st.sampled_from(sorted(STORAGE_TYPES)),
    labels=st.booleans(),
    extra=st.integers(0, 9),
)
@settings(deadline=None, max_examples=50)
def test_the_plan_costs_what_the_set_does(
    classes: int, per_class: int, form: Parametrization, dtype: str, labels: bool, extra: int
) -> None:
    extras = {"whitening.mean": torch.zeros(extra)} if extra else None
    planned = planned_ledger(Layout(classes, per_class, SHAPE), form, dtype, labels, extras)
    actual = make(classes, per_class, form, labels).ledger(dtype, extras)
    assert (planned.paper, planned.all, planned.values) == (
        actual.paper,
        actual.all,
        actual.values,
    )


def test_a_plan_needs_no_memory() -> None:
    planned = planned_ledger(Layout(10, 10**30, (3, 32, 32)), LowRank(2), "float16", True)
    assert planned.paper == 10**31 * 3 * 2 * 64 * 2
    assert planned.all - planned.paper == 10**31 * 10 * 2


@pytest.mark.parametrize("dtype", ["int7", "float64", "", "Float32"])
def test_unknown_storage_is_refused(dtype: str) -> None:
    with pytest.raises(BadRequest) as caught:
        planned_ledger(Layout(2, 1, SHAPE), Pixels(), dtype)
    assert str(caught.value).startswith(f"unknown value of --storage {dtype!r}")


def test_a_rank_too_high_is_refused_at_once() -> None:
    with pytest.raises(BadRequest, match="--rank 6: images of 6×5 have ranks 1 to 5"):
        make(form=LowRank(6))
