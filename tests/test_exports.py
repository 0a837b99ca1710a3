"""What export says and keeps: clipped pixels, every value, label values, and reading it back."""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import attar
from attar.artefact.artefact import Artefact
from attar.cli import run
from attar.data import exports, from_tensors
from attar.evaluation.exported import read_back
from attar.report import write_report
from catalogue import NETWORK, tiny_data

SMALL: dict[str, Any] = {"ipc": 2, "network": NETWORK, "device": "cpu", "validation": 0}


def coloured(channels: int = 3) -> attar.LabelledImages:
    images = torch.rand(30, channels, 8, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(3).repeat_interleave(10)
    names = ["a cat", "dog", "train"]
    return from_tensors(images, labels, class_names=names).train


def beyond(method: str = "dm", data: Any = None, **options: Any) -> Artefact:
    """Return a set with pixels far outside [0, 1]."""
    given: dict[str, Any] = {**SMALL, "iterations": 2, "init": "noise", **options}
    return attar.condense(coloured() if data is None else data, method=method, **given)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Artefact, Path]:
    path = tmp_path_factory.mktemp("set") / "set.safetensors"
    return beyond(output=path), path


def test_pixels_are_clipped_and_raw_pixels_are_not(made: tuple[Artefact, Path]) -> None:
    artefact, _ = made
    raw = artefact.raw_pixels
    assert raw.min() < 0 and raw.max() > 1
    assert torch.equal(artefact.pixels, raw.clamp(0, 1))
    torch.testing.assert_close(artefact.preprocessing.apply(raw), artefact.images)
    lost = artefact.clipped
    assert lost is not None and lost.values == raw.numel()
    assert lost.outside == int(((raw < 0) | (raw > 1)).sum())
    assert (lost.lowest, lost.highest) == (float(raw.min()), float(raw.max()))


def test_nothing_is_said_where_nothing_is_clipped(tmp_path: Path) -> None:
    real = attar.condense(coloured(), method="random", **SMALL)
    assert real.clipped is None
    # warnings are errors here
    attar.export(real, png=tmp_path / "png")
    vectors = attar.condense(
        from_tensors(torch.randn(12, 4) * 9, torch.arange(12) % 3), method="random", ipc=1
    )
    assert vectors.clipped is None


