"""Arrays of any number of channels and any range of values, and how that is said."""

import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

import attar
from attar.artefact.exporting import export_npz, export_png
from attar.cli import run
from attar.data import as_splits, as_texts, bearing, from_dataset, from_tensors, load_source
from attar.data.arrays import as_images
from attar.data.values import wanted_background, wanted_range
from attar.errors import BadRequest
from attar.report import write_report

LABELS = np.arange(20) % 2
DEEP = np.random.default_rng(0).integers(0, 4096, (20, 13, 6, 6))


@pytest.mark.parametrize("given", [(0, 4095), [0, 4095], "0:4095", "0:4095.0"])
def test_a_range_is_a_pair_or_a_text(given: Any) -> None:
    assert wanted_range(given) == (0.0, 4095.0)


@pytest.mark.parametrize(
    "wrong", ["", "4095", "0:1:2", "9:3", "5:5", "0:inf", "a:b", (1,), (True, 2), ("0", "1"), 3]
)
def test_what_is_no_range_is_refused(wrong: Any) -> None:
    with pytest.raises(BadRequest, match=r"--range .*: give the lowest and the highest value"):
        load_source("npz:/no/such.npz", value_range=wrong)


def test_a_background_is_a_colour() -> None:
    assert wanted_background(None) == wanted_background("white") == (255, 255, 255)
    assert wanted_background("#ff8800") == (255, 136, 0)
    for wrong in ("wite", "", "#ff880080", (1, 2, 3), 7):
        with pytest.raises(BadRequest, match=r"--background .*give the name of a colour"):
            wanted_background(wrong)


def test_options_of_reading_repeat_as_texts() -> None:
    reading = {"value_range": (0, 4095), "classes": ["a", "b"], "data_dir": "/x", "resize": None}
    assert as_texts(bearing(reading)) == {"value_range": "0:4095", "classes": "a,b"}
    for given in ((0.0, 4095.0), [-0.5, 1e-7], "1:2"):
        (text,) = as_texts({"value_range": given}).values()
        assert wanted_range(text) == wanted_range(given)


@pytest.mark.parametrize("dtype", ["uint16", "int32", ">u2", "float32", "float64"])
def test_a_range_scales_arrays_of_any_type(dtype: str) -> None:
    splits = from_tensors(DEEP.astype(dtype), LABELS, value_range=(0, 4095))
    assert splits.train.shape == (13, 6, 6)
    assert splits.train.images.dtype == torch.float32
    images = as_images(DEEP.astype(dtype), "data", (0.0, 4095.0))
    assert np.array_equal(np.rint(images.numpy() * 4095), DEEP)
    assert float(images.min()) >= 0 and float(images.max()) <= 1


# PyTorch 2.15 has neither minimum nor arithmetic for the last three
@pytest.mark.parametrize(
    "dtype", [torch.int16, torch.int64, torch.uint16, torch.uint32, torch.uint64]
)
def test_a_range_scales_tensors_of_any_type(dtype: torch.dtype) -> None:
    given = torch.from_numpy(DEEP).to(dtype)
    splits = as_splits((given, torch.from_numpy(LABELS)), value_range="0:4095")
    assert splits.train.shape == (13, 6, 6)
    with pytest.raises(BadRequest, match=r"run from 0 to \d+; without .* such as --range 0:4095$"):
        from_tensors(given, LABELS)
    shallow = (given.to(torch.int64) % 256).to(dtype)
    assert from_tensors(shallow, LABELS).train.images.dtype == torch.uint8


def test_values_outside_the_range_are_refused() -> None:
    with pytest.raises(BadRequest, match=r"values run from 0 to .*, outside --range 0:1000"):
        from_tensors(DEEP, LABELS, value_range=(0, 1000))
    holed = DEEP.astype(float)
    holed[3, 2, 1, 1] = np.nan
    with pytest.raises(BadRequest, match=r"images hold NaN, which lies in no --range"):
        from_tensors(holed, LABELS, value_range=(0, 4095))


def test_floats_outside_0_to_1_are_told_the_range() -> None:
    with pytest.raises(BadRequest, match=r"scale them to .* such as --range -1:1"):
        from_tensors(np.where(DEEP < 2000, -0.5, 0.5), LABELS)


def test_the_range_of_8_bits_changes_nothing() -> None:
    bytes_ = (DEEP % 256).astype(np.uint8)
    one, other = from_tensors(bytes_, LABELS), from_tensors(bytes_, LABELS, value_range=(0, 255))
    assert torch.equal(one.train.images, other.train.images)
    assert from_tensors(bytes_, LABELS, value_range=(0, 510)).train.images.max() <= 0.5


