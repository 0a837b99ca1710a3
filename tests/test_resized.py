"""The form `resized` against PyTorch's own interpolation, and what it says of itself."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional

import attar
from attar.errors import BadRequest
from attar.rng import Key
from attar.synthetic import Layout, LowRank, Resized, Synthetic
from attar.synthetic.forms.resized import enlarging
from catalogue import tiny_data

SMALL: dict[str, Any] = {
    "method": "dm",
    "network": "convnet2:width=8",
    "validation": 0,
    "precision": "float32",
    "torch_compile": "off",
}


@pytest.mark.parametrize(
    ("before", "after"), [((4, 4), (8, 8)), ((5, 3), (7, 10)), ((6, 1), (6, 9))]
)
def test_enlarging_is_the_bicubic_interpolation_of_pytorch(
    before: tuple[int, int], after: tuple[int, int]
) -> None:
    small = torch.randn(2, 3, *before, dtype=torch.float64, generator=Key(0).generator())
    wanted = functional.interpolate(small, size=after, mode="bicubic", align_corners=False)
    tall, wide = (enlarging(*sides) for sides in zip(before, after, strict=True))
    torch.testing.assert_close(tall @ small @ wide.T, wanted, atol=1e-12, rtol=0)
    store = Resized(height=before[0], width=before[1]).build(Layout(1, 2, (3, *after)))
    store.load_state_dict({"stored.values": small.float()})
    found = store(torch.tensor([1, 0, 1]))
    torch.testing.assert_close(found.double(), wanted[[1, 0, 1]], atol=1e-5, rtol=0)


def test_fit_comes_nearer_than_an_antialiased_shrinking() -> None:
    rows = torch.rand(6, 1, 8, 8, generator=Key(1).generator()).cumsum(2).cumsum(3)
    store = Resized(4).build(Layout(3, 2, (1, 8, 8)))
    store.fit(rows)
    every = torch.arange(6)
    small = functional.interpolate(rows, size=(4, 4), mode="bicubic", antialias=True)
    other = functional.interpolate(small, size=(8, 8), mode="bicubic")
    least = float((store(every) - rows).detach().square().sum())
    assert least < 0.9 * float((other - rows).square().sum())
    parameter = next(store.parameters())
    with torch.no_grad():
        for flat in range(0, parameter.numel(), 7):
            for step in (0.05, -0.05):
                parameter.view(-1)[flat] += step
                assert float((store(every) - rows).square().sum()) > least
                parameter.view(-1)[flat] -= step


@pytest.mark.parametrize(
    ("form", "shape", "stored"),
    [
        (Resized(), (3, 28, 28), (3, 14, 14)),
        (Resized(), (1, 7, 10), (1, 4, 5)),
        (Resized(16), (3, 32, 32), (3, 16, 16)),
        (Resized(10), (1, 20, 40), (1, 5, 10)),
        (Resized(1), (1, 3, 40), (1, 1, 1)),
        (Resized(height=3, width=8), (1, 8, 8), (1, 3, 8)),
        (Resized(width=4), (1, 8, 8), (1, 4, 4)),
    ],
)
def test_the_size_of_what_is_stored(
    form: Resized, shape: tuple[int, int, int], stored: tuple[int, int, int]
) -> None:
    assert form.stored_shape(shape) == stored
    layout = Layout(2, 3, shape)
    parameters = list(form.build(layout).parameters())
    assert [tuple(one.shape) for one in parameters] == [(6, *stored)]
    assert form.values(layout) == parameters[0].numel()


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (Resized(33), "side 33: images of 32×20 are stored at 1 to 32 pixels; give side=16"),
        (Resized(8, width=21), "width 21: images of 32×20 are stored at 1 to 20 pixels"),
    ],
)
def test_pictures_larger_than_the_image_are_refused(form: Resized, text: str) -> None:
    for call in (form.build, form.values):
        with pytest.raises(BadRequest, match=text):
            call(Layout(1, 1, (3, 32, 20)))
    for value, said in ((-1, "a whole number of pixels, or 0"), (2.0, "a whole number is needed")):
        with pytest.raises(BadRequest, match=said):
            dataclasses.replace(form, height=value)


def test_nested_sets_parts_and_factors(tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    made = attar.condense(
        tiny_data(), form="resized:side=4", ipc=2, nested=True, iterations=2, output=path, **SMALL
    )
    # four pictures of 4×4 in the memory of one image of 8×8
    assert made.totals.images_per_class == 8
    assert len(attar.load(path, ipc=1)) == 3 * 4
    part = made.of_classes([made.header.class_names[2], made.header.class_names[0]])
    assert torch.equal(part.images[:8], made.images[16:])
    assert len(attar.merge(made, made, shared="join")) == 48
    over = attar.condense(
        tiny_data(), form="low_rank:rank=1,base=resized:side=4", ipc=1, iterations=1, **SMALL
    )
    assert over.totals.images_per_class == 64 // (4 + 4)


def test_factors_are_of_the_smaller_picture() -> None:
    form = LowRank(2, Resized(4))
    made = Synthetic(Layout(2, 3, (1, 8, 8)), form)
    assert [tuple(one.shape) for one in made.parameters()] == [(6, 1, 4, 2), (6, 1, 2, 4)]