def test_export_show_pictures_and_report_say_what_is_clipped(
    made: tuple[Artefact, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    artefact, path = made
    said = str(artefact.clipped)
    assert "% of the pixel values lie outside [0, 1] (they run from -" in said
    with pytest.warns(UserWarning, match=r"and were clipped; give --float to keep them"):
        attar.export(artefact, npz=tmp_path / "a.npz")
    assert run(["export", str(path), "--png", str(tmp_path / "png")]) == 0
    assert said in capsys.readouterr().err.replace("\n", " ")
    assert run(["show", str(path)]) == 0
    assert said in " ".join(capsys.readouterr().out.split())
    assert run(["show", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["clipped"]
    assert artefact.clipped is not None and told["outside"] == artefact.clipped.outside
    assert said in attar.draw([path], kinds=["grid"]).pictures[0].caption
    write_report(tmp_path / "a.html", artefact, rows=[], log=[])
    assert said in (tmp_path / "a.html").read_text(encoding="utf-8")


def test_float_arrays_give_the_same_network_inputs(
    made: tuple[Artefact, Path], tmp_path: Path
) -> None:
    artefact, _ = made
    path = tmp_path / "a.npz"
    attar.export(artefact, npz=path, floats=True)
    with np.load(path) as stored:
        assert stored["images"].dtype == np.float32 and stored["images"].shape == (6, 8, 8, 3)
        inputs = (stored["images"] - stored["mean"]) / stored["std"]
        np.testing.assert_allclose(
            np.moveaxis(inputs, -1, 1), artefact.images.numpy(), rtol=1e-5, atol=1e-5
        )
        assert stored["class_names"].tolist() == artefact.header.class_names
    read = attar.load_source(f"npz:{path}", test_share=0).train
    assert read.preprocessing == artefact.preprocessing
    torch.testing.assert_close(read.images, artefact.raw_pixels)
    torch.testing.assert_close(read.take(torch.arange(6)), artefact.images)
    with pytest.raises(attar.BadRequest, match="says what its values mean"):
        attar.load_source(f"npz:{path}", value_range=(0, 9))


def test_float_arrays_of_whitened_sets_hold_network_inputs(tmp_path: Path) -> None:
    for kind in ("mtt", "rtp"):
        data = from_tensors(coloured().images, coloured().labels, zca=kind)
        artefact, path = beyond(data=data), tmp_path / f"{kind}.npz"
        attar.export(artefact, npz=path, floats=True)
        with np.load(path) as stored:
            assert stored["zca"] == kind
            inputs = np.moveaxis(stored["inputs"], -1, 1)
        np.testing.assert_array_equal(inputs, artefact.images.numpy())
    with pytest.raises(attar.BadRequest, match=r"'rtp' forgets .* use --npz"):
        attar.export(artefact, png=tmp_path / "png", floats=True)


@pytest.mark.parametrize(
    ("kind", "channels"), [("png", 1), ("png", 3), ("tiff", 1), ("tiff", 3), ("tiff", 5)]
)
def test_pictures_of_16_bits_are_read_back_within_half_a_step(
    kind: str, channels: int, tmp_path: Path
) -> None:
    artefact = beyond(data=coloured(channels), network="mlp")
    folder = tmp_path / "set"
    targets: dict[str, Any] = {kind: folder}
    attar.export(artefact, floats=True, **targets)
    told = json.loads((folder / exports.BESIDE).read_text())
    one = next((folder / "0_a_cat").iterdir())
    if kind == "png":
        # Pillow gives the text of the file itself
        said = Image.open(one).text["attar"]  # pyright: ignore[reportAttributeAccessIssue]
    else:
        with tifffile.TiffFile(one) as file:
            page: Any = file.pages[0]
            said = page.description
    assert json.loads(said) == {"scale": told["scale"], "offset": told["offset"]}
    read = attar.load_source(f"folder:{folder}", test_share=0).train
    assert read.class_names == ("a cat", "dog", "train")
    assert read.preprocessing == artefact.preprocessing
    difference = (read.images.double() - artefact.raw_pixels.double()).abs().max()
    # half a step, and what float32 rounds
    assert float(difference) <= told["scale"] / 2 + 1e-6
    # a slice, a size and a held-out part as of any source
    part = attar.load_source(f"folder:{folder}", classes="dog,a cat", resize=4, test_share=0.5)
    assert part.train.shape == (channels, 4, 4) and part.test is not None
    with pytest.raises(attar.BadRequest, match="leave it out"):
        attar.load_source(f"folder:{folder}", value_range=(0, 65535))


def test_pixels_within_black_and_white_are_plain_pictures_of_16_bits(tmp_path: Path) -> None:
    real = attar.condense(coloured(), method="random", **SMALL)
    attar.export(real, png=tmp_path / "png", floats=True)
    told = json.loads((tmp_path / "png" / exports.BESIDE).read_text())
    assert (told["scale"], told["offset"]) == (1 / 65535, 0)


def test_an_export_that_was_changed_is_refused(made: tuple[Artefact, Path], tmp_path: Path) -> None:
    folder = tmp_path / "png"
    attar.export(made[0], png=folder, floats=True)
    beside, text = folder / exports.BESIDE, (folder / exports.BESIDE).read_text()
    for name, value in (("scale", 0), ("offset", "x"), ("bits", 12), ("class_names", ["a"])):
        beside.write_text(json.dumps(json.loads(text) | {name: value}))
        with pytest.raises(attar.BadRequest, match=f"{name}.*export the set again"):
            attar.load_source(f"folder:{folder}")
    beside.write_text(text)
    (folder / "1_dog" / "0.png").unlink()
    with pytest.raises(attar.BadRequest, match=r"holds 5 pictures .* tells of 6"):
        attar.load_source(f"folder:{folder}")
    # the pictures as they are, of which nobody says what 16 bits mean
    beside.unlink()
    with pytest.raises(attar.BadRequest, match="more than 8 bits"):
        attar.load_source(f"folder:{folder}", test_share=0)


def test_an_export_replaces_one_of_another_kind(
    made: tuple[Artefact, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "set"
    attar.export(made[0], tiff=folder, floats=True)
    with pytest.raises(attar.BadRequest, match="--overwrite replaces it"):
        attar.export(made[0], png=folder, floats=True)
    with pytest.warns(UserWarning, match="clipped"):
        attar.export(made[0], png=folder, overwrite=True)
    assert not (folder / exports.BESIDE).exists() and len(list(folder.rglob("*.*"))) == 6


@pytest.mark.parametrize("floats", [False, True])
def test_label_values_are_never_dropped(floats: bool, tmp_path: Path) -> None:
    artefact = beyond("frepo", tiny_data(), zca="none")
    assert artefact.labels.shape == (6, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        attar.export(artefact, png=tmp_path / "png", floats=floats)
        attar.export(artefact, npz=tmp_path / "a.npz", floats=floats)
    np.testing.assert_array_equal(np.load(tmp_path / "png" / exports.LABELS), artefact.labels)
    with np.load(tmp_path / "a.npz") as stored:
        np.testing.assert_array_equal(stored["labels"], artefact.labels)
    for source in (f"folder:{tmp_path / 'png'}", f"npz:{tmp_path / 'a.npz'}"):
        read = attar.load_source(source, test_share=0)
        assert read.train.labels.tolist() == [0, 0, 1, 1, 2, 2]
        assert "label values are left out here" in read.note
        if not floats:
            assert read.train.images.dtype == torch.uint8


def test_vectors_are_exported_as_they_are(tmp_path: Path) -> None:
    data = from_tensors(torch.randn(12, 4) * 9, torch.arange(12) % 3)
    artefact = attar.condense(data, method="random", ipc=1)
    attar.export(artefact, npz=tmp_path / "a.npz", floats=True)
    with np.load(tmp_path / "a.npz") as stored:
        np.testing.assert_array_equal(stored["images"], artefact.raw_pixels)
        assert stored["mean"].shape == (4,)
    with pytest.raises(attar.BadRequest, match="no pictures; use --npz FILE --float"):
        attar.export(artefact, tiff=tmp_path / "tiff")


def test_evaluate_measures_what_the_files_cost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "d.npz", tmp_path / "a.safetensors"
    images = torch.rand(60, 8, 8, generator=torch.Generator().manual_seed(0)).numpy()
    np.savez(path, images=images, labels=np.arange(60) % 3)
    beyond(data=f"npz:{path}", output=out, ipc=1)
    words = ["export", str(out), "--evaluate", "--epochs", "2", "--repeats", "2"]
    assert run([*words, "--npz", str(tmp_path / "a.npz"), "--float", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    # nothing is lost, so the same networks learn the same
    assert told["differences"][NETWORK]["values"] == [0.0, 0.0]
    assert told["images"] == 3 and told["exported"]["name"] == "as exported, read back"
    assert run([*words, "--png", str(tmp_path / "png")]) == 0
    said = capsys.readouterr()
    assert "and were clipped" in said.err.replace("\n", " ")
    assert "points (mean ± std over 2 pairs of networks)" in said.out
    assert run(["export", str(out), "--png", str(tmp_path / "b"), "--epochs", "2"]) == 2
    assert "--epochs 2: goes with --evaluate" in capsys.readouterr().err


@pytest.mark.parametrize("floats", [False, True])
def test_files_are_read_back_as_they_were_written(floats: bool, tmp_path: Path) -> None:
    for name, artefact in (("hard", beyond(ipc=1)), ("soft", beyond("frepo", zca="none", ipc=1))):
        for kind in ("png", "tiff", "npz"):
            where = tmp_path / f"{name}.{kind}"
            targets: dict[str, Any] = {kind: where}
            attar.export(artefact, floats=floats, said=lambda _: None, **targets)
            again = read_back(artefact, where)
            assert torch.equal(again.labels, artefact.labels)
            wanted = artefact.raw_pixels if floats else artefact.pixels
            step = (16 / 65535 if floats else 1 / 255) / 2
            assert float((again.raw_pixels - wanted).abs().max()) <= step + 1e-6


@pytest.mark.parametrize("kind", ["png", "npz"])
@pytest.mark.parametrize("method", ["dm", "frepo"])
def test_exports_are_imported_with_every_value(kind: str, method: str, tmp_path: Path) -> None:
    artefact = beyond(method, zca="none")
    where = tmp_path / f"set.{kind}"
    targets: dict[str, Any] = {kind: where}
    attar.export(artefact, floats=True, **targets)
    again = attar.import_artefact(where)
    assert again.header.class_names == artefact.header.class_names
    assert again.preprocessing == artefact.preprocessing
    assert torch.equal(again.labels, artefact.labels)
    assert float((again.raw_pixels - artefact.raw_pixels).abs().max()) < 16 / 65535
    with pytest.raises(attar.BadRequest, match="keep their size"):
        attar.import_artefact(where, resize=4)
    with pytest.raises(attar.BadRequest, match="the export has the classes a cat"):
        attar.import_artefact(where, classes=["dog", "a cat", "train"])


def test_whitened_exports_are_imported_with_their_data(tmp_path: Path) -> None:
    data = from_tensors(coloured().images, coloured().labels, zca="rtp")
    artefact = beyond(data=data)
    attar.export(artefact, npz=tmp_path / "a.npz", floats=True)
    with pytest.raises(attar.BadRequest, match="--data SOURCE"):
        attar.import_artefact(tmp_path / "a.npz")
    plain = from_tensors(coloured().images, coloured().labels)
    again = attar.import_artefact(tmp_path / "a.npz", data=plain)
    assert torch.equal(again.images, artefact.images)
    assert again.header.zca == "rtp"
