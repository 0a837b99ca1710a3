"""Rounding inside training: what is read, its gradient, and runs that begin it midway."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import attar
from attar.artefact.coding import rounded as as_kept
from attar.condensing.rounding import Rounding
from attar.data import Preprocessing, Splits
from attar.errors import BadRequest
from attar.storage import storage_of, storage_text
from attar.storage.integers import Integers
from attar.storage.scales import in_groups, scales_for
from attar.synthetic import (
    Addressed,
    Decoded,
    Frequency,
    Hallucinated,
    Layout,
    LowRank,
    Parametrization,
    Pixels,
    Resized,
    Synthetic,
    Tiled,
)
from attar.synthetic.stores.rounding import Grid, Rounded, rounded, rounding
from attar.synthetic.stores.touched import rows_of, touching
from test_coded_storage import colours

FORMS = [
    *(Pixels(), LowRank(2), Resized(8), Tiled(2), Frequency(0.5)),
    *(Decoded(), LowRank(1, Decoded()), Addressed(), Hallucinated()),
]
GROUPS = ("row", "matrix", "tensor")


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def kept_by_hand(values: Tensor, scales: Tensor, largest: int) -> Tensor:
    """Return G×V values as they are kept, value by value in float64."""
    found = values.double().clone()
    for row, scale in zip(found, scales.double(), strict=True):
        row.copy_((row / scale).round().clamp(-largest, largest) * scale)
    return found


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_the_gradient_is_that_of_a_reference_in_float64(bits: int) -> None:
    largest, slopes = 2 ** (bits - 1) - 1, drawn(3, 40, seed=1)
    values = nn.Parameter(drawn(3, 40))
    scales = scales_for(values.detach(), largest)
    read = Rounded.apply(values, scales, largest)
    # a loss that is not linear, so that its slope is taken at the rounded values
    loss = (slopes * read.square()).sum()  # pyright: ignore[reportOptionalMemberAccess]
    loss.backward()
    hand = kept_by_hand(values.detach(), scales, largest)
    assert torch.allclose(read.double(), hand, rtol=0, atol=1e-6)  # pyright: ignore[reportOptionalMemberAccess]
    slope = 2 * slopes.double() * hand
    limits = largest * scales.double().unsqueeze(1)
    outwards = (values.detach().double().abs() > limits) & (slope * values.detach() < 0)
    assert bits == 8 or bool(outwards.any())
    wanted = torch.where(outwards, 0.0, slope)
    assert values.grad is not None and torch.allclose(values.grad.double(), wanted, atol=1e-5)


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("shape", [(12, 3, 6, 6), (12, 3, 6, 1), (12, 5)])
def test_few_rows_are_read_as_all_are(group: str, shape: tuple[int, ...]) -> None:
    values, index = nn.Parameter(drawn(*shape)), torch.tensor([7, 2, 7])
    with rounding({id(values): Grid(7, group)}):
        whole = rounded(values)
        plain = rows_of(values, index)
        with touching() as touched:
            few = rows_of(values, index)
    assert torch.equal(few, plain) and torch.equal(few, whole[index])
    few.square().sum().backward()
    whole[index].square().sum().backward()
    assert values.grad is not None and touched[0].part.grad is not None
    assert torch.allclose(values.grad[[2, 7]], touched[0].part.grad)
    assert torch.equal(rows_of(values, index), values[index])
    flat = in_groups(values.detach(), group)
    hand = kept_by_hand(flat, scales_for(flat, 7), 7).view(shape)
    assert torch.allclose(whole.double(), hand, atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("text", ["int4:train=1", "int3:train=1,group=matrix", "int2:train=1"])
def test_a_run_reads_what_the_file_will_hold(form: Parametrization, text: str) -> None:
    layout, storage = Layout(2, 4, (3, 16, 16)), storage_of(text)
    synthetic = Synthetic(layout, form)
    for number, tensor in enumerate(synthetic.parameters()):
        tensor.data.copy_(drawn(*tensor.shape, seed=number))
    index = torch.arange(len(layout))
    with Rounding(synthetic, storage).at(0.0):
        read = synthetic.images(index).detach()
    as_kept(synthetic.requires_grad_(False), storage, Preprocessing.none(3))
    assert torch.equal(read, synthetic.images(index))


def made(output: Path | None = None, **options: Any) -> attar.Artefact:
    asked: dict[str, Any] = {
        "method": "lodm",
        "storage": "int3:train=0.5",
        "synthetic_per_class": 4,
        "iterations": 4,
        "network": "convnet2:width=8",
        "validation": 0,
        "precision": "float32",
        "settings": {"batch_real": 6},
        "init": "real",
    }
    data = Splits(colours(), None, source="colours")
    return attar.condense(data, output=output, **{**asked, **options})


def test_the_first_part_of_a_run_is_as_without(tmp_path: Path) -> None:
    from attar.artefact.snapshots import load_snapshots

    paths = [tmp_path / f"{name}.safetensors" for name in "ab"]
    for path, storage in zip(paths, ("int3:train=0.5", "int3"), strict=True):
        made(path, storage=storage, snapshots="0,2,4", lr=1.0)
    first, second = (load_snapshots(one.with_suffix(".snapshots.safetensors")) for one in paths)
    alike = [torch.equal(a.images, b.images) for a, b in zip(first, second, strict=True)]
    assert alike == [True, True, False]
    found = attar.load(paths[0])
    assert found.header.storage == "int3"
    assert found.header.settings["storage"] == "int3:train=0.5"


@pytest.mark.parametrize("method", ["lodm", "dc", "frepo"])
def test_a_run_resumes_to_the_same(method: str, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    own = {"settings": {"pool": 2}, "zca": "none"} if method == "frepo" else {}
    own |= {"settings": {"batch_real": 6, "inner": 1}} if method == "dc" else {}

    class Stop(attar.Callback):
        def stepped(self, step: int, loss: float, share: float, seconds: float) -> None:
            if step == 3:
                raise KeyboardInterrupt

    straight = made(method=method, **own)
    with pytest.raises(KeyboardInterrupt):
        made(path, method=method, callback=Stop(), checkpoint_seconds=0, **own)
    resumed = made(path, method=method, resume=True, **own)
    assert torch.equal(resumed.images, straight.images)


def test_a_longer_run_begins_elsewhere_and_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    made(path)
    with pytest.raises(BadRequest, match="scheduled_steps"):
        made(path, iterations=6, resume=True)


def test_the_clock_says_when_it_begins() -> None:
    assert made(iterations=None, minutes=0.02).header.storage == "int3"


def test_labels_are_rounded_by_their_own_storage() -> None:
    synthetic = Synthetic(Layout(2, 4, (1, 8, 8)), Pixels(), learned_labels=True)
    assert synthetic.labels is not None
    synthetic.labels.fit(drawn(8, 2))
    index = torch.arange(8)
    with Rounding(synthetic, storage_of("float16:labels=int2:train=0.3")).at(0.6):
        assert len(synthetic.labels(index).unique()) > 3
    with Rounding(synthetic, storage_of("float16:labels=int2:train=0.3")).at(0.7):
        assert len(synthetic.labels(index).unique()) <= 3


def test_texts_and_refusals() -> None:
    storage = storage_of("int4:train=0.5,labels=int8:train=1")
    assert storage_text(storage) == "int4:train=0.5,labels=int8:train=1.0"
    assert storage_text(storage.settled()) == "int4:labels=int8"
    assert isinstance(storage_of("int4"), Integers) and not Rounding(
        Synthetic(Layout(1, 1, (1, 8, 8)), Pixels()), storage_of("int4")
    )
    with pytest.raises(BadRequest, match="int4:train=2: the share of the updates"):
        attar.Request(storage="int4:train=2")
    with pytest.raises(BadRequest, match="never updates images, so none are trained for it"):
        made(method="random", iterations=None, init=None, settings=None)
