from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

import attar
from attar.condensing.planning import make_plan
from attar.condensing.request import Request
from attar.data import LabelledImages, as_splits, from_dataset, from_tensors, load_source
from attar.data.subsets import classes_text, wanted_subset
from attar.errors import BadRequest
from attar.evaluation.real import read_splits
from pictures import write_folder

NAMES = ("ant", "bee", "cat, wild", "dog")
IMAGES = torch.arange(40, dtype=torch.uint8).view(40, 1, 1, 1).expand(40, 1, 2, 2).contiguous()
LABELS = torch.arange(40) % 4


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, None),
        (3, (0, 1, 2)),
        ("3", (0, 1, 2)),
        (" 2 ", (0, 1)),
        ("dog,ant", (3, 0)),
        ("dog, bee", (3, 1)),
        ("3,0", (3, 0)),
        ("dog,0", (3, 0)),
        ('"cat, wild",ant', (2, 0)),
        (["cat, wild", 0], (2, 0)),
        ((1, 3), (1, 3)),
    ],
)
def test_classes_by_number_name_or_index(given: Any, expected: tuple[int, ...] | None) -> None:
    assert wanted_subset(given).positions(NAMES, "zoo") == expected
    again = wanted_subset(None if given is None else classes_text(given))
    assert again.positions(NAMES, "zoo") == expected


