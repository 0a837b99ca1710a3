import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import attar
from attar.budget import Budget, Ledger
from attar.errors import BadRequest
from attar.methods import METHODS, Task
from attar.methods.factorized import shape
from attar.optimisers import Optimiser
from attar.rng import Key
from attar.synthetic import (
    Decoded,
    Layout,
    LowRank,
    Synthetic,
    from_description,
    images_within,
    planned_ledger,
)
from attar.synthetic.forms.decoded import DecodedImages
from catalogue import OBJECTIVES, tiny_data, tiny_problem, tiny_run
from references.decoding import decoded

SMALL = Decoded(decoders=3, channels=2, upsamplings=1, hidden=3)
# form, classes, images per class, shape of one
FORMS = {
    "two classes": (SMALL, 2, 5, (1, 4, 6)),
    "no doubling": (Decoded(2, 1, 0, 2), 1, 3, (1, 4, 5)),
    "two doublings, odd sides": (Decoded(2, 3, 2, 2), 2, 2, (3, 7, 5)),
    "one decoder": (Decoded(1, 2, 1, 2), 2, 3, (3, 4, 4)),
    "unused decoder": (Decoded(4, 1, 1, 2), 2, 3, (1, 4, 4)),
}


def store_of(
    form: Decoded | LowRank, classes: int = 2, per_class: int = 5, item=(1, 6, 8)
) -> DecodedImages:
    made = form.build(Layout(classes, per_class, item))
    assert isinstance(made, DecodedImages)
    made.start_from_noise(Key(0))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for bias in made.biases:
            bias.copy_(torch.randn(bias.shape, generator=generator))
    return made


def everything(store: DecodedImages) -> Tensor:
    return store(torch.arange(store.count))


