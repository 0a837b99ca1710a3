"""Folders called as parts are parts, in any case; where they could be classes, both are named."""

from pathlib import Path
from typing import Any

import pytest

import attar
from attar.cli import run
from attar.condensing.planning import make_plan
from attar.condensing.request import Request
from attar.data import load_source
from attar.data.part_folders import find_parts
from attar.errors import BadRequest
from pictures import write_folder

QUICK: dict[str, Any] = {
    "method": "dm",
    "synthetic_per_class": 1,
    "network": "convnet1:width=8",
    "iterations": 1,
    "validations": 1,
    "device": "cpu",
    "torch_compile": "off",
}


def made(root: Path, *parts: str, count: int = 4) -> Path:
    for part in parts:
        write_folder(root / part, {"ant": count, "bee": count}, size=(8, 8))
    return root


@pytest.mark.parametrize(
    ("names", "train", "test", "validation"),
    [
        (("Training", "Testing"), "Training", "Testing", None),
        (("TRAIN", "TEST"), "TRAIN", "TEST", None),
        (("Train", "Val"), "Train", "Val", None),
        (("train", "valid", "test"), "train", "test", "valid"),
        (("train", "val", "test"), "train", "test", "val"),
        (("training_set", "test_set"), "training_set", "test_set", None),
        (("train", "dev"), "train", "dev", None),
        (("train", "validation"), "train", "validation", None),
        (("Train",), "Train", None, None),
    ],
)
def test_parts_by_name(
    tmp_path: Path,
    names: tuple[str, ...],
    train: str,
    test: str | None,
    validation: str | None,
) -> None:
    found = find_parts(made(tmp_path, *names))
    assert found.train.name == train
    assert (found.test and found.test.name) == test
    assert (found.validation and found.validation.name) == validation
    assert all(name in found.note for name in names)
    splits = load_source(f"folder:{tmp_path}")
    assert splits.train.class_names == ("ant", "bee")
    assert splits.test is not None
    assert (splits.validation is None) == (validation is None)


@pytest.mark.parametrize("second", ["train", "training", "TRAIN"])
def test_two_folders_for_one_part_are_refused(tmp_path: Path, second: str) -> None:
    made(tmp_path, "Train", second, "test")
    with pytest.raises(BadRequest, match=f"(Train and {second}|{second} and Train), which both"):
        load_source(f"folder:{tmp_path}")


def test_parts_beside_other_folders_are_refused_with_both_readings(tmp_path: Path) -> None:
    made(tmp_path, "train", "extra")
    with pytest.raises(BadRequest, match="in two ways: with train as parts, or as classes toget"):
        load_source(f"folder:{tmp_path}")
    # as the refusal says: one part alone, or all as classes below train
    assert load_source(f"folder:{tmp_path / 'train'}").train.class_names == ("ant", "bee")
    (tmp_path / "all").mkdir()
    for name in ("train", "extra"):
        (tmp_path / "all" / "train").mkdir(exist_ok=True)
        (tmp_path / name).rename(tmp_path / "all" / "train" / name)
    splits = load_source(f"folder:{tmp_path / 'all'}")
    assert splits.train.class_names == ("extra", "train")


def test_a_test_folder_among_classes_is_refused(tmp_path: Path) -> None:
    write_folder(tmp_path, {"ant": 4, "bee": 4})
    made(tmp_path, "Test")
    with pytest.raises(
        BadRequest, match=r"two ways: with Test as parts, or as classes .* ant, bee"
    ):
        load_source(f"folder:{tmp_path}")


def test_classes_that_are_called_as_parts(tmp_path: Path) -> None:
    write_folder(tmp_path, {"train": 5, "plane": 5})
    assert load_source(f"folder:{tmp_path}").train.class_names == ("plane", "train")


def test_folders_that_are_clearly_beside_the_parts_are_told(tmp_path: Path) -> None:
    made(tmp_path, "train", "test")
    (tmp_path / "notes").mkdir()
    assert "not read: notes" in load_source(f"folder:{tmp_path}").note
    (tmp_path / "notes" / "a.png").write_bytes(b"")
    splits = load_source(f"folder:{tmp_path}")
    assert "not read: notes" in splits.note and splits.train.class_names == ("ant", "bee")


def test_names_that_speak_of_parts_are_refused(tmp_path: Path) -> None:
    made(tmp_path, "seg_train", "seg_test")
    with pytest.raises(BadRequest, match=r"two ways: with seg_train and seg_test.*call them train"):
        load_source(f"folder:{tmp_path}")
    write_folder(tmp_path / "zoo", {"train station": 5, "test tube": 5})
    assert load_source(f"folder:{tmp_path / 'zoo'}").train.classes == 2


def test_parts_below_classes_are_refused(tmp_path: Path) -> None:
    for name in ("ant", "bee"):
        write_folder(tmp_path / name, {"Train": 3, "Test": 3})
    with pytest.raises(
        BadRequest, match=r"ant/Train and ant/Test; give folder:\S+ant where.*put the"
    ):
        load_source(f"folder:{tmp_path}")


def test_a_validation_part_selects_the_iterate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made(tmp_path / "zoo", "train", "val", "test", count=30)
    source, out = f"folder:{tmp_path / 'zoo'}", tmp_path / "set.safetensors"
    words = ["condense", source, "--method", "dm", "--images-per-class", "1", "--compile", "off"]
    words += ["--network", "convnet1:width=8", "--iterations", "1", "--device", "cpu"]
    assert run([*words, "-o", str(out)]) == 0
    shown = " ".join(capsys.readouterr().err.split())
    assert "60 images of 2 classes; 60 validation images select the iterate" in shown
    assert "train, test and val (as validation); 60 training, 60 test, 60 validation" in shown
    told = attar.load(out).header.parts
    assert (told["condensed"], told["validation"], told["held_out"]) == (60, 60, 0)
    assert attar.load(out).header.validation is not None
    brief = ["--repeats", "1", "--epochs", "1", "--device", "cpu"]
    assert run(["evaluate", str(out), *brief]) == 0
    assert "tested on 60 images" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(("share", "condensed", "held"), [(0.0, 60, 0), (0.1, 54, 6)])
def test_a_share_that_is_asked_for_goes_before_the_validation_part(
    tmp_path: Path, share: float, condensed: int, held: int
) -> None:
    splits = load_source(f"folder:{made(tmp_path, 'train', 'val', 'test', count=30)}")
    plan = make_plan(Request(**QUICK, validation=share), splits)
    told = plan.parts
    assert (told["condensed"], told["held_out"], told["validation"]) == (condensed, held, 0)
    assert f"the 60 validation images are not used (--validation {share:g})" in told["note"]


def test_what_selects_is_part_of_the_identity(tmp_path: Path) -> None:
    source = f"folder:{made(tmp_path, 'train', 'val', 'test', count=20)}"
    one = make_plan(Request(**QUICK), load_source(source)).identity
    write_folder(tmp_path / "val", {"ant": 20, "bee": 20}, size=(8, 8), mode="L")
    other = make_plan(Request(**QUICK), load_source(source)).identity
    assert one["data"] == other["data"]
    assert one["selection"] != other["selection"]