def test_where_names_are_numbers_they_are_no_indices() -> None:
    names = ("10", "20", "1")
    assert wanted_subset("1,10").positions(names, "zoo") == (2, 0)
    assert wanted_subset(2).positions(names, "zoo") == (0, 1)
    with pytest.raises(BadRequest, match=r"unknown class \(--classes\) '0'"):
        wanted_subset("0,1").positions(names, "zoo")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"classes": 0}, "--classes 0: a number alone takes the first classes, at least 1"),
        ({"classes": 5}, "zoo has 4 classes"),
        ({"classes": True}, "--classes True: give a number"),
        ({"classes": 2.5}, "give a number"),
        ({"classes": [1.5, 2]}, "give a number"),
        ({"classes": ""}, "--classes '': names of classes are needed"),
        ({"classes": "ant,"}, "names of classes are needed"),
        ({"classes": []}, "names of classes are needed"),
        ({"classes": "ant,cow"}, r"unknown class .* 'cow'"),
        ({"classes": "ant,bea"}, "did you mean 'bee'"),
        ({"classes": "ant,4"}, "unknown class"),
        ({"classes": "ant,-1"}, "unknown class"),
        ({"classes": "ant,bee,ant"}, "class 'ant' is given twice"),
        ({"classes": "ant,0"}, "class 'ant' is given twice"),
        ({"per_class": 0}, "--per-class 0: a whole number of at least 1"),
        ({"per_class": True}, "--per-class True"),
        ({"per_class": 2.0}, r"--per-class 2\.0"),
    ],
)
def test_refusals(options: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        from_tensors(IMAGES, LABELS, NAMES, name="zoo", **options)


def pixels(data: LabelledImages) -> list[int]:
    return data.images[:, 0, 0, 0].tolist()


def test_order_labels_and_test_part_follow_the_classes() -> None:
    splits = from_tensors(IMAGES, LABELS, NAMES, (IMAGES, LABELS), classes="dog,ant")
    assert splits.train.class_names == splits.test.class_names == ("dog", "ant")
    for part in (splits.train, splits.test):
        for value, label in zip(pixels(part), part.labels.tolist(), strict=True):
            assert value % 4 == (3, 0)[label]
    assert len(splits.train) == len(splits.test) == 20
    assert "2 classes only (20 of 40 images)" in splits.note


def test_a_sample_is_the_same_whatever_else_is_chosen() -> None:
    whole = from_tensors(IMAGES, LABELS, NAMES, per_class=3, test_share=0.2)
    some = from_tensors(IMAGES, LABELS, NAMES, per_class=3, classes="dog,bee", test_share=0.2)
    assert [len(own) for own in whole.train.indices_of_class] == [3] * 4
    assert {v for v in pixels(whole.train) if v % 4 in (1, 3)} == set(pixels(some.train))
    # the test part keeps all images of the classes, the same ones as without a sample
    every = from_tensors(IMAGES, LABELS, NAMES, test_share=0.2)
    assert pixels(whole.test) == pixels(every.test)
    assert {v for v in pixels(every.test) if v % 4 in (1, 3)} == set(pixels(some.test))
    assert not set(pixels(whole.train)) & set(pixels(whole.test))
    assert "at most 3 training images of a class, drawn once (12 of 32)" in whole.note
    assert "2 classes only (20 of 40 images)" in some.note


def test_more_than_there_are_takes_all() -> None:
    splits = from_tensors(IMAGES, LABELS, NAMES, per_class=10**12)
    assert len(splits.train) == 40


def test_statistics_come_from_the_slice() -> None:
    splits = from_tensors(
        IMAGES, LABELS, NAMES, (IMAGES, LABELS), classes=2, per_class=4, zca="mtt"
    )
    assert splits.train.preprocessing.whitening is not None
    plain = from_tensors(IMAGES, LABELS, NAMES, (IMAGES, LABELS), classes=2, per_class=4)
    mean = sum(pixels(plain.train)) / 8 / 255
    assert plain.train.preprocessing.mean[0] == pytest.approx(mean, rel=1e-5)


def test_classes_outside_the_slice_may_be_small() -> None:
    labels = LABELS.clone()
    labels[labels == 1] = 0
    labels[0] = 1
    with pytest.raises(BadRequest, match="class 'bee' has one image"):
        from_tensors(IMAGES, labels, NAMES, test_share=0.2)
    assert from_tensors(IMAGES, labels, NAMES).train.classes == 4
    part = from_tensors(IMAGES, labels, NAMES, classes="ant,dog", test_share=0.2)
    assert part.train.classes == 2
    assert from_tensors(IMAGES, LABELS * 5, classes="5,15").train.class_names == ("5", "15")
    with pytest.raises(BadRequest, match="class '6' has no images"):
        from_tensors(IMAGES, LABELS * 5, classes="5,6", test_share=0.2)
    with pytest.raises(BadRequest, match="no images of class 1"):
        from_tensors(IMAGES, LABELS * 5, classes="5,6")
    with pytest.raises(BadRequest, match="the test part has no images of the classes bee, dog"):
        from_tensors(IMAGES, LABELS, NAMES, (IMAGES, LABELS * 0), classes="bee,dog")
    with pytest.raises(BadRequest, match="labels run from 0 to 12"):
        from_tensors(IMAGES, LABELS * 4, NAMES, (IMAGES, LABELS), classes="ant,bee")


def test_every_kind_of_data_takes_a_slice(tmp_path: Path) -> None:
    write_folder(tmp_path / "zoo", {"ant": 6, "bee": 6, "cow": 6})
    np.savez(tmp_path / "a.npz", images=IMAGES[:, 0].numpy(), labels=LABELS.numpy())
    dataset = TensorDataset(IMAGES, LABELS)
    for data in ("digits", tmp_path / "zoo", tmp_path / "a.npz", dataset, (IMAGES, LABELS)):
        wanted = [2, 0] if data != tmp_path / "zoo" else "cow,ant"
        splits = as_splits(data, classes=wanted, test_share=0.2)
        assert splits.train.classes == splits.test.classes == 2
        assert splits.train.class_names in (("2", "0"), ("cow", "ant"))
        splits = as_splits(data, classes=2, per_class=2)
        assert len(splits.train) == 4
    assert (
        from_dataset(dataset, class_names=NAMES, classes="bee,dog", per_class=1).train.classes == 2
    )
    made = from_tensors(IMAGES, LABELS)
    for late in ({"classes": 2}, {"per_class": 2}):
        with pytest.raises(BadRequest, match=r"already has its size.*classes, per_class, "):
            as_splits(made, **late)


def test_named_data_sets_keep_their_constants(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from test_data_sources import fake_torchvision

    fake_torchvision(monkeypatch, "CIFAR10")
    splits = load_source("cifar10", data_dir=tmp_path, classes="class 3,class 5", per_class=2)
    assert splits.train.class_names == ("class 3", "class 5")
    assert splits.train.preprocessing.mean == (0.4914, 0.4822, 0.4465)
    small = load_source("cifar10", data_dir=tmp_path, classes="3,5", per_class=2, resize=8)
    assert small.train.class_names == ("class 3", "class 5")
    assert "2 classes only" in small.note and "resized to 8×8" in small.note


def test_only_the_slice_of_a_folder_is_read(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", {"ant": 40, "bee": 40, "cow": 2})
    write_folder(tmp_path / "test", {"ant": 1, "bee": 1, "cow": 1})
    source = f"folder:{tmp_path}"
    first = load_source(source, classes="bee,ant", per_class=3)
    assert [len(own) for own in first.train.indices_of_class] == [3, 3]
    files = sorted((tmp_path / "train").rglob("*.png"))
    taken = {one.numpy().tobytes() for one in first.train.images}
    from PIL import Image

    for path in files:
        with Image.open(path) as image:
            if np.asarray(image).transpose(2, 0, 1).tobytes() not in taken:
                path.write_bytes(b"never looked at")
    again = load_source(source, classes="bee,ant", per_class=3)
    assert torch.equal(first.train.images, again.train.images)
    with pytest.raises(BadRequest, match="test part has no images of the classes ant, bee"):
        (tmp_path / "test/ant/00.png").unlink()
        (tmp_path / "test/bee/00.png").unlink()
        load_source(source, classes="ant,bee")


def test_the_command_repeats_the_slice() -> None:
    reading = {"classes": ["cat, wild", "dog"], "per_class": 5, "resize": None, "data_dir": None}
    splits = from_tensors(IMAGES, LABELS, NAMES, classes=reading["classes"], per_class=5)
    made = make_plan(Request(ipc=1, method="random", network="convnet1:width=8"), splits, reading)
    assert made.command == (
        "attar.condense(data, method='random', ipc=1, network='convnet1:width=8', "
        "classes=['cat, wild', 'dog'], per_class=5)"
    )
    import dataclasses

    named = dataclasses.replace(made, source="npz:zoo.npz")
    assert """--classes '"cat, wild",dog' --per-class 5 -o""" in named.command


def test_evaluation_repeats_the_slice_of_the_artefact() -> None:
    options: dict[str, Any] = {"classes": "3,7", "per_class": 20}
    made = attar.condense(
        "digits", method="random", synthetic_per_class=1, network="convnet1:width=8", **options
    )
    assert made.header.class_names == ["3", "7"]
    assert made.header.provenance["reading"] == options
    assert "--classes 3,7 --per-class 20" in made.header.provenance["command"]
    splits = read_splits(made, None)
    assert splits.train.class_names == ("3", "7")
    assert len(splits.train) == 40
    assert len(read_splits(made, None, per_class=9).train) == 18
    with pytest.raises(BadRequest, match="--classes"):
        read_splits(made, "digits")
    assert read_splits(made, "digits", classes="3,7").test.classes == 2
    rows = attar.evaluate(made, repeats=1, epochs=1, baselines=True)
    assert len(rows) == 3


def test_the_command_line_takes_a_slice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from attar.cli import run

    path = tmp_path / "set.safetensors"
    words = ["condense", "digits", "--method", "random", "--images-per-class", "1"]
    words += ["--network", "convnet1:width=8", "-o", str(path)]
    assert run([*words, "--classes", "1,1"]) == 2
    assert "given twice" in capsys.readouterr().err
    assert run([*words, "--classes", "3", "--per-class", "9"]) == 0
    assert attar.load(path).header.class_names == ["0", "1", "2"]
    brief = ["--repeats", "1", "--epochs", "1"]
    assert run(["evaluate", str(path), *brief]) == 0
    assert run(["evaluate", str(path), *brief, "--data", "digits", "--classes", "0,1,2"]) == 0
    assert run(["evaluate", str(path), *brief, "--classes", "0,1"]) == 2