@pytest.mark.parametrize("name", FORMS)
def test_every_code_passes_through_every_decoder(name: str) -> None:
    form, classes, per_class, item = FORMS[name]
    store = store_of(form, classes, per_class, item)
    found = everything(store)
    assert found.shape == (classes * per_class, *item) and found.dtype == torch.float32
    each = math.ceil(per_class / form.decoders)
    codes = store.codes(torch.arange(classes * each)).detach()
    for label in range(classes):
        for image in range(per_class):
            decoder = image % form.decoders
            wanted = decoded(
                codes[label * each + image // form.decoders],
                [kernel[decoder].detach() for kernel in store.kernels],
                [bias[decoder].detach() for bias in store.biases],
                item,
                form.upsamplings,
            )
            made = found[label * per_class + image].double()
            torch.testing.assert_close(made, wanted, atol=1e-5, rtol=1e-5)


def test_rows_come_in_the_order_asked_for_and_as_often() -> None:
    store = store_of(SMALL)
    whole = everything(store).detach()
    index = torch.tensor([9, 0, 9, 4, 5])
    torch.testing.assert_close(store(index), whole[index], atol=1e-6, rtol=1e-5)
    assert store(torch.tensor([], dtype=torch.int64)).shape == (0, 1, 6, 8)
    assert len(torch.unique(whole.flatten(1), dim=0)) == 10


def test_a_code_and_an_image_are_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_of(SMALL)
    seen: list[tuple[int, int]] = []
    plain = DecodedImages.decode

    def counted(self: DecodedImages, codes: Tensor, decoder: int) -> Tensor:
        seen.append((decoder, len(codes)))
        return plain(self, codes, decoder)

    monkeypatch.setattr(DecodedImages, "decode", counted)
    # rows 0 and 3 go through decoder 0, row 1 through decoder 1
    store(torch.tensor([0, 1, 3, 0, 0]))
    assert seen == [(0, 2), (1, 1)]


@pytest.mark.parametrize("name", FORMS)
def test_the_gradient_is_that_of_float64(name: str) -> None:
    form, classes, per_class, item = FORMS[name]
    store = store_of(form, classes, per_class, item)
    index = [0, classes * per_class - 1, 0]
    weight = torch.randn(3, *item, generator=torch.Generator().manual_seed(1))
    (store(torch.tensor(index)) * weight).sum().backward()

    twin = {name: tensor.detach().double() for name, tensor in store.named_parameters()}
    for tensor in twin.values():
        tensor.requires_grad_()
    total = torch.zeros((), dtype=torch.float64)
    each = math.ceil(per_class / form.decoders)
    for row, factor in zip(index, weight.double(), strict=True):
        label, place = divmod(row, per_class)
        image = twin["codes.values"][label * each + place // form.decoders].unsqueeze(0)
        for layer in range(len(store.kernels)):
            if layer:
                image = functional.leaky_relu(image, 0.2)
            if layer and form.upsamplings:
                image = image.repeat_interleave(2, dim=-1).repeat_interleave(2, dim=-2)
            decoder = place % form.decoders
            kernel, bias = twin[f"kernels.{layer}"][decoder], twin[f"biases.{layer}"][decoder]
            image = functional.conv2d(image, kernel, bias, padding=1)
        total = total + (image[0, :, : item[1], : item[2]] * factor).sum()
    total.backward()
    for name, parameter in store.named_parameters():
        wanted = twin[name].grad
        assert parameter.grad is not None and wanted is not None
        assert wanted.abs().sum() > 0
        torch.testing.assert_close(parameter.grad.double(), wanted, atol=2e-4, rtol=1e-4)


def test_only_what_the_rows_need_gets_a_gradient() -> None:
    store = store_of(SMALL)
    store(torch.tensor([4, 7])).sum().backward()
    (codes,) = store.codes.parameters()
    assert codes.grad is not None
    # five images of three decoders take two codes: rows 4 and 7 are codes 1 and 2
    assert (codes.grad.flatten(1).abs().sum(dim=1) > 0).tolist() == [False, True, True, False]
    for part in (*store.kernels, *store.biases):
        assert part.grad is not None
        assert (part.grad.flatten(1).abs().sum(dim=1) > 0).tolist() == [False, True, True]


def test_noise_has_unit_variance_and_comes_from_the_key_alone() -> None:
    layout = Layout(10, 16, (3, 32, 32))
    for form in (Decoded(4, 3, 2, 8), Decoded(4, 12, 3, 4), LowRank(2, Decoded(4, 3, 1, 8))):
        store = form.build(layout)
        assert isinstance(store, DecodedImages)
        store.start_from_noise(Key(3))
        images = everything(store).detach()
        for decoder in range(4):
            assert images[decoder::4].std().item() == pytest.approx(1, abs=0.15)
        torch.manual_seed(7)
        again = form.build(layout)
        again.start_from_noise(Key(3))
        assert torch.equal(again(torch.arange(160)), images)
        again.start_from_noise(Key(4))
        assert not torch.equal(again(torch.arange(160)), images)


def test_fit_comes_near_what_can_be_represented(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attar.synthetic.forms.variants._UPDATES", 100)
    store = store_of(Decoded(2, 3, 1, 4), 2, 4, (1, 8, 8))
    rows = everything(store).detach()
    target = Decoded(2, 3, 1, 4).build(Layout(2, 4, (1, 8, 8)))
    target.fit(rows)
    assert (everything(target).detach() - rows).square().mean() < 0.3 * rows.var()
    assert all(parameter.grad is None for parameter in target.parameters())


def test_fit_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attar.synthetic.forms.variants._UPDATES", 5)
    rows = everything(store_of(SMALL)).detach()
    one, other = (SMALL.build(Layout(2, 5, (1, 6, 8))) for _ in range(2))
    one.fit(rows)
    torch.manual_seed(9)
    with torch.no_grad():
        other.fit(rows)
    assert torch.equal(everything(one), everything(other))


def test_fit_in_parts_reaches_every_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attar.synthetic.forms.variants._BATCH", 2)
    monkeypatch.setattr("attar.synthetic.forms.variants._UPDATES", 120)
    target = Decoded(2, 3, 1, 4).build(Layout(2, 5, (1, 8, 8)))
    assert sorted(torch.cat(target._batches()).tolist()) == list(range(10))
    rows = torch.arange(10.0).view(10, 1, 1, 1).expand(10, 1, 8, 8) / 10
    target.fit(rows)
    assert (everything(target).detach() - rows).square().mean() < 0.3 * rows.var()


@pytest.mark.parametrize("rank", [None, 1])
@pytest.mark.parametrize("name", FORMS)
def test_bytes_are_those_of_the_ledger(name: str, rank: int | None) -> None:
    form, classes, per_class, item = FORMS[name]
    wrapped = form if rank is None else LowRank(rank, form)
    layout = Layout(classes, per_class, item)
    ledger = Synthetic(layout, wrapped).ledger()
    assert all(entry.paper for entry in ledger.entries)
    assert ledger.values == wrapped.values(layout)
    assert ledger.paper == planned_ledger(layout, wrapped, "float32").all
    assert from_description(wrapped.describe()) == wrapped


def test_codes_are_factored_by_a_low_rank_leaf() -> None:
    store = store_of(LowRank(1, SMALL))
    names = {name for name, _ in store.named_parameters()}
    assert {"codes.left", "codes.right"} <= names
    roles = store.roles()
    assert roles.keys() == {"images", "decoders"}
    assert roles["images"] == list(store.codes.parameters())
    assert roles["decoders"] == [*store.kernels, *store.biases]


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"decoders": 0}, "decoders 0: a whole number, 1 or more"),
        ({"channels": 0}, "channels 0: a whole number, 1 or more"),
        ({"hidden": 1.5}, "hidden 1.5: a whole number is needed"),
        ({"upsamplings": -1}, "upsamplings -1: a whole number, 0 or more"),
        ({"decoders": True}, "decoders True: a whole number"),
        ({"upsamplings": 4}, "upsamplings 4: images of 8×8 can be halved 3 times; 0 to 3"),
        ({"channels": 5}, "codes of 5×4×4 take 80 values, more than an image of 1×8×8 itself (64)"),
        ({"size": 5}, "unknown setting of the form 'decoded' 'size'"),
    ],
)
def test_what_makes_no_sense_is_refused(settings: dict[str, int], text: str) -> None:
    description = {**SMALL.describe(), **settings}
    with pytest.raises(BadRequest) as caught:
        from_description(description).values(Layout(3, 4, (1, 8, 8)))
    assert str(caught.value).startswith(text)
    if "unknown" not in text:
        with pytest.raises(BadRequest):
            from_description(description).build(Layout(3, 4, (1, 8, 8)))