@pytest.mark.parametrize(
    ("shape", "channels"),
    [
        ((13, 6, 6), 13),
        ((6, 6, 13), 13),
        ((4, 8, 8), 4),
        ((8, 8, 2), 2),
        ((4, 60, 70), 4),
        ((60, 70, 4), 4),
        ((64, 90, 90), 64),
        # grayscale and colour come first
        ((3, 13, 13), 3),
        ((13, 13, 1), 1),
    ],
)
def test_the_channels_of_arrays_are_told(shape: tuple[int, ...], channels: int) -> None:
    images = as_images(np.zeros((2, *shape), np.uint8), "data")
    assert images.shape[1] == channels
    assert as_images(torch.zeros(2, *shape, dtype=torch.uint8), "data").shape == images.shape


@pytest.mark.parametrize("shape", [(8, 8, 8), (4, 5, 4), (3, 5, 3), (8, 9, 7)])
def test_channels_that_cannot_be_told_are_refused_or_first(shape: tuple[int, ...]) -> None:
    if shape != (8, 9, 7):
        with pytest.raises(BadRequest, match="can be read as C×H×W and as H×W×C"):
            as_images(np.zeros((2, *shape), np.uint8), "data")
        assert as_images(torch.zeros(2, *shape), "data").shape[1:] == shape
    for given in (np.zeros((2, 65, 66, 67), np.uint8), torch.zeros(2, 65, 66, 67)):
        with pytest.raises(BadRequest, match="no axis of 1 to 64 channels"):
            as_images(given, "data")


def test_a_data_set_of_deep_tensors() -> None:
    given = TensorDataset(torch.from_numpy(DEEP).to(torch.uint16), torch.from_numpy(LABELS))
    splits = from_dataset(given, value_range=(0, 4095))
    assert splits.train.images.dtype == torch.float32 and splits.train.shape == (13, 6, 6)


def test_options_that_change_nothing_are_refused() -> None:
    with pytest.raises(BadRequest, match="what the values of digits mean is known"):
        load_source("digits", value_range=(0, 16))
    for source in ("digits", "npz:/no/such.npz"):
        with pytest.raises(BadRequest, match=r"--background red: .* holds no transparent pictures"):
            load_source(source, background="red")
    with pytest.raises(BadRequest, match="arrays have no transparency"):
        from_tensors(DEEP, LABELS, value_range=(0, 4095), background="black")


def test_an_artefact_reads_its_data_in_the_same_way_again(tmp_path: Path) -> None:
    path = tmp_path / "bands.npz"
    np.savez(path, images=DEEP, labels=LABELS)
    source, out = f"npz:{path}", tmp_path / "a.safetensors"
    artefact = attar.condense(source, ipc=1, method="random", value_range=(0, 4095), output=out)
    assert artefact.header.shape == (13, 6, 6)
    command = artefact.header.provenance["command"]
    assert "--value-range 0:4095" in command
    assert run([*shlex.split(command)[1:-1], str(tmp_path / "b.safetensors")]) == 0
    again = attar.load(tmp_path / "b.safetensors")
    assert torch.equal(again.images, artefact.images)
    assert again.header.provenance["reading"] == {"value_range": "0:4095"}
    rows = attar.evaluate(out, epochs=1, repeats=1, networks="mlp")
    assert len(rows) == 1


def test_images_of_many_channels_are_condensed_shown_and_exported(tmp_path: Path) -> None:
    data = from_tensors(DEEP, LABELS, value_range=(0, 4095))
    options = {"ipc": 1, "iterations": 2, "network": "mlp", "validation": 0, "torch_compile": "off"}
    artefact = attar.condense(data, method="dm", **options)
    assert artefact.header.shape == (13, 6, 6)
    with pytest.raises(
        BadRequest, match=r"13 channels, and a PNG holds 1 or 3; use --tiff or --npz"
    ):
        export_png(artefact, tmp_path / "png")
    export_npz(artefact, tmp_path / "a.npz")
    assert np.load(tmp_path / "a.npz")["images"].shape == (2, 6, 6, 13)
    # the first three of more, and said so
    write_report(tmp_path / "a.html", artefact, rows=[], log=[])
    assert "13 channels" in (tmp_path / "a.html").read_text(encoding="utf-8")
