"""Smaller sets read out of the file of a larger one, and only their bytes."""

import dataclasses
import io
import json
import math
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import attar
from attar.artefact.artefact import Artefact, last_iterate_path
from attar.artefact.header import READ_FROM, Header
from attar.artefact.loading import ipc_of_part, load
from attar.checksums import BLOCK_BYTES
from attar.cli import run
from attar.data import Preprocessing, fit_whitening
from attar.errors import ArtefactError, BadRequest
from attar.evaluation.record import digest, evaluation_path, read_record
from attar.rng import Key
from attar.stored import open_stored
from attar.synthetic import (
    STORAGE_TYPES,
    LowRank,
    OrderedSVD,
    Parametrization,
    Pixels,
    Synthetic,
    Tiled,
)
from attar.synthetic.forms.orthogonal import orthogonal_factor, smaller
from attar.tensors import read_tensors, save_tensors
from forging import forged, parts_of
from references import smaller as reference

CLASSES, COUNT, SHAPE = 3, 6, (2, 6, 5)
MEAN, STD = (0.4, 0.6), (0.25, 0.5)
ORDERED = {
    "shared": OrderedSVD(),
    "own": OrderedSVD(share="class"),
    "fewer components": OrderedSVD(components=4),
    "low rank": LowRank(2, OrderedSVD()),
}
QUICK = ("--repeats", "1", "--epochs", "1", "--networks", "convnet2:width=8")


def make(
    form: Parametrization,
    *,
    count: int = COUNT,
    shape: tuple[int, int, int] = SHAPE,
    storage: str = "float32",
    labels: bool = True,
    zca: str = "none",
    classes: int = CLASSES,
    **fields: Any,
) -> Artefact:
    """Random images, brought into the order in which they are kept."""
    header = Header.model_validate(
        {
            "class_names": [f"class {k}" for k in range(classes)],
            "shape": shape,
            "images_per_class": count,
            "parametrization": form.describe(),
            "learned_labels": labels,
            "storage": storage,
            "mean": MEAN[: shape[0]],
            "std": STD[: shape[0]],
            "zca": zca,
            "method": "slimmable",
            "validation": 50.0,
            **fields,
        }
    )
    synthetic = Synthetic(header.layout, form, labels)
    for number, tensor in enumerate(synthetic.parameters()):
        generator = Key(0).fold(number).generator()
        tensor.data.copy_(torch.randn(tensor.shape, generator=generator))
    synthetic.settle()
    for tensor in synthetic.parameters():
        tensor.data.copy_(tensor.to(STORAGE_TYPES[storage]).float())
    pixels = torch.rand(9, *shape, generator=Key(1).generator())
    whitening = None if zca == "none" else fit_whitening(zca, pixels)
    preprocessing = Preprocessing(tuple(header.mean), tuple(header.std), whitening)
    return Artefact(header, synthetic.requires_grad_(False), preprocessing)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "set.safetensors"


class Counting(io.FileIO):
    """A file that counts the bytes read from it."""

    total = 0

    def readinto(self, buffer: Any) -> int | None:
        found = super().readinto(buffer)
        Counting.total += found or 0
        return found


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], int]]:
    """Count what is read of artefacts."""

    def opened(path: Path, mode: str = "r", **options: Any) -> Any:
        if path.suffix == ".safetensors":
            assert mode == "rb"
            return Counting(path)
        return original(path, mode, **options)

    original = Path.open
    monkeypatch.setattr(Path, "open", opened)
    Counting.total = 0
    yield lambda: Counting.total


def sizes(path: Path) -> tuple[int, dict[str, int]]:
    """Return the bytes of the header, and of each tensor."""
    with open(path, "rb") as file:  # noqa: PTH123 - not counted
        content = file.read()
    size = 8 + struct.unpack("<Q", content[:8])[0]
    table = json.loads(content[8:size])
    del table["__metadata__"]
    offsets = {name: row["data_offsets"] for name, row in table.items()}
    return size, {name: end - begin for name, (begin, end) in offsets.items()}


# what the first k components make


