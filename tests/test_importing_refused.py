"""What is not imported: code in pickles, damaged files, sets that are not what is said of them."""

import os
import pickle
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import torch

import attar
from attar.errors import BadRequest
from attar.pickled.names import names_in
from attar.pickled.reading import read_pickled
from peer_files import class_by_class, hallucinators, inputs, write_dc, write_flax, write_haba
from peer_files import write_mtt as write

KNOWN: dict[str, Any] = {"mean": 0.3, "std": 0.35}
FOUR = "a,b,c,d"


class Command:
    """A pickle of this runs a command of the shell when it is loaded carelessly."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


def zipped(path: Path, value: object) -> None:
    torch.save(value, path)


def legacy(path: Path, value: object) -> None:
    torch.save(value, path, _use_new_zipfile_serialization=False)


def plainly(path: Path, value: object) -> None:
    path.write_bytes(pickle.dumps(value))


def anciently(path: Path, value: object) -> None:
    path.write_bytes(pickle.dumps(value, protocol=0))


WRITERS = [zipped, legacy, plainly, anciently]


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("place", ["alone", "in the data", "beside the data"])
def test_code_is_refused_by_name_and_not_run(
    writer: Callable[[Path, object], None], place: str, tmp_path: Path
) -> None:
    marker, path, out = tmp_path / "ran", tmp_path / "set.pt", tmp_path / "out.safetensors"
    evil: Any = Command(marker)
    if place == "in the data":
        evil = {"data": [[evil, torch.arange(4)]]}
    elif place == "beside the data":
        evil = {"data": [[inputs(4), torch.arange(4)]], "accs_all_exps": evil}
    writer(path, evil)
    for name in ("auto", "dc", "mtt", "idc", "haba", "frepo"):
        with pytest.raises(BadRequest) as caught:
            attar.import_artefact(path, format=name, classes=4, output=out, **KNOWN)
        said = str(caught.value)
        assert str(path) in said and "posix.system" in said
        assert "never run" in said and "torch.save([images, labels]" in said
    assert not marker.exists() and not out.exists()
    # the marker would have been made
    if writer in (plainly, anciently):
        pickle.loads(path.read_bytes())
    else:
        torch.load(path, weights_only=False)
    assert marker.exists()


def test_code_in_arrays_of_objects_is_not_run(tmp_path: Path) -> None:
    marker, path = tmp_path / "ran", tmp_path / "set.npz"
    objects = np.array([Command(marker)], dtype=object)
    np.savez(path, image=objects, label=np.arange(1))
    with pytest.raises(BadRequest, match=r"plain arrays.*never run"):
        attar.import_artefact(path, classes=4)
    assert not marker.exists()


def test_code_behind_allowed_names_is_not_run(tmp_path: Path) -> None:
    # a name that is put together from two texts, as later protocols have it
    marker, path = tmp_path / "ran", tmp_path / "set.pt"
    torch.save([inputs(4), torch.arange(4)], path)
    evil = pickle.dumps([Command(marker)], protocol=4)
    with zipfile.ZipFile(path) as archive:
        kept = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in kept.items():
            archive.writestr(name, evil if name.endswith("data.pkl") else content)
    with pytest.raises(BadRequest, match=r"asks for posix\.system"):
        attar.import_artefact(path, classes=4, factor=1)
    assert not marker.exists()


def test_pickles_of_idm_name_what_they_need(tmp_path: Path) -> None:
    path = tmp_path / "acc_0.5.pkl"
    path.write_bytes(pickle.dumps((inputs(4), torch.arange(4))))
    with pytest.raises(BadRequest, match=r"asks for torch.storage._load_from_bytes, which is code"):
        attar.import_artefact(path, classes=4, **KNOWN)
    # what the message says to do
    torch.save(list(pickle.loads(path.read_bytes())), tmp_path / "set.pt")
    made = attar.import_artefact(tmp_path / "set.pt", format="dc", classes=4, **KNOWN)
    assert torch.equal(made.images, inputs(4))


def test_a_whole_module_is_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "net.pt")
    with pytest.raises(BadRequest, match=r"asks for .*torch.nn.modules.linear.Linear"):
        attar.import_artefact(tmp_path / "net.pt", classes=4)


def test_numbers_of_numpy_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "set.pt"
    torch.save({"a": np.float64(3), "b": [np.int64(2)], "c": torch.ones(2)}, path)
    assert any("numpy" in name for name in names_in(path))
    read = read_pickled(path)
    assert read["a"] is None and read["b"] == [None] and torch.equal(read["c"], torch.ones(2))


def test_a_tensor_larger_than_what_is_stored_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "set.pt"
    torch.save([torch.zeros(1, 1, 1, 1).expand(10**6, 3, 1000, 1000), torch.arange(4)], path)
    with pytest.raises(BadRequest, match="more than are stored"):
        attar.import_artefact(path, classes=4, factor=1)


@pytest.mark.parametrize("share", [0.3, 0.9, 0.99])
@pytest.mark.parametrize("old", [False, True])
def test_truncated_files(share: float, old: bool, tmp_path: Path) -> None:
    path = tmp_path / "set.pt"
    write_dc(path, [(inputs(40), class_by_class(4, 10))], legacy=old)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(BadRequest, match=r"truncated|fetch it again|no pickle"):
        attar.import_artefact(path, classes=4, **KNOWN)


@pytest.mark.parametrize("kind", ["zip", "old", "flax", "npz"])
def test_damaged_files_are_refused_or_read(kind: str, tmp_path: Path) -> None:
    path, labels = tmp_path / f"set.{'npz' if kind == 'npz' else 'pt'}", class_by_class(4, 1)
    images = inputs(4).permute(0, 2, 3, 1).contiguous().numpy()
    if kind == "npz":
        np.savez(path, image=images, label=labels)
    elif kind == "flax":
        path = tmp_path / "checkpoint_1"
        write_flax(path, {"params": {"x_proto": images, "y_proto": np.eye(4)}})
    else:
        write_dc(path, [(inputs(4), labels)], legacy=kind == "old")
    whole, draw = path.read_bytes(), random.Random(0)
    read = 0
    for _ in range(60):
        content = bytearray(whole)
        # where the structure is, rather than the values
        for _ in range(draw.choice([1, 2, 8])):
            content[draw.choice([draw.randrange(600), -draw.randrange(1, 300)])] ^= draw.randrange(
                1, 256
            )
        path.write_bytes(bytes(content))
        try:
            read += len(attar.import_artefact(path, classes=4, zca="none", **KNOWN)) > 0
        except BadRequest as error:
            assert str(error)
    assert read < 60


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "nothing that can be imported"),
        (b"\xff\xd8\xff\xe0 a picture", "nothing that can be imported"),
        (b"\x85\xa1a" + b"\xc1" * 20, "checkpoint of flax"),
        (b"\x80\x02garbage", "no pickle|cannot be read"),
        (b"PK\x03\x04garbage", "no pickle|cannot be read"),
    ],
)
def test_other_files(content: bytes, text: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(BadRequest, match=text):
        attar.import_artefact(tmp_path / "file", classes=4)


def test_artefacts_need_no_import(tmp_path: Path) -> None:
    torch.save([inputs(4), torch.arange(4)], tmp_path / "set.pt")
    out = tmp_path / "out.safetensors"
    attar.import_artefact(tmp_path / "set.pt", format="dc", classes=4, output=out, **KNOWN)
    with pytest.raises(BadRequest, match="artefacts of Attar need no import"):
        attar.import_artefact(out, classes=4)


@pytest.mark.parametrize(
    ("images", "labels", "text"),
    [
        (inputs(4)[:, 0], torch.arange(4), r"'data' is a list of \[images, labels\]"),
        (inputs(4).expand(-1, 2, -1, -1).clone(), torch.arange(4), "1 or 3 channels"),
        (inputs(4).byte(), torch.arange(4), "images are torch.uint8; floating values"),
        (inputs(4) / 0, torch.arange(4), "image 0 holds NaN or Inf"),
        (inputs(4), torch.arange(5), "4 images but labels"),
        (inputs(4), torch.arange(4) + 1, "labels run from 1 to 4; with 4 classes"),
        (inputs(4), torch.arange(4) - 1, "labels run from -1 to 2; with 4 classes"),
        (inputs(4), torch.arange(4) / 2, "whole class indices"),
        (inputs(4), torch.tensor([0, 0, 1, 1]), r"'c' has 0 image\(s\).* every class needs some"),
        (inputs(4), torch.rand(4, 5), "labels have 5 values per image, but there are 4 classes"),
        (inputs(4), torch.full((4, 4), torch.nan), "labels hold NaN"),
    ],
)
def test_sets_that_are_none(
    images: torch.Tensor, labels: torch.Tensor, text: str, tmp_path: Path
) -> None:
    out = tmp_path / "out.safetensors"
    write_dc(tmp_path / "set.pt", [(images, labels)])
    with pytest.raises(BadRequest, match=text):
        attar.import_artefact(tmp_path / "set.pt", classes=FOUR, output=out, **KNOWN)
    assert not out.exists()


def test_haba_that_does_not_fit(tmp_path: Path) -> None:
    styles = hallucinators(2, 3, 3, 8)
    files = write_haba(tmp_path, inputs(4, 3, 10), styles)
    with pytest.raises(BadRequest, match="hallucinator 0 does not fit bases"):
        attar.import_artefact(files, classes=4, zca="none", **KNOWN)
    files = write_haba(tmp_path, inputs(5, 3), styles)
    with pytest.raises(BadRequest, match="10 images are not equally many of 4 classes"):
        attar.import_artefact(files, classes=4, zca="none", **KNOWN)
    with pytest.raises(BadRequest, match="--format auto knows none"):
        attar.import_artefact(files[1], classes=4)
    with pytest.raises(BadRequest, match="--format haba needs two files"):
        attar.import_artefact(files[0], format="haba", classes=4)


def test_flax_that_does_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint_1"
    write_flax(path, {"params": {"dense": np.ones(3, np.float32)}, "step": 1})
    with pytest.raises(BadRequest, match=r"knows none of these.* flax with params, step"):
        attar.import_artefact(path, classes=4)
    packed = msgpack.ExtType(1, msgpack.packb(((4, 8, 8, 1), "float32", b"1234")))
    path.write_bytes(msgpack.packb({"params": {"x_proto": packed, "y_proto": packed}}))
    with pytest.raises(BadRequest, match=r"x_proto of shape \(4, 8, 8, 1\) has 4 bytes"):
        attar.import_artefact(path, classes=4)
    packed = msgpack.ExtType(1, msgpack.packb(((1,), "object", b"1234")))
    path.write_bytes(msgpack.packb({"params": {"x_proto": packed, "y_proto": packed}}))
    with pytest.raises(BadRequest, match="x_proto is no array of bfloat16"):
        attar.import_artefact(path, classes=4)


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (((4, 8, 8, 1), "float32", 5), "x_proto is no array of"),
        (((1,), "uint8", [300]), "x_proto is no array of"),
        (((float("inf"),), "uint8", b"1"), "x_proto is no array of"),
        (((0, 2**63), "float32", b""), r"x_proto of shape \(0, .* is empty"),
    ],
)
def test_arrays_of_flax_that_are_none(array: Any, text: str, tmp_path: Path) -> None:
    packed = msgpack.ExtType(1, msgpack.packb(array))
    path = tmp_path / "checkpoint_1"
    path.write_bytes(msgpack.packb({"params": {"x_proto": packed, "y_proto": packed}}))
    with pytest.raises(BadRequest, match=text):
        attar.import_artefact(path, classes=4, zca="none", **KNOWN)


def test_names_that_are_no_texts(tmp_path: Path) -> None:
    (tmp_path / "checkpoint_1").write_bytes(b"\x81\x91\x01\x01")
    with pytest.raises(BadRequest, match="cannot be read as a checkpoint of flax"):
        attar.import_artefact(tmp_path / "checkpoint_1", classes=4)
    files = write_haba(tmp_path, inputs(4, 3), hallucinators(1, 3, 3, 8))
    torch.save({**torch.load(files[1]), 5: torch.ones(1)}, files[1])
    with pytest.raises(BadRequest, match="hallucinator 1 of 2 lacks"):
        attar.import_artefact(files, classes=4, zca="none", **KNOWN)


def test_npz_with_other_things_in_it(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    np.savez(path, image=inputs(4).permute(0, 2, 3, 1).numpy(), label=np.eye(4))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("README.txt", "a text")
    assert len(attar.import_artefact(path, classes=4, zca="none", **KNOWN)) == 4
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (%d,), }\n" % 2**70
    with zipfile.ZipFile(path, "w") as archive:
        magic = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
        archive.writestr("image.npy", magic + header)
        archive.writestr("label.npy", magic + header)
    with pytest.raises(BadRequest, match="plain arrays"):
        attar.import_artefact(path, classes=4, zca="none", **KNOWN)


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), 0.0, -0.1])
def test_rates_that_no_training_can_have(rate: float, tmp_path: Path) -> None:
    files = write(tmp_path, inputs(4), torch.arange(4), lr=rate)
    with pytest.raises(BadRequest, match=r"lr_best.pt: the learning rate is .*above zero"):
        attar.import_artefact(files, classes=4, zca="none", **KNOWN)


def test_flax_needs_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_flax(tmp_path / "checkpoint_1", {"step": 1})
    monkeypatch.setitem(__import__("sys").modules, "msgpack", None)
    with pytest.raises(BadRequest, match=r"pip install 'attar\[flax\]'"):
        attar.import_artefact(tmp_path / "checkpoint_1", classes=4)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "do not say what their classes are"),
        ({"data_name": "cifar11"}, r"did you mean 'cifar10'"),
        ({"data_name": "tiny_imagenet"}, "has no list of classes here"),
        ({"data_name": "cifar10"}, "labels have|'.*' has 0 image"),
        ({"classes": 4}, "with which constants the pixels of imported"),
        ({"classes": 4, "zca": "zka"}, "unknown whitening"),
        ({"classes": 4, "mean": 0.5}, "both --mean and --std"),
        ({"classes": 4, "mean": (0.5, 0.5), "std": (1, 1)}, r"2 values for 1 channel"),
        ({"classes": 4, "mean": 0.5, "std": 0.0}, "must all be above zero"),
        ({"classes": "a,a,b,c", **KNOWN}, "'a' is given twice"),
        ({"classes": 100_000, **KNOWN}, r"--classes 100000: the files hold 4 image\(s\)"),
        ({"classes": 4, "factor": 9, **KNOWN}, "--factor 9"),
        ({"classes": 4, "factor": 0, **KNOWN}, "--factor 0: a whole number of at least 1"),
        ({"classes": 4, "format": "mt", **KNOWN}, "unknown format .*did you mean 'mtt'"),
        ({"classes": 4, "format": "folder", **KNOWN}, "is a file; --format folder"),
        ({"classes": 4, "output": "set.pt", **KNOWN}, "must end in .safetensors"),
        ({"data": "digits"}, "'5' has 0 image|'4' has 0 image"),
        ({"data": "digits", "classes": 3}, "labels run from 0 to 3; with 3 classes"),
    ],
)
def test_requests_that_cannot_be(options: dict[str, Any], text: str, tmp_path: Path) -> None:
    write_dc(tmp_path / "set.pt", [(inputs(4), torch.arange(4))])
    with pytest.raises(BadRequest, match=text):
        attar.import_artefact(tmp_path / "set.pt", **options)


def test_data_of_another_size(tmp_path: Path) -> None:
    write_dc(tmp_path / "set.pt", [(inputs(4, size=10), torch.arange(4))])
    with pytest.raises(BadRequest, match=r"--data: images of digits are of .* \(1, 8, 8\)"):
        attar.import_artefact(tmp_path / "set.pt", data="digits", classes=4)


def test_missing_and_too_many_files(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="no files are given"):
        attar.import_artefact([])
    with pytest.raises(BadRequest, match="no such file or folder"):
        attar.import_artefact(tmp_path / "set.pt", classes=4)
    files = write(tmp_path, inputs(4), torch.arange(4))
    with pytest.raises(BadRequest, match=r"knows none of these: .*a tensor of shape"):
        attar.import_artefact(files[0], classes=4)
    with pytest.raises(BadRequest, match="--format dc takes one file; 2 are given"):
        attar.import_artefact(files, format="dc", classes=4)
    with pytest.raises(BadRequest, match=r"0 file\(s\) of labels|of images, 0 of labels"):
        attar.import_artefact(files[0], format="mtt", classes=4)


def test_an_artefact_is_replaced_only_when_told(tmp_path: Path) -> None:
    write_dc(tmp_path / "set.pt", [(inputs(4), torch.arange(4))])
    out = tmp_path / "out.safetensors"
    out.write_text("mine")
    with pytest.raises(BadRequest, match="--overwrite replaces it"):
        attar.import_artefact(tmp_path / "set.pt", classes=4, output=out, **KNOWN)
    with pytest.raises(BadRequest, match="no such file"):
        attar.import_artefact(tmp_path / "no.pt", classes=4, output=out, overwrite=True, **KNOWN)
    assert out.read_text() == "mine"
    attar.import_artefact(tmp_path / "set.pt", classes=4, output=out, overwrite=True, **KNOWN)
    assert len(attar.load(out)) == 4 and not list(tmp_path.glob(".*"))


def test_what_a_run_left_is_not_taken_for_the_imported_set(tmp_path: Path) -> None:
    write_dc(tmp_path / "set.pt", [(inputs(4), torch.arange(4))])
    out = tmp_path / "out.safetensors"
    log, unfinished = out.with_suffix(".log.jsonl"), out.with_suffix(".checkpoint.safetensors")
    log.write_text('{"step": 1, "validation": 50.0}\n')
    unfinished.write_text("a run")
    given: dict[str, Any] = {"classes": 4, "output": out, **KNOWN}
    with pytest.raises(BadRequest, match=r"unfinished run is already there; --overwrite"):
        attar.import_artefact(tmp_path / "set.pt", **given)
    assert log.exists() and unfinished.exists() and not out.exists()
    attar.import_artefact(tmp_path / "set.pt", overwrite=True, **given)
    assert out.exists() and not log.exists() and not unfinished.exists()
