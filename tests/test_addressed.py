"""The form `addressed`: sums of shared bases, against PyTorch's own interpolation in float64."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import attar
from attar.budget import Budget
from attar.errors import BadRequest
from attar.rng import Key
from attar.synthetic import (
    Addressed,
    Allowance,
    Kept,
    Layout,
    LowRank,
    Parametrization,
    Store,
    fill,
    images_within,
)
from catalogue import tiny_data

SMALL: dict[str, Any] = {
    "network": "convnet2:width=8",
    "validation": 0,
    "precision": "float32",
    "torch_compile": "off",
}


def drawn(form: Parametrization, layout: Layout, seed: int = 0) -> Store:
    store = form.build(layout)
    store.start_from_noise(Key(seed))
    return store


def summed(bases: Tensor, addresses: Tensor, size: tuple[int, int]) -> Tensor:
    """Return weighted sums of pictures, each of which is then enlarged."""
    rows = torch.einsum("nm,mchw->nchw", addresses, bases)
    return functional.interpolate(rows, size=size, mode="bilinear", align_corners=False)


@pytest.mark.parametrize(
    ("form", "shape", "basis"),
    [
        (Addressed(3), (3, 8, 8), (3, 4, 4)),
        (Addressed(2, 3), (1, 9, 6), (1, 3, 2)),
        (Addressed(4, 1), (1, 5, 7), (1, 5, 7)),
        (Addressed(3), (1, 7, 10), (1, 4, 5)),
        (Addressed(1, 8), (1, 8, 9), (1, 1, 2)),
    ],
)
def test_rows_and_slopes_are_those_of_sums_in_float64(
    form: Addressed, shape: tuple[int, int, int], basis: tuple[int, int, int]
) -> None:
    layout = Layout(2, 3, shape)
    store = drawn(form, layout)
    names = ("bases.values", "addresses")
    ours = dict(store.named_parameters())
    assert form.basis(shape) == basis
    assert [tuple(ours[name].shape) for name in names] == [
        (form.bases, *basis),
        (6, form.bases),
    ]
    index = torch.tensor([5, 0, 2, 0])
    slope = torch.randn(4, *shape, generator=Key(1).generator(), dtype=torch.float64)
    found = store(index)
    found.backward(slope.float())

    theirs = {name: ours[name].detach().double().requires_grad_() for name in names}
    wanted = summed(theirs["bases.values"], theirs["addresses"], shape[1:])[index]
    wanted.backward(slope)
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-6)
    for name in names:
        own, other = ours[name].grad, theirs[name].grad
        assert own is not None and other is not None
        torch.testing.assert_close(own.double(), other, rtol=1e-4, atol=1e-5)
    assert float(found.detach().abs().max()) <= store.bound()


def test_noise_is_glorots_and_comes_from_the_key_alone() -> None:
    layout = Layout(10, 115, (3, 32, 32))
    store = drawn(Addressed(16), layout).state_dict()
    for name, shape in (("bases.values", (16, 768)), ("addresses", (1150, 16))):
        values, bound = store[name].flatten(), math.sqrt(6 / sum(shape))
        assert values.numel() == math.prod(shape)
        assert 0.99 * bound < float(values.abs().max()) <= bound
        assert float(values.std()) == pytest.approx(bound / math.sqrt(3), rel=0.02)
        again = drawn(Addressed(16), layout).state_dict()[name]
        other = drawn(Addressed(16), layout, seed=1).state_dict()[name]
        assert torch.equal(again, store[name]) and not torch.equal(other, store[name])


def test_fit_finds_what_bases_can_make_and_else_the_nearest() -> None:
    layout = Layout(2, 4, (1, 8, 6))
    every = torch.arange(8)
    rows = drawn(Addressed(3), layout)(every).detach()
    store = Addressed(3).build(layout)
    store.fit(rows)
    torch.testing.assert_close(store(every), rows, rtol=1e-4, atol=1e-6)
    # fewer bases than they are made of, and more than there are rows
    rows = rows + 0.01 * torch.randn(rows.shape, generator=Key(3).generator())
    lost = [Addressed(count).build(layout) for count in (2, 3, 20)]
    for one in lost:
        one.fit(rows)
    errors = [float((one(every) - rows).detach().square().sum()) for one in lost]
    assert errors[0] > errors[1] > errors[2] > 0
    with torch.no_grad():
        for values in lost[0].parameters():
            for place in range(0, values.numel(), 3):
                for step in (0.02, -0.02):
                    values.view(-1)[place] += step
                    assert float((lost[0](every) - rows).square().sum()) >= errors[0]
                    values.view(-1)[place] -= step


def test_fit_with_factored_bases_takes_the_best_addresses_for_them() -> None:
    layout = Layout(2, 4, (1, 8, 8))
    rows = torch.randn(8, 1, 8, 8, generator=Key(4).generator())
    store = LowRank(1, Addressed(3)).build(layout)
    store.fit(rows)
    every = torch.arange(8)
    error = float((store(every) - rows).detach().square().sum())
    with torch.no_grad():
        addresses = dict(store.named_parameters())["addresses"]
        for place in range(addresses.numel()):
            for step in (0.02, -0.02):
                addresses.view(-1)[place] += step
                assert float((store(every) - rows).square().sum()) >= error
                addresses.view(-1)[place] -= step


@pytest.mark.parametrize("budget", [1, 3, 10])
@pytest.mark.parametrize("classes", [2, 10, 100])
@pytest.mark.parametrize(("bases", "factor"), [(4, 2), (16, 2), (16, 4), (5, 1)])
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28)])
def test_images_of_a_class_are_those_of_the_budgets_formula(
    budget: int, classes: int, bases: int, factor: int, shape: tuple[int, int, int]
) -> None:
    image = math.prod(shape)
    wanted = (budget * image * classes - bases * image / factor**2) / (classes * bases)
    form, layout = Addressed(bases, factor), Layout(classes, 1, shape)
    if wanted < 1:
        with pytest.raises(BadRequest, match="holds no image per class"):
            images_within(budget, layout, form, "float32")
    else:
        assert images_within(budget, layout, form, "float32") == math.floor(wanted)


def test_published_number_of_images_of_cifar10() -> None:
    assert images_within(1, Layout(10, 1, (3, 32, 32)), Addressed(16, 2), "float32") == 115


@pytest.mark.parametrize("form", [Addressed(3), LowRank(2, Addressed(3))])
@pytest.mark.parametrize("storage", ["float32", "float16", "float8", "int4"])
def test_bytes_are_those_of_the_file(tmp_path: Path, form: Parametrization, storage: str) -> None:
    path = tmp_path / "set.safetensors"
    made = attar.condense(
        tiny_data(),
        method="dm",
        form=form,
        storage=storage,
        synthetic_per_class=4,
        iterations=1,
        output=path,
        **SMALL,
    )
    head = int.from_bytes(path.read_bytes()[:8], "little")
    assert made.ledger.all == path.stat().st_size - 8 - head
    again = attar.load(path)
    assert torch.equal(again.images, made.images) and again.ledger == made.ledger


def test_classes_of_different_sizes_and_one_class() -> None:
    form = Addressed(3)
    layout = Layout(3, 4, (1, 8, 8), (4, 1, 2))
    sizes = [one.numel() for one in drawn(form, layout).parameters()]
    assert form.values(layout) == 3 * (16 + 7) == sum(sizes)
    assert form.table(layout).base.unique().tolist() == [0]
    filled = fill(Kept(form), Allowance(Budget(ipc=1), sizes=(90, 140, 30)), layout)
    assert filled.layout.sizes() == (17, 26, 5)
    assert images_within(2, Layout(1, 1, (1, 8, 8)), form, "float32") == (128 - 48) // 3


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"bases": 0}, "bases 0: a whole number, 1 or more"),
        ({"factor": 0}, "factor 0: a whole number, 1 or more"),
        ({"bases": 1.5}, "bases 1.5: a whole number"),
        ({"factor": 9}, "factor 9: bases of images of 8×10 would have no pixel; 1 to 8"),
    ],
)
def test_what_makes_no_sense_is_refused(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(BadRequest, match=text):
        Addressed(**settings).values(Layout(2, 1, (1, 8, 10)))


def test_more_bases_than_the_budget_holds_and_rows_without_sides_are_refused() -> None:
    with pytest.raises(BadRequest, match="fewer --set bases=…"):
        attar.condense(tiny_data(), method="dm", form="addressed:bases=64", ipc=1, **SMALL)
    with pytest.raises(BadRequest, match="'addressed' needs images with a height and a width"):
        Addressed().check_shape((7,))