def random_group(n: int, b: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = Key(seed).generator()
    mixing = orthogonal_factor(torch.randn(2, n, b, generator=generator, dtype=torch.float64))
    values = torch.rand(2, b, generator=generator, dtype=torch.float64) + 0.1
    return mixing, values.sort(dim=1, descending=True).values


@pytest.mark.parametrize(("n", "b", "count"), [(6, 6, 3), (7, 5, 4), (7, 5, 1), (8, 8, 7)])
def test_it_is_what_is_defined(n: int, b: int, count: int) -> None:
    mixing, significance = random_group(n, b)
    found = smaller(mixing, significance, count)
    for group in range(2):
        expected = reference.smaller(mixing[group].numpy(), significance[group].numpy(), count)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one[group].numpy(), other, atol=1e-9)


@pytest.mark.parametrize(("n", "b"), [(6, 6), (7, 5)])
def test_linear_regression_finds_the_same(n: int, b: int) -> None:
    mixing, significance = random_group(n, b)
    generator = Key(5).generator()
    images = torch.randn(2, b, 40, generator=generator, dtype=torch.float64)
    labels = torch.randn(2, b, 4, generator=generator, dtype=torch.float64)
    for k in range(1, b + 1):
        few, scale = smaller(mixing, significance, k)
        solutions = []
        for u, s in ((mixing[..., :k], significance[:, :k]), (few, scale)):
            weights = u * s.unsqueeze(1)
            solutions.append(torch.linalg.pinv(weights @ images[:, :k]) @ weights @ labels[:, :k])
        torch.testing.assert_close(*solutions, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_it_is_orthonormal_keeps_order_and_the_mean_energy_of_its_images(k: int) -> None:
    mixing, significance = random_group(8, 5)
    found, scale = smaller(mixing, significance, k)
    torch.testing.assert_close(found.mT @ found, torch.eye(k, dtype=found.dtype).expand(2, k, k))
    assert (scale.diff(dim=1) <= 0).all()
    energy = (mixing[..., :k] * significance[:, None, :k]).square().sum(dim=2)
    top = energy.sort(dim=1, descending=True).values[:, :k]
    torch.testing.assert_close((found * scale.unsqueeze(1)).square().sum(dim=(1, 2)), top.sum(1))


def test_with_u_the_identity_the_first_images_are_left() -> None:
    significance = torch.tensor([[5.0, 4.0, 4.0, 1.0, 0.0]])
    for k in range(1, 6):
        found, scale = smaller(torch.eye(5)[None], significance, k)
        assert torch.equal(found[0], torch.eye(k)) and torch.equal(scale, significance[:, :k])


def test_all_components_leave_everything_as_it_is() -> None:
    mixing, significance = random_group(6, 6)
    torch.testing.assert_close(smaller(mixing, significance, 6), (mixing, significance))


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e30])
def test_no_size_of_the_values_is_too_small_or_too_large(scale: float) -> None:
    mixing, significance = random_group(6, 5)
    plain, found = smaller(mixing, significance, 3), smaller(mixing, significance * scale, 3)
    assert all(bool(tensor.isfinite().all()) for tensor in found)
    torch.testing.assert_close(found[1], plain[1] * scale, rtol=1e-12, atol=0)
    if scale:
        torch.testing.assert_close(found[0], plain[0])


def test_of_equal_images_the_first_are_taken() -> None:
    # all images have the same energy in a Hadamard matrix, but for rounding
    two = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    mixing = torch.kron(torch.kron(two, two), two)[None] / math.sqrt(8)
    found, _ = smaller(mixing, torch.ones(1, 8), 2)
    torch.testing.assert_close(found[0], orthogonal_factor(mixing[0, :2, :2]))


def test_the_type_stays_and_odd_counts_are_refused() -> None:
    mixing, significance = torch.eye(4)[None].half(), torch.ones(1, 4).half()
    assert {tensor.dtype for tensor in smaller(mixing, significance, 2)} == {torch.float16}
    for count in (0, 5, -1):
        with pytest.raises(BadRequest, match="from 1 to 4 can be kept"):
            smaller(mixing, significance, count)


# reading ordered sets


