"""Sets that stay between black and white while they are made."""

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import attar
from attar.cli import run
from attar.data import from_tensors
from attar.synthetic import Bounded, Layout, LowRank, Pixels, Synthetic, Tiled
from attar.synthetic.forms.bounded import Clip
from catalogue import NETWORK

SMALL: dict[str, Any] = {"ipc": 2, "network": NETWORK, "device": "cpu", "validation": 0}


def pictures(zca: str = "none") -> attar.LabelledImages:
    images = torch.rand(30, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    return from_tensors(images, torch.arange(30) % 3, zca=zca).train


@pytest.mark.parametrize(
    "options",
    [
        {"method": "dm"},
        {"method": "dm", "storage": "bfloat16"},
        {"method": "dm", "average": 0.5, "optimiser": "adam"},
        {"method": "lodm"},
        {"method": "dm", "form": "tiled"},
        {"method": "dm", "form": "low_rank:rank=2,base=tiled"},
        {"method": "dm", "form": "ordered_svd"},
        {"method": "frepo", "form": "decoded:decoders=2,channels=2,hidden=3", "zca": "none"},
    ],
    ids=lambda options: "-".join(map(str, options.values())),
)
def test_every_form_stays_between_black_and_white(options: dict[str, Any], out: Path) -> None:
    given: dict[str, Any] = {**SMALL, "init": "noise", "iterations": 3, "lr": 5.0, **options}
    free = attar.condense(pictures(), **given)
    assert free.clipped is not None
    made = attar.condense(pictures(), bounded=True, output=out, **given)
    assert made.clipped is None
    assert not torch.equal(made.images, free.images)
    loaded = attar.load(out)
    assert loaded.clipped is None and torch.equal(loaded.images, made.images)
    assert loaded.header.settings["bounded"] is True
    assert "bounded" not in free.header.settings
    # the same count, and nothing stored beside
    assert made.totals == free.totals
    # each image moved on from its start
    none: dict[str, Any] = {**given, "iterations": 0}
    start = attar.condense(pictures(), bounded=True, **none)
    assert bool((made.images != start.images).flatten(1).any(1).all())


def test_pixels_need_no_form_of_their_own() -> None:
    made = attar.condense(pictures(), method="dm", iterations=1, bounded=True, **SMALL)
    assert made.header.parametrization == {"name": "pixels"}
    made = attar.condense(pictures(), method="lodm", iterations=1, bounded=True, **SMALL)
    assert made.header.parametrization["name"] == "bounded"


def test_the_gradient_passes_but_where_it_leads_further_out() -> None:
    values = torch.tensor([[-3.0, -3.0, 0.5, 4.0, 4.0]], requires_grad=True)
    found = Clip.apply(values, torch.tensor(-1.0), torch.tensor(1.0))
    assert found.tolist() == [[-1.0, -1.0, 0.5, 1.0, 1.0]]  # pyright: ignore[reportAttributeAccessIssue]
    # a step goes against these
    found.backward(torch.tensor([[1.0, -1.0, 2.0, 1.0, -1.0]]))  # pyright: ignore[reportAttributeAccessIssue]
    assert values.grad is not None and values.grad.tolist() == [[0.0, -1.0, 2.0, 1.0, 0.0]]


def test_bounds_are_by_channel_and_store_what_the_base_stores() -> None:
    layout = Layout(2, 3, (2, 4, 4))
    form = Bounded((-1, -2), (1, 2), LowRank(2))
    made, plain = Synthetic(layout, form), Synthetic(layout, LowRank(2))
    assert made.state_dict().keys() == plain.state_dict().keys()
    assert made.ledger() == plain.ledger()
    with torch.no_grad():
        for value in made.images.parameters():
            value.fill_(9)
        images, _ = made(torch.arange(6))
    assert images[:, 0].unique().tolist() == [1] and images[:, 1].unique().tolist() == [2]


@pytest.mark.parametrize("method", ["dm", "lodm"])
def test_a_bounded_run_resumes_to_the_same_bits(method: str, tmp_path: Path) -> None:
    given: dict[str, Any] = {**SMALL, "method": method, "bounded": True, "lr": 5.0}
    whole = attar.condense(pictures(), iterations=4, **given)
    out = tmp_path / "a.safetensors"
    attar.condense(pictures(), iterations=2, output=out, **given)
    with pytest.raises(attar.BadRequest, match="bounded"):
        other: dict[str, Any] = {**given, "bounded": False}
        attar.condense(pictures(), iterations=4, output=out, resume=True, **other)
    resumed = attar.condense(pictures(), iterations=4, output=out, resume=True, **given)
    assert torch.equal(resumed.images, whole.images)


def test_the_command_says_bounded_and_repeats(tmp_path: Path) -> None:
    path, out = tmp_path / "d.npz", tmp_path / "a.safetensors"
    np.savez(path, images=pictures().images.permute(0, 2, 3, 1).numpy(), labels=np.arange(30) % 3)
    words = ["condense", f"npz:{path}", "--method", "dm", "--ipc", "1", "--iterations", "2"]
    words += ["--network", NETWORK, "--bounded", "--init", "noise", "-o", str(out)]
    assert run(words) == 0
    made = attar.load(out)
    command = made.header.provenance["command"]
    assert "--bounded" in command and made.clipped is None
    again = tmp_path / "b.safetensors"
    assert run([*shlex.split(command)[1:-1], str(again)]) == 0
    assert torch.equal(attar.load(again).images, made.images)
    # nothing is lost but the rounding
    attar.export(made, png=tmp_path / "png")


def test_what_cannot_be_bounded_is_refused() -> None:
    for data, options, why in (
        (pictures("mtt"), {"method": "dm"}, "whitening 'mtt'.*give --zca none"),
        (pictures(), {"method": "random", "iterations": None}, "real images.*leave it out"),
        (from_tensors(torch.randn(30, 4), torch.arange(30) % 3), {"method": "dm"}, "no black"),
    ):
        with pytest.raises(attar.BadRequest, match=f"--bounded: .*{why}"):
            given: dict[str, Any] = {"iterations": 1, "ipc": 1, "validation": 0, **options}
            attar.condense(data, bounded=True, **given)
    for low, high in (((1,), (1,)), ((float("nan"),), ()), ((0, 3), (2,))):
        with pytest.raises(attar.BadRequest, match="bounds"):
            Bounded(low, high)
    with pytest.raises(attar.BadRequest, match="2 bounds for 3 channel"):
        Synthetic(Layout(2, 1, (3, 8, 8)), Bounded((0, 0), (1, 1), Pixels()))


def test_stored_tiles_are_moved_back() -> None:
    made = Synthetic(Layout(2, 2, (3, 8, 8)), Tiled(2))
    with torch.no_grad():
        for value in made.images.parameters():
            value.fill_(7)
    made.images.confine(torch.tensor(-1.0), torch.tensor(1.0))
    assert made(torch.arange(4))[0].unique().tolist() == [1]
