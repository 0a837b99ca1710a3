"""What becomes of every image given: condensed, held out to select, kept for testing; all told."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

import attar
from attar.cli import run
from attar.condensing.checkpoint import compare_identity
from attar.condensing.plan import Plan
from attar.condensing.planning import make_plan
from attar.condensing.request import Request
from attar.condensing.telling import Callback
from attar.data import LabelledImages, Preprocessing, as_splits, from_tensors
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
TRAINED: dict[str, Any] = {"repeats": 1, "epochs": 1, "device": "cpu", "torch_compile": "off"}


def pair(count: int = 200, seed: int = 0) -> tuple[Tensor, Tensor]:
    """So many images of two classes, all different."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 1, 8, 8), generator=generator).to(torch.uint8)
    return images, torch.arange(count) % 2


class Watching(Callback):
    plan: Plan

    def started(self, plan: Plan, estimate: Any, step: int) -> None:
        self.plan = plan


def given(kind: str) -> Any:
    images, labels = pair()
    if kind == "dataset":
        return TensorDataset(images, labels)
    if kind == "arrays":
        return images.numpy(), labels.numpy()
    if kind == "labelled":
        return LabelledImages(images, labels, ("a", "b"), Preprocessing.none(1), "mine")
    return images, labels


@pytest.mark.parametrize("kind", ["dataset", "arrays", "labelled", "tensors"])
@pytest.mark.parametrize(("validation", "held"), [(None, 20), (0.0, 0)])
def test_data_from_python_are_taken_whole(kind: str, validation: float | None, held: int) -> None:
    seen = Watching()
    made = attar.condense(given(kind), callback=seen, validation=validation, **QUICK)
    assert len(seen.plan.train) == 200 - held
    told = made.header.parts
    assert (told["given"], told["test"], told["held_out"]) == (200, 0, held)
    assert (told["condensed"], told["test_share"]) == (200 - held, 0)
    assert "all 200 images are training images, none is held out as test" in told["note"]
    assert "test_share" not in made.header.provenance["command"]


@pytest.mark.parametrize("kind", ["dataset", "arrays", "labelled", "tensors"])
def test_a_test_part_is_cut_where_it_is_asked_for(kind: str) -> None:
    made = attar.condense(given(kind), test_share=0.25, **QUICK)
    told = made.header.parts
    assert (told["given"], told["test"], told["held_out"], told["condensed"]) == (200, 50, 16, 134)
    assert "25 % of every class is held out as test (50 of 200 images)" in told["note"]
    assert "test_share=0.25" in made.header.provenance["command"]
    # the same images are cut off again, and none of them was condensed
    assert len(attar.evaluate(made, given(kind), baselines="random", **TRAINED)) == 2
    again = as_splits(given(kind), test_share=0.25)
    assert again.test is not None
    assert not {one.numpy().tobytes() for one in again.train.images} & {
        one.numpy().tobytes() for one in again.test.images
    }


def test_experts_are_trained_on_everything_too(tmp_path: Path) -> None:
    options: dict[str, Any] = {"count": 1, "epochs": 1, "network": "convnet1:width=8"}
    store = attar.train_experts(pair(), output=tmp_path / "all", torch_compile="off", **options)
    assert store.header.provenance["images"] == 200
    store = attar.train_experts(
        pair(), output=tmp_path / "part", test_share=0.2, torch_compile="off", **options
    )
    assert store.header.provenance["images"] == 160
    assert "test_share=0.2" in store.header.provenance["command"]


@pytest.mark.parametrize("share", [-0.1, 1, 1.5, float("nan"), "0.2", True])
def test_a_share_that_cannot_be(share: Any) -> None:
    with pytest.raises(BadRequest, match=r"--test-share .*a number from 0"):
        as_splits(pair(), test_share=share)


def test_a_share_beside_a_test_part_is_refused(tmp_path: Path) -> None:
    made = from_tensors(*pair(), test=pair(20, 1))
    write_folder(tmp_path / "train", {"ant": 3, "bee": 3})
    write_folder(tmp_path / "test", {"ant": 2, "bee": 2})
    for data in (made, (pair(), pair(20, 1)), tmp_path, (made.train, made.test)):
        with pytest.raises(BadRequest, match=r"--test-share 0\.5: .* has a test part of its own"):
            as_splits(data, test_share=0.5)
        assert as_splits(data, test_share=0).test is not None


def test_data_in_one_piece_are_the_test_set_of_a_set_made_of_everything() -> None:
    made = attar.condense(pair(), **QUICK)
    said: list[str] = []

    class Lines(attar.EvaluationCallback):
        def said(self, line: str) -> None:
            said.append(line)

    (row,) = attar.evaluate(made, TensorDataset(*pair(30, 1)), callback=Lines(), **TRAINED)
    assert len(row.results) == 1
    assert "tested on 30 images of data (all 30 images are test images)" in said
    for more in ({"baselines": True}, {"ceiling": True}, {"tune": True}):
        with pytest.raises(BadRequest, match=r"needs real training images.*a pair \(train, test\)"):
            attar.evaluate(made, pair(30, 1), **TRAINED, **more)
    rows = attar.evaluate(made, (pair(), pair(30, 1)), baselines="random", **TRAINED)
    assert len(rows) == 2
    assert attar.evaluate(made, from_tensors(*pair(30, 1)), **TRAINED)
    assert attar.evaluate(made, pair(30, 1), test_share=0.5, baselines="random", **TRAINED)
    with pytest.raises(BadRequest, match="--per-class 3: takes training images"):
        attar.evaluate(made, pair(30, 1), per_class=3, **TRAINED)


