"""Forms of one's own: what they say of themselves holds from condensing to slimming."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

import attar
from attar.rng import Key
from attar.synthetic import (
    DENSE,
    Decoded,
    Layout,
    Leaf,
    LowRank,
    Parametrization,
    Pixels,
    Store,
    Wrapping,
)
from catalogue import tiny_data

SMALL: dict[str, Any] = {
    "method": "dm",
    "iterations": 2,
    "network": "convnet2:width=8",
    "validation": 0,
    "precision": "float32",
    "torch_compile": "off",
}


class FramedImages(Store):
    """Images with one picture, learnt for all of them, added to each."""

    def __init__(self, count: int, item: tuple[int, ...], own: Store) -> None:
        super().__init__(count, item)
        self.own = own
        self.frame = nn.Parameter(torch.zeros(item))

    def forward(self, index: Tensor) -> Tensor:
        return self.own(index) + self.frame.float()

    def start_from_noise(self, key: Key) -> None:
        self.own.start_from_noise(key)

    @torch.no_grad()
    def fit(self, rows: Tensor) -> None:
        self.frame.copy_(rows.mean(dim=0))
        self.own.fit(rows - self.frame)


@dataclass(frozen=True)
class Framed(Parametrization):
    name: ClassVar[str] = "framed"
    fixed: ClassVar[Mapping[str, str]] = {"border": "borders are chosen with the form"}
    uncounted: ClassVar[Mapping[str, str]] = {"images.frame": "what all images share"}

    border: int = 1
    depth: float = 0.5

    def build(self, layout: Layout, leaf: Leaf = DENSE) -> Store:
        own = leaf.make(layout.rows, layout.shape)
        return FramedImages(layout.rows, layout.shape, own)

    def values(self, layout: Layout, leaf: Leaf = DENSE) -> int:
        return layout.rows * leaf.values(layout.shape)

    def beside(self, layout: Layout) -> int:
        channels, height, width = layout.shape
        return channels * height * width


class NegativeRows(Store):
    def __init__(self, own: Store) -> None:
        super().__init__(own.count, own.item)
        self.own = own

    def forward(self, index: Tensor) -> Tensor:
        return -self.own(index)

    def start_from_noise(self, key: Key) -> None:
        self.own.start_from_noise(key)

    def fit(self, rows: Tensor) -> None:
        self.own.fit(-rows)


@dataclass(frozen=True)
class Negative(Wrapping):
    name: ClassVar[str] = "negative"

    base: Parametrization = field(default_factory=Pixels)

    def build(self, layout: Layout, leaf: Leaf = DENSE) -> Store:
        make = dataclasses.replace(leaf, make=lambda n, item: NegativeRows(leaf.make(n, item)))
        return self.base.build(layout, make)

    def values(self, layout: Layout, leaf: Leaf = DENSE) -> int:
        return self.base.values(layout, leaf)


@pytest.fixture(autouse=True)
def own_forms(only_own: None) -> None:
    attar.register(Framed)
    attar.register(Negative)


def test_a_form_with_something_shared_goes_all_the_way(tmp_path: Path) -> None:
    path = tmp_path / "framed.safetensors"
    made = attar.condense(tiny_data(), form="framed", ipc=2, output=path, **SMALL)
    found = attar.load(path)
    assert torch.equal(found.images, made.images)
    shared = next(entry for entry in found.ledger.entries if entry.name == "images.frame")
    assert (shared.paper, shared.why) == (False, "what all images share")
    assert found.totals.all - found.totals.paper == 4 * 64
    rows = attar.evaluate(path, tiny_data(seed=1), repeats=1, updates=2)
    assert len(rows) == 1
    drawn = attar.slim(path, 1, random=True)
    assert isinstance(drawn, attar.Artefact)
    assert drawn.header.parametrization == {"name": "framed", "border": 1, "depth": 0.5}
    kept = attar.slim(path, 1, learning_free=True)
    assert isinstance(kept, attar.Artefact)
    assert kept.header.parametrization["name"] == "ordered_svd"


def test_what_such_a_form_cannot_is_refused_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "framed.safetensors"
    made = attar.condense(tiny_data(), form="framed", ipc=2, output=path, **SMALL)
    with pytest.raises(attar.BadRequest, match="only a nested set, or one of ordered components"):
        attar.load(path, ipc=1)
    with pytest.raises(attar.BadRequest, match="stored as framed, in which images share"):
        attar.merge(made, made, shared="join")
    assert len(attar.merge(made, made, shared="join", pixels=True)) == 12
    with pytest.raises(attar.BadRequest, match="in the form 'framed' the first images cannot"):
        attar.condense(tiny_data(), form="framed", ipc=2, nested=True, **SMALL)
    with pytest.raises(attar.BadRequest, match="--set border=3: borders are chosen with the form"):
        attar.condense(tiny_data(), form="framed", ipc=2, settings=("border=3",), **SMALL)
    changed = attar.condense(tiny_data(), form="framed", ipc=2, settings=("depth=2",), **SMALL)
    assert changed.header.parametrization["depth"] == 2


def test_a_form_around_another_passes_the_questions_on(tmp_path: Path) -> None:
    path = tmp_path / "negative.safetensors"
    asked: dict[str, Any] = {"form": "negative", "ipc": 3, "nested": True, **SMALL}
    made = attar.condense(tiny_data(), output=path, **asked)
    assert made.header.parametrization == {"name": "negative", "base": {"name": "pixels"}}
    part = attar.load(path, ipc=1)
    assert torch.equal(part.images, made.images[::3])
    assert torch.equal(attar.merge(made, made, shared="apart").images[:9], made.images)
    text = "negative:base=decoded:decoders=2,channels=1,upsamplings=1,hidden=2"
    coded = attar.condense(tiny_data(), form=text, ipc=3, settings=("hidden=3",), **SMALL)
    base = coded.synthetic.parametrization.inner
    assert base == Decoded(2, 1, 1, 3)
    layout = Layout(3, 2, (1, 8, 8))
    inside = LowRank(2, Framed())
    assert inside.uncounted == Framed.uncounted and inside.beside(layout) == 64