@pytest.mark.parametrize("zca", ["none", "mtt"])
@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("storage", sorted(STORAGE_TYPES))
@pytest.mark.parametrize("form", ORDERED.values(), ids=ORDERED)
def test_an_ordered_set_is_read_at_a_smaller_budget(
    path: Path, form: Parametrization, storage: str, labels: bool, zca: str
) -> None:
    whole = make(form, storage=storage, labels=labels, zca=zca)
    whole.save(path)
    found = load(path, ipc=1)
    k, limit = found.header.images_per_class, CLASSES * math.prod(SHAPE) * 4
    # no more would have fitted
    one = found.ledger.paper // k
    assert found.ledger.paper <= limit < found.ledger.paper + one
    before, after = whole.synthetic.state_dict(), found.synthetic.state_dict()
    for name, tensor in after.items():
        if "components" in name:
            assert torch.equal(tensor, before[name][: k * CLASSES]), name
    mixed = smaller(before["images.coefficients"], before["images.significance"], k)
    for name, expected in zip(("coefficients", "significance"), mixed, strict=True):
        stored = expected.to(STORAGE_TYPES[storage]).float()
        assert torch.equal(after[f"images.{name}"], stored)
    assert found.preprocessing == whole.preprocessing
    assert len(found) == k * CLASSES and found.images.shape == (len(found), *SHAPE)
    assert found.labels.shape == ((len(found), CLASSES) if labels else (len(found),))


def test_its_card_is_that_of_the_smaller_set(path: Path, tmp_path: Path) -> None:
    form = OrderedSVD(components=5, share="class")
    make(form, provenance={"source": "digits"}, settings={"card": "dc-300"}).save(path)
    found = load(path, ipc=2)
    header, limit = found.header, 2 * CLASSES * math.prod(SHAPE) * 4
    assert header.images_per_class == 2
    assert header.parametrization == OrderedSVD(share="class").describe()
    assert header.budget["ipc"] == 2 and header.budget["limit"] == limit
    assert found.totals.unused == 0 and found.totals.images_per_class == 2
    assert header.validation is None and header.settings == {"card": "dc-300"}
    told = "6 images per class of set.safetensors, at ipc 2"
    assert header.provenance == {"source": "digits", READ_FROM: told}
    other = tmp_path / "other.safetensors"
    found.save(other)
    again = load(other)
    assert again.header == header and torch.equal(again.images, found.images)


@pytest.mark.parametrize("ipc", [1, 2, 3, 4, 5])
def test_steps_may_be_left_out(path: Path, tmp_path: Path, ipc: int) -> None:
    """With U the identity, as the paper starts, the first images are read, at any way down."""
    whole = make(OrderedSVD())
    with torch.no_grad():
        whole.synthetic.images.fit(torch.randn(whole.images.shape, generator=Key(3).generator()))
    # brought into order, and read afresh
    whole.synthetic.settle()
    whole.save(path)
    load(path, ipc=5).save(tmp_path / "five.safetensors")
    one, other = load(path, ipc), load(tmp_path / "five.safetensors", ipc)
    torch.testing.assert_close(one.images, other.images)
    torch.testing.assert_close(one.labels, other.labels)


def test_its_own_budget_gives_the_whole(path: Path) -> None:
    for form, own in ((OrderedSVD(), 6), (OrderedSVD(components=4), 4), (Pixels(), 6)):
        whole = make(form)
        whole.save(path)
        found = load(path, ipc=own)
        assert found.header == whole.header and torch.equal(found.images, whole.images)
        assert ipc_of_part(path, own) is None and ipc_of_part(path, None) is None


def test_its_own_budget_is_at_least_the_one_asked_for(path: Path) -> None:
    """Two images' memory holds one component of full rank per image: 55 values of 30."""
    form = LowRank(5, OrderedSVD())
    make(form, count=1, budget={"ipc": 3}).save(path)
    assert len(load(path, ipc=3)) == len(load(path, ipc=2)) == CLASSES
    with pytest.raises(BadRequest, match=r"--ipc 4: .* has the memory of 3 images per class"):
        load(path, ipc=4)
    with pytest.raises(BadRequest, match="holds no image per class"):
        load(path, ipc=1)