@pytest.mark.parametrize("kind", ["dataset", "arrays", "labelled", "tensors"])
def test_testing_on_training_images_is_refused(kind: str) -> None:
    made = attar.condense(given(kind), **QUICK)
    with pytest.raises(BadRequest, match=r"condensed from all images of .*none of them is left"):
        attar.evaluate(made, given(kind), **TRAINED)


def test_files_that_tell_no_parts_repeat_the_cut_of_their_time() -> None:
    made = attar.condense(pair(), test_share=0.2, **QUICK)
    made.header.provenance.pop("parts")
    made.header.provenance.pop("reading")
    rows = attar.evaluate(made, pair(), baselines="random", **TRAINED)
    assert len(rows) == 2


def words(out: Path, *more: str) -> list[str]:
    options = ["--method", "dm", "--images-per-class", "1", "--network", "convnet1:width=8"]
    options += ["--iterations", "1", "--device", "cpu", "--compile", "off"]
    return [*options, *more, "-o", str(out)]


@pytest.fixture
def zoo(tmp_path: Path) -> str:
    write_folder(tmp_path / "zoo", {"ant": 100, "bee": 100}, size=(8, 8))
    return f"folder:{tmp_path / 'zoo'}"


def test_the_command_line_tells_what_it_holds_out(
    zoo: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "set.safetensors"
    assert run(["condense", zoo, *words(out)]) == 0
    shown = " ".join(capsys.readouterr().err.split())
    assert "144 images of 2 classes; 16 held out to select the iterate" in shown
    assert (
        "data: the folder has no train and test parts; 20 % of every class is held out as test "
        "(40 of 200 images); --test-share 0 condenses all"
    ) in shown
    assert run(["evaluate", str(out), "--repeats", "1", "--epochs", "1", "--device", "cpu"]) == 0
    assert "tested on 40 images of zoo" in " ".join(capsys.readouterr().err.split())
    assert run(["show", str(out)]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "144 condensed, 16 held out to select the iterate, 40 kept for testing" in told
    assert run(["evaluate", str(out), "--repeats", "1", "--test-share", "0.5"]) == 2
    assert "condensed with a test share of 0.2" in " ".join(capsys.readouterr().err.split())
    assert run(["evaluate", str(out), "--data", zoo, "--test-share", "0.5"]) == 2


def test_nothing_is_held_out_as_test_where_that_is_said(
    zoo: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "set.safetensors"
    assert run(["condense", zoo, "--test-share", "0", *words(out)]) == 0
    shown = " ".join(capsys.readouterr().err.split())
    assert "180 images of 2 classes; 20 held out to select the iterate" in shown
    assert "all 200 images are training images, none is held out as test" in shown
    assert "condenses all" not in shown
    made = attar.load(out)
    assert "--test-share 0" in made.header.provenance["command"]
    again = ["evaluate", str(out), "--repeats", "1", "--epochs", "1", "--device", "cpu"]
    assert run(again) == 2
    refused = " ".join(capsys.readouterr().err.split())
    assert "condensed from all images of folder:" in refused and "--data SOURCE" in refused
    assert run([*again, "--data", zoo]) == 2
    write_folder(tmp_path / "other", {"ant": 5, "bee": 5}, size=(8, 8))
    capsys.readouterr()
    assert run([*again, "--data", f"folder:{tmp_path / 'other'}"]) == 0
    assert "tested on 10 images of other" in " ".join(capsys.readouterr().err.split())


def test_a_source_by_name_is_read_from_python_as_on_the_command_line(zoo: str) -> None:
    assert attar.condense(zoo, **QUICK).header.parts["test"] == 40
    assert attar.condense(Path(zoo.partition(":")[2]), **QUICK).header.parts["test"] == 40
    assert attar.condense(zoo, test_share=0, **QUICK).header.parts["given"] == 200


def test_a_test_part_that_has_gone_is_not_made_up(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", {"ant": 30, "bee": 30}, size=(8, 8))
    write_folder(tmp_path / "test", {"ant": 5, "bee": 5}, size=(8, 8))
    made = attar.condense(f"folder:{tmp_path}", **QUICK)
    assert made.header.parts["test"] == 10
    (tmp_path / "test").rename(tmp_path / ".test")
    with pytest.raises(BadRequest, match="none of them is left to test on"):
        attar.evaluate(made, **TRAINED)


def test_a_slimmed_set_tells_of_the_data_of_the_first(tmp_path: Path) -> None:
    first = attar.condense(pair(), **QUICK | {"synthetic_per_class": 2})
    first.save(tmp_path / "a.safetensors")
    options = {"method": "dm", "iterations": 1, "torch_compile": "off"}
    made = attar.slim(tmp_path / "a.safetensors", ipc=1, **options)
    small = made[0] if isinstance(made, list) else made
    assert small.header.parts == first.header.parts


def test_a_resumed_run_shares_the_cut_and_what_selects() -> None:
    def identity(share: float, **options: Any) -> dict[str, Any]:
        splits = as_splits(pair(), test_share=share)
        return make_plan(Request(**QUICK | options), splits).identity

    with pytest.raises(BadRequest, match=r"another .*data"):
        compare_identity(identity(0.2), identity(0), Path("a"))
    whole = identity(0)
    assert whole["selection"]
    compare_identity(whole, identity(0), Path("a"))
    # a file of before that was told
    compare_identity({n: v for n, v in whole.items() if n != "selection"}, whole, Path("a"))


def test_npz_without_a_test_part(tmp_path: Path) -> None:
    images, labels = pair(40)
    np.savez(tmp_path / "a.npz", images=images[:, 0].numpy(), labels=labels.numpy())
    splits = as_splits(tmp_path / "a.npz")
    assert splits.test is not None and (len(splits.train), len(splits.test)) == (32, 8)
    assert as_splits(tmp_path / "a.npz", test_share=0).test is None