def test_a_rank_above_the_sides_of_a_code_is_refused_when_counted() -> None:
    form = LowRank(3, Decoded(2, 1, 2, 2))
    with pytest.raises(BadRequest, match=r"--rank 3: .* of 2×2 have ranks 1 to 2"):
        form.values(Layout(2, 4, (1, 8, 8)))


def test_a_role_without_an_optimiser_is_refused() -> None:
    problem = tiny_problem()
    run = tiny_run(OBJECTIVES["distribution"], problem, SMALL)
    assert run.updater.roles.keys() == {"images", "decoders"}
    with pytest.raises(BadRequest, match="nothing says how decoders are updated"):
        type(run)(
            run.synthetic, run.objective, problem, {"images": Optimiser(0.1)}, Key(0), steps=2
        )


# data, classes, shape, images per class of memory, and least decoded images per class
BUDGETS = [
    ("cifar10", 10, (3, 32, 32), 1, 32),
    ("cifar10", 10, (3, 32, 32), 10, 100),
    ("cifar10", 10, (3, 32, 32), 50, 400),
    ("cifar100", 100, (3, 32, 32), 1, 32),
    ("cifar100", 100, (3, 32, 32), 10, 100),
    ("tiny_imagenet", 200, (3, 64, 64), 1, 32),
    ("tiny_imagenet", 200, (3, 64, 64), 10, 100),
    ("own", 10, (3, 64, 64), 1, 32),
    ("mnist", 10, (1, 28, 28), 1, 32),
]


