from pathlib import Path

import pytest
import torch

import attar
from attar.artefact.artefact import Artefact
from attar.artefact.header import Header
from attar.budget import Budget
from attar.data import Preprocessing
from attar.errors import BadRequest
from attar.rng import Key
from attar.synthetic import Layout, LowRank, Synthetic, Tiled, planned_ledger
from attar.synthetic.forms.tiled import Tiles
from references.tiling import decoded


@pytest.mark.parametrize(
    ("shape", "factor", "padding"),
    [
        ((3, 8, 8), 2, [0.0, 0.0, 0.0]),
        ((1, 9, 9), 3, [0.0]),
        ((2, 8, 8), 3, [0.7, -1.5]),
        ((1, 7, 10), 2, [0.3]),
    ],
)
def test_tiles_are_those_of_the_paper(
    shape: tuple[int, int, int], factor: int, padding: list[float]
) -> None:
    store = Tiled(factor, tuple(padding)).build(Layout(1, 2 * factor**2, shape))
    store.start_from_noise(Key(0))
    assert isinstance(store, Tiles)
    stored = store.stored(torch.arange(2)).detach()
    wanted = torch.cat([decoded(image, factor, padding) for image in stored])
    found = store(torch.arange(len(wanted)))
    torch.testing.assert_close(found.double(), wanted, atol=1e-6, rtol=1e-6)
    index = torch.tensor([len(wanted) - 1, 0, 0, factor])
    assert torch.equal(store(index), found[index])


def test_bytes_are_those_of_the_stored_images() -> None:
    form = Tiled(2)
    assert form.values(Layout(1, 40, (3, 32, 32))) == 10 * 3072
    assert form.values(Layout(1, 41, (3, 32, 32))) == 11 * 3072
    # the papers' memory of 10 images per class holds 40
    layout = (10, (3, 32, 32))

    def cost(images: int):
        return planned_ledger(Layout(layout[0], images, layout[1]), form, "float32")

    assert Budget(ipc=10).images(*layout, cost) == 40


@pytest.mark.parametrize("size", [8, 7])
def test_fit_finds_what_can_be_represented(size: int) -> None:
    form = Tiled(2, (0.4,))
    source, target = (
        form.build(Layout(1, 8, (1, size, size))),
        form.build(Layout(1, 8, (1, size, size))),
    )
    source.start_from_noise(Key(1))
    rows = source(torch.arange(8)).detach()
    target.fit(rows)
    torch.testing.assert_close(target(torch.arange(8)), rows, atol=1e-4, rtol=1e-4)


def test_fit_is_the_nearest() -> None:
    store = Tiled(2).build(Layout(1, 4, (1, 6, 6)))
    assert isinstance(store, Tiles)
    rows = torch.randn(4, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    store.fit(rows)

    def distance() -> float:
        return float((store(torch.arange(4)) - rows).detach().square().sum())

    least = distance()
    parameter = next(store.parameters())
    for flat in range(0, parameter.numel(), 5):
        for step in (0.05, -0.05):
            with torch.no_grad():
                parameter.view(-1)[flat] += step
                assert distance() > least
                parameter.view(-1)[flat] -= step


def test_factors_of_tiled_images(tmp_path: Path) -> None:
    form = LowRank(2, Tiled(2))
    assert form.values(Layout(1, 8, (1, 8, 8))) == 2 * 2 * (8 + 8)
    synthetic = Synthetic(Layout(2, 4, (1, 8, 8)), form)
    synthetic.images.start_from_noise(Key(3))
    assert [tuple(t.shape) for t in synthetic.state_dict().values()] == [(2, 1, 8, 2), (2, 1, 2, 8)]
    header = Header(
        class_names=["a", "b"],
        shape=(1, 8, 8),
        images_per_class=4,
        parametrization=form.describe(),
        mean=[0.0],
        std=[1.0],
    )
    made = Artefact(header, synthetic, Preprocessing.none(1))
    made.save(tmp_path / "set.safetensors")
    loaded = attar.load(tmp_path / "set.safetensors")
    assert torch.equal(loaded.images, made.images)
    assert loaded.totals.paper == 4 * 2 * 2 * (8 + 8)
    loss = synthetic.images(torch.arange(8)).square().sum()
    loss.backward()
    assert all(p.grad is not None and bool((p.grad != 0).any()) for p in synthetic.parameters())


@pytest.mark.parametrize(
    ("factor", "text"),
    [(0, "--factor 0"), (9, "--factor 9"), (5, "--factor 5")],
)
def test_factors_that_do_not_cut(factor: int, text: str) -> None:
    for call in (Tiled(factor).build, Tiled(factor).values):
        with pytest.raises(BadRequest, match=text):
            call(Layout(1, 1, (1, 8, 8)))
    with pytest.raises(BadRequest, match=r"factor 2\.0: a whole number is needed"):
        Tiled(2.0)


def test_padding_of_other_channels() -> None:
    with pytest.raises(BadRequest, match="2 padding values for 3 channel"):
        Tiled(2, (0.0, 1.0)).build(Layout(1, 1, (3, 8, 8)))