# reading nested sets


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("form", [Pixels(), LowRank(2)], ids=["pixels", "low rank"])
def test_a_nested_set_is_read_by_its_first_images(
    path: Path, form: Parametrization, labels: bool
) -> None:
    whole = make(form, labels=labels, zca="mtt", nested=True)
    whole.save(path)
    found = load(path, ipc=2)
    count = found.header.images_per_class
    assert count == (2 if form == Pixels() else 2 * 30 // 22)
    assert found.header.parametrization == form.describe() and found.header.nested
    first = torch.arange(CLASSES * COUNT) % COUNT < count
    assert torch.equal(found.images, whole.images[first])
    assert torch.equal(found.labels, whole.labels[first])
    assert found.preprocessing == whole.preprocessing


# what is read


def components(names: dict[str, int]) -> int:
    return sum(size for name, size in names.items() if "components" in name)


@pytest.mark.parametrize("form", [OrderedSVD(), LowRank(4, OrderedSVD())], ids=["dense", "factors"])
@pytest.mark.parametrize("zca", ["none", "mtt"], ids=["no whitening", "whitening"])
def test_only_the_bytes_of_a_smaller_ordered_set_are_read(
    path: Path, form: Parametrization, zca: str, counted: Callable[[], int]
) -> None:
    make(form, count=50, shape=(2, 12, 12), classes=10, zca=zca).save(path)
    header, tensors = sizes(path)
    Counting.total = 0
    found = load(path, ipc=1)
    kept = found.header.images_per_class
    assert kept == (1 if form == OrderedSVD() else 1 * 144 // (4 * 24))
    beside = sum(size for name, size in tensors.items() if "components" not in name)
    share = components(tensors) * kept // 50
    # the rest of the last block of checksums
    assert header + beside + share <= counted() < header + beside + share + 2 * BLOCK_BYTES
    # what is needed whole is most of it here
    assert counted() - beside < path.stat().st_size / 20


def test_only_the_bytes_of_a_smaller_nested_set_are_read(
    path: Path, counted: Callable[[], int]
) -> None:
    make(Pixels(), count=50, shape=(2, 12, 12), classes=10, nested=True).save(path)
    header, tensors = sizes(path)
    Counting.total = 0
    assert len(load(path, ipc=1)) == 10
    own = header + sum(tensors.values()) // 50
    # one image of each class, with the rest of its block of checksums
    assert own <= counted() < own + 10 * 2 * BLOCK_BYTES
    plain = {"classes": 10, "nested": True, "labels": False}
    make(Pixels(), count=50, shape=(2, 32, 32), **plain).save(path)
    header, tensors = sizes(path)
    Counting.total = 0
    load(path, ipc=1)
    # an image of 4 KiB or more is a block of its own
    assert counted() == header + sum(tensors.values()) // 50 < path.stat().st_size / 20


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="the system counts no bytes")
def test_the_system_counts_as_few(path: Path) -> None:
    """What really goes through the system's calls, library and buffers included."""

    def read() -> int:
        text = Path("/proc/self/io").read_text(encoding="ascii")
        return int(text.split()[text.split().index("rchar:") + 1])

    make(OrderedSVD(), count=50, shape=(2, 32, 32), classes=10).save(path)
    load(path, ipc=1)  # whatever is imported on the way is read before
    before = read()
    load(path, ipc=1)
    assert read() - before < 0.05 * path.stat().st_size


def test_evaluating_a_part_reads_only_the_part(
    path: Path, counted: Callable[[], int], capsys: pytest.CaptureFixture[str]
) -> None:
    digits(path, OrderedSVD(), count=40)
    assert run(["evaluate", str(path), "--ipc", "1", *QUICK, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["ipc"] == 1 and printed["rows"][0]["images_per_class"] == 1
    # header, U and Σ several times; of the components a small part
    header, tensors = sizes(path)
    part = header + sum(tensors.values()) - components(tensors) + components(tensors) // 40
    assert counted() <= 6 * part < path.stat().st_size


# what is refused


@pytest.mark.parametrize("ipc", [0, -1, 2.0, "2", True, 7, 10**30])
@pytest.mark.parametrize("form", [OrderedSVD(), Pixels()], ids=["ordered", "pixels"])
def test_other_budgets_are_refused(path: Path, form: Parametrization, ipc: Any) -> None:
    make(form, nested=form == Pixels()).save(path)
    with pytest.raises(BadRequest) as caught:
        load(path, ipc=ipc)
    assert not isinstance(caught.value, ArtefactError)
    assert f"--ipc {ipc!r}: " in str(caught.value)
    assert "1 or more" in str(caught.value) or "the memory of 6 images" in str(caught.value)


@pytest.mark.parametrize(
    ("form", "nested"),
    [(Pixels(), False), (LowRank(2), False), (Tiled(2), False), (LowRank(2, Tiled(2)), False)],
    ids=["pixels", "low rank", "tiled", "low-rank tiles"],
)
def test_sets_without_parts_are_refused_with_the_next_step(
    path: Path, form: Parametrization, nested: bool
) -> None:
    make(form, count=12, nested=nested).save(path)
    with pytest.raises(BadRequest, match=r"attar slim \S*set.safetensors --ipc 1 -o") as caught:
        load(path, ipc=1)
    assert "only a nested set, or one of ordered components" in str(caught.value)


def change(path: Path, edit: Callable[[dict[str, Any]], None], payload: int = 0) -> None:
    """Write a file with another table, as a forger would."""
    metadata, table, rest = parts_of(path.read_bytes())
    edit(table)
    rest = rest[:payload] if payload < 0 else rest + bytes(payload)
    path.write_bytes(forged(metadata, table, rest))


V, U, S = "images.components.values", "images.coefficients", "images.significance"
NUMBER = 10**12


def moved(name: str, by: int) -> Callable[[dict[str, Any]], None]:
    def edit(table: dict[str, Any]) -> None:
        table[name]["data_offsets"] = [by + offset for offset in table[name]["data_offsets"]]

    return edit


FORGED: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "beyond the file": (moved(V, NUMBER), "does not begin where"),
    "before the file": (moved(U, -4), "no whole number|does not begin"),
    "overlapping": (moved(V, -4), "does not begin where"),
    "offsets exchanged": (lambda t: t[V]["data_offsets"].reverse(), "bytes, its shape"),
    "shape too large": (lambda t: t[V].update(shape=[NUMBER, *SHAPE]), "bytes, its shape"),
    "shape too small": (lambda t: t[V].update(shape=[1, *SHAPE]), "bytes, its shape"),
    "negative shape": (lambda t: t[V].update(shape=[-18, -2, 6, 5]), "no whole number"),
    "shape no number": (lambda t: t[V].update(shape=["18", *SHAPE]), "no whole number"),
    "a bool": (lambda t: t[V].update(shape=[18, *SHAPE, True]), "no whole number"),
    "many dimensions": (lambda t: t[V].update(shape=[1] * 99), "99 dimensions"),
    "endless, of nothing": (
        lambda t: t.update(odd={"dtype": "F32", "shape": [0, 10**30], "data_offsets": [0, 0]}),
        "that no tensor has",
    ),
    "no shape": (lambda t: t[V].pop("shape"), "damaged"),
    "no table": (lambda t: t.update({V: 3}), "damaged"),
    "three offsets": (lambda t: t[V]["data_offsets"].append(3), "damaged"),
    "other type": (
        lambda t: t[V].update(dtype="I32"),
        "is torch.int32, its header says torch.float32",
    ),
    "no type": (lambda t: t[V].update(dtype="F31"), "type 'F31'"),
    "type no text": (lambda t: t[V].update(dtype=["F32"]), "damaged"),
    "smaller type": (lambda t: t[V].update(dtype="F16"), "bytes, its shape"),
    "rows dealt anew": (lambda t: t[V].update(shape=[9, 4, 6, 5]), "its header speaks of 18 rows"),
    "columns dealt anew": (lambda t: t[V].update(shape=[18, 2, 5, 6]), "its header says"),
    "U of another shape": (lambda t: t[U].update(shape=[1, 4, 9]), "its header says"),
    "Σ of another shape": (lambda t: t[S].update(shape=[6, 1]), "its header says"),
    "Σ of no shape": (lambda t: t[S].update(shape=[6]), "its header says"),
    "another name": (lambda t: t.update({"images.other": t.pop(V)}), "missing or do not belong"),
    "no U": (lambda t: t.update({"images.other": t.pop(U)}), "missing|rows"),
    "no Σ": (lambda t: t.update({"sigma": t.pop(S)}), "are missing or do not belong"),
}


@pytest.mark.parametrize("kind", FORGED)
def test_forged_tables_are_refused(path: Path, kind: str) -> None:
    make(OrderedSVD()).save(path)
    edit, why = FORGED[kind]
    change(path, edit)
    for ipc in (2, 6):
        with pytest.raises(ArtefactError) as caught:
            load(path, ipc=ipc)
        assert str(path) in str(caught.value)
    with pytest.raises(ArtefactError, match=why):
        load(path, ipc=2)


@pytest.mark.parametrize("more", [-1, -200, 1, 4096])
def test_files_of_another_length_are_refused(path: Path, more: int) -> None:
    make(OrderedSVD()).save(path)
    change(path, lambda table: None, more)
    with pytest.raises(ArtefactError, match=r"damaged \(its tensors take .* the file holds"):
        load(path, ipc=2)


def test_truncated_files_are_refused_at_every_length(path: Path) -> None:
    make(Pixels(), count=2, classes=2, nested=True, shape=(1, 2, 2)).save(path)
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(ArtefactError):
            load(path, ipc=1)


def test_a_file_that_shrinks_while_it_is_read_is_refused(path: Path) -> None:
    make(OrderedSVD()).save(path)
    with open_stored(path) as stored:
        path.write_bytes(path.read_bytes()[:-40])
        with pytest.raises(ArtefactError, match="it ends too early"):
            for name in stored.places:
                stored.whole(name)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"images_per_class": 10**9}, "more than the file holds"),
        ({"images_per_class": 5}, "header speaks of 15 rows"),
        ({"shape": [0, 6, 5]}, "more than the file holds"),
        ({"parametrization": {"name": "odd"}}, "unknown form"),
        ({"parametrization": {"name": "ordered_svd", "components": 99}}, "99 components"),
        ({"parametrization": {"name": "ordered_svd", "components": 3}}, "speaks of 9 rows"),
        ({"parametrization": {"name": "pixels"}, "nested": True}, "speaks of 18 rows"),
        ({"storage": "float16"}, "torch.float32, its header says torch.float16"),
        ({"learned_labels": False}, "labels.components are missing or do not belong"),
        ({"zca": "mtt"}, "whitening.mean, .* are missing"),
        ({"nested": 3}, "nested"),
    ],
)
def test_forged_cards_are_refused(path: Path, fields: dict[str, Any], why: str) -> None:
    whole = make(OrderedSVD())
    whole.save(path)
    header = {**whole.header.model_dump(mode="json"), **fields}
    save_tensors(path, read_tensors(path), header)
    with pytest.raises(ArtefactError, match=why):
        load(path, ipc=1)


