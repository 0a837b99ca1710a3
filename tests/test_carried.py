"""Sets that carry the network which labels what is made of their images."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import attar
from attar.applications.continual.checking import able, check_method
from attar.applications.continual.memory import parse_memory
from attar.applications.continual.request import Condensing
from attar.artefact.carried import Carried, network_storage
from attar.condensing.planning import make_plan
from attar.condensing.request import Request
from attar.data import Splits
from attar.errors import ArtefactError, AttarError, BadRequest
from attar.face.files import labels_of
from attar.networks import Network, make_for, names
from attar.rng import Key
from attar.stored import open_stored
from attar.teachers.carried import carried_by, teacher_inside
from attar.teachers.file import save_teacher
from attar.teachers.teacher import PREFIX, Rescaling, Teacher, tensors_of
from attar.tensors import save_tensors
from catalogue import COMPUTE, NETWORK, tiny_data

TEACHER = "convnet2:norm=batch,width=4"
OPTIONS: dict[str, Any] = {
    "method": "kd",
    "teacher": TEACHER,
    "storage": "png:together=set",
    "network": NETWORK,
    "settings": {"epochs": 2},
    "device": "cpu",
    "torch_compile": "off",
}


ASKED: dict[str, Any] = {**OPTIONS, "max_bytes": 6_000, "teacher_storage": "int8"}


def data() -> Splits:
    return Splits(tiny_data(), tiny_data(seed=1), source="tiny")


@pytest.fixture(scope="module")
def made() -> attar.Artefact:
    return attar.condense(data(), max_bytes=6_000, **OPTIONS)


def images() -> Tensor:
    return tiny_data(seed=3).take(torch.arange(6))


def inside(artefact: attar.Artefact) -> Teacher:
    found = teacher_inside(artefact, COMPUTE)
    assert found is not None
    return found


def test_its_bytes_are_within_the_budget(made: attar.Artefact, tmp_path: Path) -> None:
    assert made.carried is not None
    path = tmp_path / "set.safetensors"
    made.save(path)
    with open_stored(path) as stored:
        held = {name: one.numel() * one.element_size() for name, one in stored.all().items()}
    assert sum(held.values()) == made.nbytes == made.ledger.paper <= 6_000
    own = sum(size for name, size in held.items() if name.startswith("teacher."))
    assert own == made.carried.nbytes == made.ledger.carried > 0
    # all that has to travel, with the teacher once
    assert labels_of(made)["all_bytes_with_teacher"] == made.nbytes
    # a further image of each class would not fit, but for what zlib saved of the network
    plan = make_plan(Request(max_bytes=6_000, **OPTIONS), data())
    assert plan.ledger.all <= 6_000
    assert plan.ledger.carried >= own
    assert plan.layout.rows == len(made)


def test_it_comes_back_from_its_file_as_it_went_in(made: attar.Artefact, tmp_path: Path) -> None:
    made.save(tmp_path / "set.safetensors")
    again = attar.load(tmp_path / "set.safetensors")
    assert again.header == made.header
    assert torch.equal(again.images, made.images)
    before, after = inside(made), inside(again)
    assert before.network.name == after.network.name == TEACHER
    assert before.digest == after.digest
    assert torch.equal(before.scores(images()), after.scores(images()))


@pytest.mark.parametrize(("storage", "largest"), [("int8", 127), ("int4", 7)])
def test_matrices_are_rounded_by_row_and_vectors_are_float16(storage: str, largest: int) -> None:
    network = make_for(TEACHER, (3, 8, 8), 4)
    values = {n.removeprefix(PREFIX): one for n, one in tensors_of(network.draw(Key(2))).items()}
    found = Carried.of(network.name, values, storage).tensors()
    whole = {name for name, one in values.items() if not one.is_floating_point()}
    assert found.keys() == values.keys() - whole
    for name, kept in found.items():
        given = values[name].double()
        if given.ndim < 2:
            assert torch.equal(kept.double(), given.half().double())
            continue
        for row, was in zip(kept.double(), given, strict=True):
            # a scale is a float16, and no clipping costs less than rounding beyond it
            step = was.abs().max() / largest
            assert float((row - was).abs().max()) <= step * (8 if largest < 100 else 2)
            assert len(row.unique()) <= 2 * largest + 1


def test_networks_learn_from_what_it_says(made: attar.Artefact, tmp_path: Path) -> None:
    """As they do from the same network in a file of its own, which is given by name."""
    held, alone = (
        data(),
        attar.condense(
            data(),
            **{**OPTIONS, "teacher_storage": "none"},
            synthetic_per_class=made.header.images_per_class,
        ),
    )
    assert alone.carried is None
    assert torch.equal(alone.images, made.images)
    path = tmp_path / "own.teacher.safetensors"
    save_teacher(path, inside(made), held.train)
    asked: dict[str, Any] = {"repeats": 1, "updates": 4, "device": "cpu", "torch_compile": "off"}
    own, hard = attar.evaluate(made, held, **asked)
    assert (own.labels, hard.labels) == ("taught", "hard")
    assert own.bytes == hard.bytes == made.nbytes
    assert hard.name == f"{own.name}, hard labels"
    assert f"labels by {TEACHER} in the set" in own.note
    # what chose the images has the values of before they were rounded
    with pytest.warns(UserWarning, match="come from another teacher"):
        plain, taught = attar.evaluate(alone, held, teacher=str(path), **asked)
    assert own.results[0].accuracies == taught.results[0].accuracies
    assert hard.results[0].accuracies == plain.results[0].accuracies


def test_a_loop_of_ones_own_has_it_as_a_module(made: attar.Artefact, tmp_path: Path) -> None:
    made.save(tmp_path / "set.safetensors")
    module = attar.teacher_of(tmp_path / "set.safetensors", device="cpu")
    assert not module.training
    assert torch.allclose(module(images()), inside(made).scores(images()), atol=1e-5)
    plain = attar.condense(data(), method="random", synthetic_per_class=1, device="cpu")
    with pytest.raises(BadRequest, match="carries no network"):
        attar.teacher_of(plain)


def test_other_cards_learn_from_classes(made: attar.Artefact) -> None:
    asked: dict[str, Any] = {"repeats": 1, "updates": 1, "device": "cpu", "torch_compile": "off"}
    (row,) = attar.evaluate(made, data(), card="dsa-1000", **asked)
    assert row.labels == "own"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "dm", "storage": None, "teacher": None, "settings": ()}, "no real images by a"),
        ({"method": "random", "teacher": None, "settings": ()}, "chooses no real images"),
        ({"teacher_storage": "png"}, "int8, int4, float16, bfloat16, float32, without a rate"),
        ({"teacher_storage": "int4:rate=2"}, "without a rate"),
        ({"teacher_storage": "int5"}, "value of --teacher-storage"),
        ({"max_bytes": 300}, r"for the network that the set carries \(--teacher names"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        attar.condense(
            data(), **{"max_bytes": 6_000, "teacher_storage": "int8"} | OPTIONS | options
        )


def test_own_modules_and_other_pixels_are_refused() -> None:
    network = make_for(TEACHER, (3, 8, 8), 4)
    teacher = Teacher(network, COMPUTE, tensors_of(network.draw(Key(0)).eval()))
    with pytest.raises(BadRequest, match="pixels normalized otherwise"):
        carried_by(dataclasses.replace(teacher, rescaling=Rescaling((1,) * 3, (0,) * 3)), "int8")
    broken = {
        name: one * float("nan") if one.is_floating_point() else one
        for name, one in teacher.tensors.items()
    }
    with pytest.raises(BadRequest, match="no numbers"):
        carried_by(dataclasses.replace(teacher, tensors=broken), "float16")


@pytest.mark.parametrize("option", ["scores", "tune"])
def test_what_compares_by_classes_is_refused(made: attar.Artefact, option: str) -> None:
    with pytest.raises(BadRequest, match=f"--{option}: .* which the set carries"):
        attar.evaluate(made, data(), repeats=1, **{option: True})


def test_what_would_lose_it_is_refused(made: attar.Artefact) -> None:
    with pytest.raises(BadRequest, match="slim: the set carries"):
        attar.slim(made, 1, random=True)
    with pytest.raises(BadRequest, match="merge: the set carries"):
        attar.merge(made, made, shared="join")
    with pytest.raises(BadRequest, match="of_classes"):
        made.of_classes(made.classes[:1])


def test_exported_pictures_come_without_it(made: attar.Artefact, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=f"{TEACHER}, which labels .* stays in its file"):
        attar.export(made, npz=tmp_path / "set.npz")


def test_shared_and_relabelled_sets_keep_it(made: attar.Artefact, tmp_path: Path) -> None:
    held = data()
    labelled = attar.relabel(made, held, labels="int8", epochs=1, device="cpu")
    shared = attar.artefact.artefact.Artefact(
        made.header, made.synthetic, made.preprocessing, coded=made.coded, carried=made.carried
    )
    for one in (labelled, shared):
        one.save(tmp_path / "again.safetensors")
        again = attar.load(tmp_path / "again.safetensors")
        assert inside(again).digest == inside(made).digest


def forged(made: attar.Artefact, path: Path, **changes: Any) -> Path:
    """Write the set with other words about its network, or with other values."""
    header = made.header.model_dump(mode="json")
    header.pop("learned")
    tensors = {**made.coded, **made.beside}
    tensors |= changes.pop("tensors", {})
    header["teacher"] = {**header["teacher"], **changes}
    save_tensors(path, tensors, header)
    return path


def test_a_file_that_lies_about_it_is_refused(made: attar.Artefact, tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    other = attar.load(forged(made, path, network="convnet2:norm=batch,width=5"))
    with pytest.raises(ArtefactError, match="does not carry the weights"):
        teacher_inside(other, COMPUTE)
    shapes = made.header.teacher.shapes if made.header.teacher else {}
    first = next(name for name, shape in shapes.items() if len(shape) > 1)
    for told, said in (
        ({first: [10**6, 10**6]}, "more than the file holds"),
        ({first: [1, 1]}, "damaged|its header says"),
        ({"more": [4, 4]}, "missing or do not belong"),
        ({first: [0, 3]}, "positive sides"),
    ):
        with pytest.raises(ArtefactError, match=said):
            attar.load(forged(made, path, shapes={**shapes, **told}))
    with pytest.raises(ArtefactError, match="teacher"):
        attar.load(forged(made, path, storage="webp"))
    scales = f"teacher.{first}:scales"
    broken = {scales: made.beside[scales] * -1}
    with pytest.raises(ArtefactError, match="are damaged"):
        attar.load(forged(made, path, tensors=broken))


@pytest.mark.parametrize("name", ["convnet2:width=8192", "timm:vit_giant_patch14_224"])
def test_no_weights_are_drawn_for_a_name_that_lies(
    made: attar.Artefact, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name.startswith("timm:"):
        pytest.importorskip("timm")
    path = forged(made, tmp_path / "set.safetensors", network=name)
    other = attar.load(path)

    def drawn(*_: object) -> None:
        raise AssertionError("weights were drawn")

    monkeypatch.setattr(names, "make", drawn)
    monkeypatch.setattr(Network, "draw", drawn)
    with pytest.raises(AttarError, match=r"not carry the weights|of memory|install a newer timm"):
        teacher_inside(other, COMPUTE)


def test_storages_of_networks() -> None:
    assert network_storage("int8").name == "int8"
    with pytest.raises(BadRequest, match="--teacher-storage"):
        network_storage("auto")


def test_memories_of_several_sets_have_none() -> None:
    memory = parse_memory("60kB/class")
    asked = Condensing().of(memory, 10, None, None)
    assert (asked.chosen.name, asked.teacher_storage) == ("best", "none")
    given = Condensing(method="kd")
    assert given.of(memory, 10, None, None).teacher_storage is None
    for one, option in (
        (given, "--method kd"),
        (Condensing(method="confident", teacher_storage="int8"), "--teacher-storage int8"),
        (Condensing(teacher_storage="int4"), "--teacher-storage int4"),
    ):
        with pytest.raises(BadRequest, match=f"^{option}: .* choose --method confident"):
            check_method(one, "steps", alone=False)
    check_method(Condensing(method="kd", teacher_storage="none"), "steps", alone=False)
    assert "kd" not in able(alone=False)


def test_a_teacher_from_disk_travels_too(made: attar.Artefact, tmp_path: Path) -> None:
    held, path = data(), tmp_path / "own.teacher.safetensors"
    save_teacher(path, inside(made), held.train)
    again = attar.condense(held, **{**ASKED, "teacher": str(path), "settings": ()})
    # values on a grid stay on it
    assert torch.equal(inside(again).scores(images()), inside(made).scores(images()))
