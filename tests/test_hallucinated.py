"""Bases under hallucinators: images, gradients, bytes, starts, refusals."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

import attar
from attar.errors import BadRequest
from attar.rng import Key
from attar.synthetic import (
    Hallucinated,
    Layout,
    LowRank,
    Parametrization,
    Synthetic,
    from_description,
    planned_ledger,
)
from attar.synthetic.forms.hallucinated import HallucinatedImages
from catalogue import tiny_data
from references.hallucination import hallucinated

# form, classes, images per class, shape of one
FORMS = {
    "grey": (Hallucinated(2), 2, 4, (1, 5, 6)),
    "colour": (Hallucinated(3), 2, 3, (3, 6, 4)),
    "grey bases of colour": (Hallucinated(2, channels=1), 1, 4, (3, 5, 5)),
    "kernel of one": (Hallucinated(2, kernel=1), 2, 2, (1, 4, 4)),
    "kernel as large as the image": (Hallucinated(2, kernel=4), 1, 2, (1, 4, 5)),
    "a base short of hallucinators": (Hallucinated(3), 2, 4, (1, 4, 4)),
}
PARTS = ("encoders", "encoder_biases", "scales", "shifts", "decoders", "decoder_biases")


def store_of(form: Parametrization, layout: Layout) -> HallucinatedImages:
    made = form.build(layout)
    assert isinstance(made, HallucinatedImages)
    made.start_from_noise(Key(0))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name in ("scales", "shifts"):
            part = made.get_parameter(name)
            part.add_(torch.randn(part.shape, generator=generator))
    return made


def everything(store: HallucinatedImages) -> Tensor:
    return store(torch.arange(store.count))


def slow(store: HallucinatedImages, tensors: dict[str, Tensor], row: int) -> Tensor:
    label, place = divmod(row, store.per_class)
    base = label * -(-store.per_class // store.each) + place // store.each
    own = [tensors[name][place % store.each] for name in PARTS]
    return hallucinated(tensors["bases.values"][base], own)


@pytest.mark.parametrize("name", FORMS)
def test_images_and_gradients_are_those_of_the_equations(name: str) -> None:
    form, classes, per_class, item = FORMS[name]
    store = store_of(form, Layout(classes, per_class, item))
    rows = [0, classes * per_class - 1, 1, 0]
    weight = torch.randn(len(rows), *item, generator=torch.Generator().manual_seed(1))
    found = store(torch.tensor(rows))
    (found * weight).sum().backward()
    twin = {n: one.detach().double().requires_grad_() for n, one in store.named_parameters()}
    wanted = torch.stack([slow(store, twin, row) for row in rows])
    torch.testing.assert_close(found.double(), wanted, atol=1e-5, rtol=1e-5)
    (wanted * weight.double()).sum().backward()
    for part, tensor in store.named_parameters():
        slope = twin[part].grad
        assert slope is not None and tensor.grad is not None and slope.abs().sum() > 0
        torch.testing.assert_close(tensor.grad.double(), slope, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("rank", [None, 1])
@pytest.mark.parametrize("storage", ["float32", "float16"])
@pytest.mark.parametrize("name", FORMS)
def test_bytes_are_those_of_the_ledger_and_hallucinators_are_beside(
    name: str, storage: str, rank: int | None
) -> None:
    form, classes, per_class, item = FORMS[name]
    wrapped = form if rank is None else LowRank(rank, form)
    layout = Layout(classes, per_class, item)
    made = Synthetic(layout, wrapped)
    ledger, planned = made.ledger(storage), planned_ledger(layout, wrapped, storage)
    assert (ledger.paper, ledger.all) == (planned.paper, planned.all)
    each = {"float32": 4, "float16": 2}[storage]
    assert ledger.all == each * sum(one.numel() for one in made.state_dict().values())
    aside = [entry.name for entry in ledger.entries if not entry.paper]
    assert aside == [f"images.{part}" for part in PARTS]
    assert from_description(wrapped.describe()) == wrapped


def test_the_published_size_is_counted() -> None:
    layout = Layout(10, 5, (3, 32, 32))
    # 5,568 values of each of five hallucinators, 9.06 images of CIFAR-10
    assert Hallucinated().beside(layout) == 5 * 5568
    assert Hallucinated().values(layout) == 10 * 3072
    assert Hallucinated(channels=1).beside(layout) == 5 * (5568 - 2 * 27)


def test_roles_tell_bases_from_hallucinators() -> None:
    for form in (Hallucinated(2), LowRank(1, Hallucinated(2))):
        store = store_of(form, Layout(2, 4, (1, 5, 5)))
        roles = store.roles()
        assert roles.keys() == {"images", "hallucinators"}
        assert roles["images"] == list(store.bases.parameters())
        assert len(roles["hallucinators"]) == len(PARTS)


def test_real_images_become_the_bases() -> None:
    layout = Layout(2, 4, (3, 6, 6))
    real = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(2))
    for form, kept in ((Hallucinated(2), real), (Hallucinated(2, 1), real.mean(1, keepdim=True))):
        assert form.real_bases(layout) == (2, 2)
        store = store_of(form, layout)
        before = store.encoders.clone()
        store.keep(real)
        torch.testing.assert_close(store.bases(torch.arange(4)), kept)
        assert torch.equal(store.encoders, before)


def test_a_drawn_hallucinator_begins_as_layers_do_and_comes_from_the_key_alone() -> None:
    layout = Layout(1, 200, (3, 8, 8))
    store = Hallucinated(200).build(layout)
    assert isinstance(store, HallucinatedImages)
    store.start_from_noise(Key(3))
    torch.manual_seed(5)
    again = Hallucinated(200).build(layout)
    again.start_from_noise(Key(3))
    for name, one in store.named_parameters():
        assert torch.equal(one, again.get_parameter(name))
    layers = torch.nn.Conv2d(3, 600, 3), torch.nn.ConvTranspose2d(600, 3, 3)
    for layer, kernel, bias in zip(layers, PARTS[::4], PARTS[1::4], strict=True):
        # PyTorch's own reach: √(1 / inputs), inputs being all axes but the first
        reach = 1 / layer.weight[0].numel() ** 0.5
        for name in (kernel, bias):
            values = store.get_parameter(name).detach()
            assert 0.95 * reach < float(values.max()) <= reach
            assert -reach <= float(values.min()) < -0.95 * reach
    assert bool((store.scales == 1).all()) and not store.shifts.any()


def test_a_set_is_fitted_to_images() -> None:
    layout = Layout(2, 4, (1, 8, 8))
    rows = everything(store_of(Hallucinated(2), layout)).detach()
    found = Hallucinated(2).build(layout)
    assert isinstance(found, HallucinatedImages)
    found.fit(rows)
    assert (everything(found).detach() - rows).square().mean() < 0.1 * rows.var()


def test_variants_lie_together_where_every_base_has_all() -> None:
    form = Hallucinated(3)
    assert form.variants(Layout(2, 6, (1, 4, 4))) == 3
    assert LowRank(1, form).variants(Layout(2, 6, (1, 4, 4))) == 3
    assert form.variants(Layout(2, 5, (1, 4, 4))) == 1
    table = form.table(Layout(2, 6, (1, 4, 4)))
    assert table.base.tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    assert table.variant.tolist() == [0, 1, 2] * 4


def test_no_value_on_the_way_exceeds_the_bound() -> None:
    store = store_of(Hallucinated(2), Layout(2, 4, (3, 6, 6)))
    assert float(everything(store).detach().abs().max()) <= store.bound()
    assert store.bound() < 1e4


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"hallucinators": 0}, "hallucinators 0: a whole number, 1 or more"),
        ({"hallucinators": True}, "hallucinators True: a whole number"),
        ({"channels": -1}, "channels -1: a whole number, 0 or more"),
        ({"kernel": 1.5}, "kernel 1.5: a whole number is needed"),
        ({"kernel": 9}, "kernel 9: hallucinators do not fit into images of 8×12; give 1 to 8"),
        ({"channels": 3}, "channels 3: a base with more channels than the 1 of an image"),
    ],
)
def test_what_makes_no_sense_is_refused(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        from_description({**Hallucinated().describe(), **settings}).values(Layout(2, 2, (1, 8, 12)))
    assert str(caught.value).startswith(text)


def test_a_budget_that_holds_no_hallucinators_is_refused_before_any_work() -> None:
    match = r"2000 bytes \(all count\) holds no .* takes 2608 bytes.* \(fewer --set hall"
    with pytest.raises(BadRequest, match=match):
        attar.condense(tiny_data(), method="dm", form="hallucinated", max_bytes=2000, iterations=1)


@pytest.mark.parametrize("options", [{}, {"init": "real"}, {"storage": "float16"}, {"rank": 2}])
def test_a_set_is_condensed_and_read_again(tmp_path: Path, options: dict[str, Any]) -> None:
    path = tmp_path / "set.safetensors"
    made = attar.condense(
        tiny_data(),
        method="dm",
        form="hallucinated:hallucinators=2",
        ipc=2,
        iterations=3,
        network="convnet2:width=8",
        validation=0,
        output=path,
        **options,
    )
    loaded = attar.load(path)
    assert torch.equal(loaded.images, made.images) and loaded.nbytes == made.nbytes
    with safe_open(path, "pt") as file:
        payload = sum(file.get_tensor(name).nbytes for name in file.keys())  # noqa: SIM118
    assert loaded.ledger.all == made.ledger.all == payload