def test_what_is_read_must_be_finite_and_in_order(path: Path) -> None:
    whole = make(OrderedSVD())
    header = whole.header.model_dump(mode="json")
    clean = dict(whole.synthetic.state_dict())
    for name, row in ((V, 0), (V, 5), (U, 0), (S, 0), ("labels.components", 0)):
        tensors = {key: tensor.clone() for key, tensor in clean.items()}
        tensors[name][row].view(-1)[-1] = float("nan")
        save_tensors(path, tensors, header)
        with pytest.raises(ArtefactError, match="stored values are NaN or Inf"):
            load(path, ipc=2)
    # what is not read cannot be looked at; the whole is refused
    tensors = {key: tensor.clone() for key, tensor in clean.items()}
    tensors[V][6:] = float("nan")
    save_tensors(path, tensors, header)
    assert load(path, ipc=2).images.isfinite().all()
    for ipc in (3, 6, None):
        with pytest.raises(ArtefactError, match="NaN or Inf"):
            load(path, ipc)
    for odd in (clean[S].flip(1), -clean[S]):
        save_tensors(path, {**clean, S: odd}, header)
        with pytest.raises(ArtefactError, match="its significances do not fall"):
            load(path, ipc=2)


def test_files_of_others_are_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="no such file"):
        load(path, ipc=1)
    with pytest.raises(ArtefactError, match="is a directory"):
        load(tmp_path, ipc=1)
    path.write_text("hello, this is a text")
    with pytest.raises(ArtefactError, match="not a safetensors file"):
        load(path, ipc=1)
    save_file({"a": torch.ones(2)}, path, {"format": "pt"})
    with pytest.raises(ArtefactError, match="not one that Attar wrote"):
        load(path, ipc=1)


