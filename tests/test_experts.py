"""The folder of experts: what is refused, and what its command line says."""

import dataclasses
import json
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
import torch

import attar
from attar.cli import run
from attar.data import LabelledImages, Preprocessing, as_splits
from attar.data.identity import digest_of
from attar.data.whitening import fit_whitening
from attar.errors import ArtefactError, BadRequest
from attar.experts import ExpertStore, open_experts, train_experts
from attar.experts.claims import claim
from attar.experts.header import read_header
from attar.experts.images import check_images
from attar.experts.request import ExpertsRequest
from attar.experts.store import path_of
from attar.networks import Network, build
from catalogue import NETWORK, tiny_data

DATA = tiny_data()
SETTINGS: dict[str, Any] = {"count": 2, "epochs": 2, "network": NETWORK, "batch": 16}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "experts"
    train_experts(DATA, output=folder, **SETTINGS)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy that may be damaged."""
    return Path(shutil.copytree(made, tmp_path / "experts"))


def tiny_network(name: str = NETWORK) -> Network:
    return build(name, 1, (8, 8), DATA.classes)


def opened(folder: Path, network: str = NETWORK, data: LabelledImages = DATA) -> ExpertStore:
    return open_experts(folder, tiny_network(network), data.preprocessing)


def whitened(seed: int) -> LabelledImages:
    pixels = tiny_data(seed=seed).images
    whitening = fit_whitening("mtt", pixels, strength=0.1)
    return dataclasses.replace(DATA, preprocessing=Preprocessing((0.0,), (1.0,), whitening))


# --- reading --------------------------------------------------------------------------------


def test_a_segment_is_a_part_of_the_whole(folder: Path) -> None:
    store = opened(folder)
    assert (store.count, store.epochs) == (2, 2)
    whole = store.segment(1, 0, 2)
    assert whole.shape == (3, store.values) and whole.dtype == torch.float32
    assert torch.equal(store.segment(1, 1, 1), whole[1:])
    assert len(store.accuracies()) == 2
    assert store.bytes == sum(path_of(folder, i).stat().st_size for i in range(2))


def test_a_truncated_expert_is_refused(folder: Path) -> None:
    path = path_of(folder, 1)
    path.write_bytes(path.read_bytes()[:-4])
    for use in (
        lambda: opened(folder),
        lambda: train_experts(DATA, output=folder, **SETTINGS),
    ):
        with pytest.raises(ArtefactError, match=r"expert-00001.*truncated or damaged.*remove it"):
            use()
    path.unlink()
    assert train_experts(DATA, output=folder, **SETTINGS).count == 2


def test_an_expert_of_another_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    train_experts(DATA, output=tmp_path / "other", **SETTINGS, seed=1)
    shutil.copy(path_of(tmp_path / "other", 0), path_of(folder, 1))
    with pytest.raises(ArtefactError, match="other settings than"):
        opened(folder)


def test_another_architecture_is_refused(folder: Path) -> None:
    with pytest.raises(BadRequest, match=r"of network convnet2:width=8, not of convnet1"):
        opened(folder, "convnet1:width=8")


def test_another_normalization_is_refused(folder: Path) -> None:
    other = dataclasses.replace(DATA, preprocessing=Preprocessing((0.4,), (0.5,)))
    with pytest.raises(BadRequest, match=r"normalized by mean \[0.4\].*not by \[0.4\] and \[0.5\]"):
        opened(folder, data=other)


def test_another_whitening_is_refused(tmp_path: Path) -> None:
    one, other = whitened(0), whitened(1)
    train_experts(one, output=tmp_path / "e", **{**SETTINGS, "count": 1})
    assert opened(tmp_path / "e", data=one).count == 1
    with pytest.raises(BadRequest, match="whitened by another matrix"):
        opened(tmp_path / "e", data=other)
    plain = dataclasses.replace(DATA, preprocessing=Preprocessing((0.0,), (1.0,)))
    with pytest.raises(BadRequest, match="whitened by 'mtt', not by 'none'"):
        opened(tmp_path / "e", data=plain)


def test_a_folder_without_experts_is_refused(folder: Path) -> None:
    for expert in range(2):
        path_of(folder, expert).unlink()
    with pytest.raises(BadRequest, match=r"there is no expert yet; run 'attar experts' again"):
        opened(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": "attar.experts"}', b"\xff"])
def test_a_damaged_header_is_refused(folder: Path, content: bytes) -> None:
    (folder / "experts.json").write_bytes(content)
    for use in (
        lambda: opened(folder),
        lambda: train_experts(DATA, output=folder, **SETTINGS),
    ):
        with pytest.raises(ArtefactError, match=r"experts.json describes no expert trajectories"):
            use()


def test_a_missing_header_is_refused(folder: Path) -> None:
    (folder / "experts.json").unlink()
    with pytest.raises(ArtefactError, match="no expert trajectories are there"):
        opened(folder)
    with pytest.raises(ArtefactError, match=r"experts.json is missing.*--overwrite"):
        train_experts(DATA, output=folder, **SETTINGS)


def test_condensing_other_classes_than_the_experts_saw_is_refused(folder: Path) -> None:
    header = read_header(folder)
    train = as_splits(DATA).train
    check_images(folder, header, train)
    # the same images under other names are the same
    names = tuple(name.upper() for name in train.class_names)
    check_images(folder, header, dataclasses.replace(train, class_names=names))
    other = tiny_data(seed=1)
    with pytest.warns(UserWarning, match=r"trained on other images \(26 of tiny, here 26\)"):
        check_images(folder, header, other)
    swapped = dataclasses.replace(other, class_names=DATA.class_names[::-1])
    with pytest.raises(BadRequest, match=r"trained on the classes .*, not on .*the same order"):
        check_images(folder, header, swapped)
    options = {"ipc": 1, "network": NETWORK, "iterations": 1, "settings": ("length=2", "steps=1")}
    with pytest.raises(BadRequest, match="trained on the classes"):
        attar.condense(swapped, method="esp", experts=folder, **options)


# --- what is there already ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epochs": 3}, r"--epochs 3: .* were trained with 2; give --epochs 2"),
        ({"lr": 0.1}, "--lr 0.1: .* were trained with 0.01"),
        ({"momentum": 0.5}, "--momentum 0.5"),
        ({"weight_decay": 0.1}, "--weight-decay 0.1: .* with 0.0"),
        ({"batch": 8}, "--batch 8"),
        ({"augment": "none"}, "--augment none: .* with color_crop_cutout_flip_scale_rotate"),
        ({"storage": "float16"}, "--storage float16"),
        ({"seed": 1}, "--seed 1"),
        ({"network": "convnet1:width=8"}, "--network convnet1:width=8"),
        ({"precision": "bfloat16"}, "--precision bfloat16: .* with float32"),
    ],
)
def test_other_settings_are_refused_by_name(
    folder: Path, changes: dict[str, Any], said: str
) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(BadRequest, match=said):
        train_experts(DATA, output=folder, **{**SETTINGS, "count": 3, **changes})
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_other_images_are_refused(folder: Path) -> None:
    images = DATA.images.clone()
    images[0, 0, 0, 0] += 1
    with pytest.raises(BadRequest, match="were trained on other images"):
        train_experts(dataclasses.replace(DATA, images=images), output=folder, **SETTINGS)
    plain = dataclasses.replace(DATA, preprocessing=Preprocessing((0.0,), (1.0,)))
    with pytest.raises(BadRequest, match="were trained on other images"):
        train_experts(plain, output=folder, **SETTINGS)
    labels = DATA.labels.roll(1)
    assert digest_of(DATA) != digest_of(dataclasses.replace(DATA, labels=labels))


def test_another_whitening_is_refused_by_its_option(tmp_path: Path) -> None:
    pair = (DATA.images, DATA.labels)
    settings = {**SETTINGS, "count": 1, "output": tmp_path / "e"}
    train_experts(pair, **settings)
    with pytest.raises(BadRequest, match=r"--zca mtt: .* were trained with none"):
        train_experts(pair, **settings, zca="mtt")


def test_overwrite_trains_others(folder: Path) -> None:
    before = path_of(folder, 0).read_bytes()
    held = claim(folder, [7])
    assert held is not None
    with pytest.raises(BadRequest, match="another process is training experts"):
        train_experts(DATA, output=folder, **{**SETTINGS, "seed": 1}, overwrite=True)
    held.release()
    store = train_experts(DATA, output=folder, **{**SETTINGS, "count": 1}, seed=1, overwrite=True)
    assert store.count == 1 and read_header(folder).seed == 1
    assert path_of(folder, 0).read_bytes() != before


# --- refused beforehand -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"count": 0}, "--count 0: 1 or more"),
        ({"epochs": 2.5}, "--epochs 2.5: a whole number"),
        ({"lr": 0}, "--lr 0: a positive number"),
        ({"lr": float("nan")}, "--lr nan"),
        ({"momentum": 1.0}, "--momentum 1: from 0 to below 1"),
        ({"weight_decay": -1.0}, "--weight-decay -1: 0 or more"),
        ({"storage": "float8"}, "unknown value of --storage 'float8'"),
        ({"zca": "pca"}, "unknown value of --zca 'pca'"),
        ({"jobs": 0}, "--jobs 0: 1 or more"),
        ({"checkpoint_seconds": -1}, "--checkpoint-seconds -1"),
        ({"network": 3}, "network=3"),
        ({"network": torch.nn.Flatten(), "jobs": 2}, "trained in one process"),
    ],
)
def test_values_that_no_training_can_have(options: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        ExpertsRequest(**options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"network": "convnot3"}, "unknown network 'convnot3'"),
        ({"augment": "crop_flop"}, "--augment crop_flop: unknown augmentation 'flop'"),
        ({"device": "abacus"}, "--device 'abacus'"),
        ({"epoch": 3}, r"unknown option 'epoch' \(did you mean 'epochs'"),
        ({"output": None}, "-o is missing"),
    ],
)
def test_bad_requests_write_nothing(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        train_experts(DATA, **{**SETTINGS, "output": tmp_path / "e", **options})
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for output in (tmp_path / "file", tmp_path / "file" / "experts"):
        with pytest.raises(BadRequest, match=r"that is a file|not a folder that can be written to"):
            train_experts(DATA, output=output, **SETTINGS)


def test_a_full_disk_is_refused_beforehand(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", ("total", "used", "free"))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 100_000))
    with pytest.raises(BadRequest, match=r"50 experts of 2 epochs take .*has 100 kB left"):
        train_experts(DATA, output=tmp_path / "e", **{**SETTINGS, "count": 50})
    assert not (tmp_path / "e").exists()
    # what is there needs no more room
    assert train_experts(DATA, output=folder, **SETTINGS).count == 2


def test_a_users_own_module_can_be_trained(tmp_path: Path) -> None:
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, DATA.classes))
    settings = {**SETTINGS, "network": module, "output": tmp_path / "e"}
    store = train_experts(DATA, **settings)
    assert store.values == 65 * DATA.classes
    assert train_experts(DATA, **settings).count == 2
    assert "network=Sequential(...)" in store.header.provenance["command"]


# --- the command line -------------------------------------------------------------------------

WORDS = (
    *("experts", "digits", "--epochs", "2", "--network", "convnet1:width=4"),
    *("--classes", "2", "--per-class", "10", "--zca", "mtt"),
)


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = str(tmp_path / "e")
    assert run([*WORDS, "--count", "1", "-o", output, "--json"]) == 0
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert (found["experts"], found["trained"], found["epochs"]) == (1, 1, 2)
    assert found["command"] == (
        "attar experts digits --count 1 --epochs 2 --network convnet1:width=4 --zca mtt "
        "--classes 2 --per-class 10 -o e"
    )
    assert "20 images of 2 classes" in told.err and "disk: 1 × " in told.err
    # scikit-learn's digits are not mirrored
    assert "augmentation color_crop_cutout_scale_rotate, whitening mtt" in told.err
    assert run([*WORDS, "--count", "2", "-o", output]) == 0
    told = capsys.readouterr()
    assert "2 experts of convnet1:width=4, 2 epochs each" in told.out
    # the command now makes both
    assert "--count 2 --epochs 2" in read_header(tmp_path / "e").provenance["command"]
    assert "trained now: 1 in" in told.out and "1 of them there" in told.err
    assert read_header(tmp_path / "e").training["reading"] == {"classes": "2", "per_class": 10}
    assert run([*WORDS, "--count", "2", "--lr", "1", "-o", output]) == 2
    assert "--lr 1.0" in capsys.readouterr().err
    assert run([*WORDS]) == 2
    assert "-o is missing" in capsys.readouterr().err


def test_the_published_network_is_the_default(tmp_path: Path) -> None:
    store = attar.train_experts(DATA, count=1, epochs=1, output=tmp_path / "e")
    assert store.header.network == "convnet3"
    assert store.header.training | {"reading": 0, "precision": 0} == {
        "optimiser": "sgd",
        "lr": 0.01,
        "momentum": 0.0,
        "weight_decay": 0.0,
        "batch": 256,
        "augment": "color_crop_cutout_flip_scale_rotate",
        "reading": 0,
        "precision": 0,
    }
    assert ExpertsRequest().count == 100 and ExpertsRequest().epochs == 50