@pytest.mark.parametrize(("dataset", "classes", "item", "ipc", "least"), BUDGETS)
def test_kfs_fills_every_published_budget(
    dataset: str, classes: int, item: tuple[int, int, int], ipc: int, least: int
) -> None:
    form = shape(Task(dataset, ipc, item, classes))

    def cost(images: int) -> Ledger:
        return planned_ledger(Layout(classes, images, item), form, "float32")

    images = Budget(ipc=ipc).images(classes, item, cost)
    allowance = ipc * math.prod(item)
    assert form.decoders >= 4 and images >= least
    assert 0.97 * allowance <= cost(images).values / classes <= allowance


@pytest.mark.parametrize("classes", [2, 3, 4])
@pytest.mark.parametrize("item", [(1, 8, 8), (3, 8, 8), (1, 28, 28), (3, 32, 32)])
def test_kfs_shrinks_decoders_for_small_tasks(classes: int, item: tuple[int, int, int]) -> None:
    form = shape(Task("own", 1, item, classes))
    layout = Layout(classes, 1, item)
    images = images_within(1, layout, form, "float32")
    assert images >= form.decoders
    values = form.values(dataclasses.replace(layout, per_class=images))
    assert values <= classes * math.prod(item)


def test_kfs_refuses_what_holds_nothing() -> None:
    with pytest.raises(BadRequest, match="a memory of 32 values holds no latent"):
        shape(Task("own", 1, (1, 4, 4), 2))


def test_kfs_has_the_settings_of_the_paper() -> None:
    recipe = METHODS["kfs"].recipe(Task("cifar10", 1, (3, 32, 32), 10))
    assert recipe.optimisers == recipe.parametrization.own_optimisers()
    rates = {role: (opt.kind, opt.lr, opt.schedule) for role, opt in recipe.optimisers.items()}
    assert rates == {"images": ("adam", 0.1, "linear"), "decoders": ("adam", 0.01, "linear")}
    assert (recipe.init, recipe.card, recipe.iterations) == ("noise", "dsa-1000", 20_000)
    digits = METHODS["kfs"].recipe(Task("digits", 5, (1, 8, 8), 10))
    assert "flip" not in getattr(digits.objective, "augment")  # noqa: B009


@pytest.mark.parametrize(
    "options", [{}, {"init": "real"}, {"storage": "float16"}, {"average": 0.9}], ids=str
)
def test_kfs_condenses_and_is_read_again(
    tmp_path: Path, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("attar.synthetic.forms.variants._UPDATES", 10)
    common = {"method": "kfs", "ipc": 2, "iterations": 3, "network": "convnet2:width=8"}
    made = attar.condense(
        tiny_data(), **common, validation=0, output=tmp_path / "set.safetensors", **options
    )
    loaded = attar.load(tmp_path / "set.safetensors")
    assert torch.equal(loaded.images, made.images)
    assert loaded.nbytes == made.nbytes
    assert loaded.header.parametrization["name"] == "decoded"
    assert loaded.ledger.all <= 3 * 2 * 64 * 4


def test_the_shape_can_be_set() -> None:
    made = attar.condense(
        tiny_data(),
        method="kfs",
        ipc=3,
        iterations=1,
        network="convnet2:width=8",
        validation=0,
        settings=("decoders=2", "channels=1", "upsamplings=1", "hidden=2"),
    )
    wanted = {"name": "decoded", "decoders": 2, "channels": 1, "upsamplings": 1, "hidden": 2}
    assert made.header.parametrization == wanted