def test_whole_tensors_and_rows_are_what_the_library_reads(path: Path) -> None:
    tensors = {
        "a": torch.randn(5, 3, 2),
        "b": torch.randn(4, 1).bfloat16(),
        "c": torch.zeros(0, 3),
        "d": torch.tensor(2.0).double(),
        "e": torch.randn(7).half(),
    }
    save_tensors(path, tensors, {"x": 1})
    with open_stored(path) as stored:
        assert stored.header == {"x": 1} and stored.places.keys() == tensors.keys()
        for name, tensor in tensors.items():
            found = stored.whole(name)
            assert found.dtype == tensor.dtype and torch.equal(found, tensor)
        found = stored.rows("a", [range(1), range(2, 4), range(5, 5)])
        assert torch.equal(found, tensors["a"][[0, 2, 3]])
        assert stored.rows("c", [range(0)]).shape == (0, 3)
        for name, wanted in (("a", range(3, 6)), ("d", range(1)), ("a", range(-1, 2))):
            with pytest.raises(ArtefactError, match=r"has \d rows, its header speaks of more"):
                stored.rows(name, [wanted])


# commands


def digits(path: Path, form: Parametrization, count: int = 4, **fields: Any) -> Artefact:
    """Write a set for the digits that scikit-learn brings along."""
    made = make(
        form,
        count=count,
        shape=(1, 8, 8),
        classes=10,
        class_names=[str(k) for k in range(10)],
        provenance={"source": "digits", "dataset": "digits", "command": "attar condense …"},
        settings={"card": "dc-300"},
        labels=False,
        **fields,
    )
    made.save(path)
    return made


def test_evaluations_of_parts_are_records_of_their_own(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digits(path, OrderedSVD())
    for options in ([], ["--ipc", "1"], ["--ipc", "4"]):
        assert run(["evaluate", str(path), *options, *QUICK, "--json"]) == 0
    assert sorted(one.name for one in path.parent.glob("*.json")) == [
        "set.evaluation.ipc1.json",
        "set.evaluation.json",
    ]
    whole, part = read_record(evaluation_path(path)), read_record(evaluation_path(path, 1))
    assert (whole.ipc, whole.sha256) == (None, digest(path)) and whole.version == 2
    assert (part.ipc, part.sha256) == (1, digest(path, 1)) and part.version == 3
    assert digest(path, 4) == digest(path) != digest(path, 1) != digest(path, 2)
    counts = [one.evaluations[0].rows[0].images_per_class for one in (whole, part)]
    assert counts == [4, 1]
    # what is measured is what the function measures of the same part
    (row,) = attar.evaluate(
        load(path, 1), networks="convnet2:width=8", repeats=1, epochs=1, device="cpu"
    )[:1]
    assert row.results[0].accuracies == part.evaluations[0].rows[0].results[0].accuracies
    capsys.readouterr()


def test_reports_show_what_was_measured_of_the_part(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    digits(path, OrderedSVD())
    html = path.with_name("r.html")
    own = path.with_name("own.html")
    status = run(["evaluate", str(path), "--ipc", "1", *QUICK, "--report", str(own), "--json"])
    printed = path.with_name("printed.json")
    printed.write_text(capsys.readouterr().out, encoding="utf-8")
    assert status == 0 and "at ipc 1" in own.read_text(encoding="utf-8")
    assert run(["report", str(path), "--ipc", "1", "-o", str(html)]) == 0
    text = html.read_text(encoding="utf-8")
    assert "Not evaluated" not in text and "at ipc 1" in text
    assert run(["report", str(path), "-o", str(html)]) == 0
    assert "Not evaluated" in html.read_text(encoding="utf-8")
    kept = evaluation_path(path, 1)
    capsys.readouterr()
    for given in (kept, printed):
        words = ["report", str(path), "-o", str(html), "--evaluation", str(given)]
        assert run(words) == 2
        assert "it was read at --ipc 1" in " ".join(capsys.readouterr().err.split())
        assert run([*words, "--ipc", "1"]) == 0
    assert run(["evaluate", str(path), *QUICK]) == 0
    beside = ["--evaluation", str(evaluation_path(path))]
    capsys.readouterr()
    assert run(["report", str(path), "-o", str(html), "--ipc", "1", *beside]) == 2
    assert "(it is of the whole)" in " ".join(capsys.readouterr().err.split())
    assert run(["report", str(path), "--ipc", "9", "-o", str(html)]) == 2


def test_a_part_that_was_replaced_is_not_evaluated(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = digits(path, OrderedSVD())
    assert run(["evaluate", str(path), "--ipc", "1", *QUICK]) == 0
    before = digest(path, 1)
    made.synthetic.state_dict()["images.components.values"][0] += 1
    made.save(path)
    assert digest(path, 1) != before
    html = path.with_name("r.html")
    assert run(["report", str(path), "--ipc", "1", "-o", str(html)]) == 0
    assert "Not evaluated since" in html.read_text(encoding="utf-8")
    capsys.readouterr()


def test_parts_are_shown_exported_and_drawn(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digits(path, LowRank(2, OrderedSVD()))
    assert run(["show", str(path), "--ipc", "1", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["sizes"]["images_per_class"] == 2 == shown["card"]["images_per_class"]
    assert run(["show", str(path), "--ipc", "1"]) == 0
    assert "2 per class of 1×8×8; read out of 4 images" in capsys.readouterr().out
    array = path.with_name("images.npz")
    assert run(["export", str(path), "--ipc", "1", "--npz", str(array)]) == 0
    assert np.load(array)["images"].shape == (20, 8, 8, 1)
    folder = path.with_name("pictures")
    words = ["pictures", str(path), "--ipc", "1", "-o", str(folder), "--kind", "grid"]
    assert run(words) == 0 and list(folder.glob("*.png"))
    capsys.readouterr()
    words = ["pictures", str(path), "--ipc", "1", "-o", str(folder), "--kind", "iterations"]
    assert run(words) == 2 and "are of the whole set" in capsys.readouterr().err
    for command in ("show", "evaluate"):
        assert run([command, str(path), "--ipc", "0"]) == 2
        assert "--ipc 0: a whole number" in capsys.readouterr().err


def test_the_last_iterate_is_read_at_the_same_budget(path: Path) -> None:
    made = digits(path, OrderedSVD(), iterate="selected")
    last = made.header.model_copy(update={"iterate": "last"})
    Artefact(last, made.synthetic, made.preprocessing).save(last_iterate_path(path))
    rows = attar.evaluate(
        path, ipc=2, networks="convnet2:width=8", repeats=1, epochs=1, device="cpu"
    )
    assert [row.images_per_class for row in rows] == [2] * len(rows) and len(rows) >= 2
    with pytest.raises(BadRequest, match=r"ipc=2: goes with a path; give attar.load\(path, ipc=2"):
        attar.evaluate(load(path), ipc=2)


def test_what_is_left_of_a_set_is_what_slimming_keeps(path: Path) -> None:
    from attar.synthetic import first_components

    for form in (OrderedSVD(), LowRank(2, OrderedSVD(share="class"))):
        whole = make(form)
        whole.save(path)
        found = load(path, ipc=2)
        slimmed = first_components(whole.synthetic, found.header.images_per_class)
        rows = torch.arange(len(found))
        torch.testing.assert_close(found.images, slimmed.images(rows))
        assert dataclasses.asdict(slimmed.layout) == dataclasses.asdict(found.header.layout)
