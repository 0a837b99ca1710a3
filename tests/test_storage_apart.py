"""Learnt labels in a storage of their own beside that of the images."""

from pathlib import Path
from typing import Any

import pytest
import torch

import attar
from attar.artefact.artefact import Artefact
from attar.artefact.coding import encoded, rounded
from attar.data import Preprocessing
from attar.errors import ArtefactError, BadRequest
from attar.storage import Apart, Avif, Content, sizes_of, storage_of, storage_text
from attar.synthetic import PLAIN, Layout, Synthetic, planned_ledger
from test_storage import damaged, data, payload

TEXTS = (
    "int8:labels=int4",
    "int4:group=tensor,labels=int3:rate=2.0",
    "jpeg:quality=90,labels=int4",
    "float32:labels=float16",
)


def learnt(storage: str, output: Path | None = None, **options: Any) -> Artefact:
    asked = {
        "method": "frepo",
        "synthetic_per_class": 2,
        "iterations": 1,
        "validation": 0,
        "zca": "none",
    }
    small = {"network": "convnet2:width=8", "settings": {"pool": 1, "batch_real": 6}}
    return attar.condense(data(), storage=storage, output=output, **asked, **small, **options)


@pytest.mark.parametrize("text", TEXTS)
def test_texts_are_read_and_written(text: str) -> None:
    storage = storage_of(text)
    assert isinstance(storage, Apart) and storage_text(storage) == text
    assert storage_of(storage) is storage


@pytest.mark.parametrize("text", [TEXTS[0], TEXTS[3]])
def test_a_set_comes_back_and_every_byte_counts(text: str, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    one = learnt(text, path)
    found = attar.load(path)
    assert torch.equal(found.images, one.images) and torch.equal(found.labels, one.labels)
    assert found.nbytes == payload(path) == one.ledger.all
    kinds = {entry.name: entry.dtype for entry in found.ledger.entries}
    storage = storage_of(text)
    assert isinstance(storage, Apart)
    assert kinds["labels.values"] == storage.labels.name
    assert kinds["images.values"] == storage.images.name
    whole = learnt(storage_text(storage.images))
    assert torch.equal(whole.images, one.images) and one.nbytes < whole.nbytes + 1


def pictures() -> tuple[Synthetic, Preprocessing]:
    made = torch.Generator().manual_seed(0)
    synthetic = Synthetic(Layout(3, 2, (3, 8, 8)), PLAIN, learned_labels=True)
    synthetic.images.fit(torch.rand(6, 3, 8, 8, generator=made))
    assert synthetic.labels is not None
    synthetic.labels.fit(torch.rand(6, 3, generator=made))
    return synthetic.requires_grad_(False), Preprocessing.none(3)


def test_images_as_pictures_and_labels_in_few_bits() -> None:
    synthetic, preprocessing = pictures()
    labels = synthetic.state_dict()["labels.values"].clone()
    alone = encoded(synthetic, storage_of("jpeg"), preprocessing)
    storage = storage_of("jpeg:labels=int4")
    coded = rounded(synthetic, storage, preprocessing)
    sizes = sizes_of(coded)
    # a stream's tag and 18 numbers of 4 bits, with one scale
    assert sizes["labels.values"] <= 1 + 9 + 2
    assert torch.equal(coded["images.values"], alone["images.values"])
    off = synthetic.state_dict()["labels.values"] - labels
    assert 0 < float(off.abs().max()) <= 1 / 14 + 1e-3
    assert synthetic.ledger(storage, coded=coded).all == sum(sizes.values())


def test_a_plan_counts_labels_in_their_own_bits() -> None:
    layout = Layout(3, 2, (1, 8, 8))
    plain = planned_ledger(layout, PLAIN, "int8", learned_labels=True)
    apart = planned_ledger(layout, PLAIN, "int8:labels=float32", learned_labels=True)
    assert apart.paper == plain.paper
    assert apart.all - plain.all == 4 * 18 - (1 + 18 + 2)
    halves = planned_ledger(layout, PLAIN, "float32:labels=float16", learned_labels=True)
    assert halves.all == 4 * 6 * 64 + 2 * 18


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("int8:labels=jpeg", "labels=jpeg keeps no labels; choose int4"),
        ("int8:labels=int4:labels=int4", "keeps no labels"),
        ("int8:labels=int5", "unknown value of --storage 'int5'"),
        ("jpeg:labels=int4,quality=35", "put it last, such as jpeg:quality=35,labels=int4"),
        ("int8:labels=", "unknown value of --storage ''"),
    ],
)
def test_what_keeps_no_labels_is_refused(text: str, refusal: str) -> None:
    with pytest.raises(BadRequest, match=refusal):
        attar.Request(storage=text)


def test_a_method_without_labels_is_refused() -> None:
    with pytest.raises(BadRequest, match="'dm' learns no labels, so none are stored"):
        attar.condense(data(), method="dm", iterations=1, storage="int8:labels=int4")


def test_a_damaged_stream_of_labels_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    learnt("int8:labels=int4", path)
    with pytest.raises(ArtefactError, match="damaged: labels as int4: a stream is coded"):
        attar.load(damaged(path, "labels.values", torch.full((9,), 250, dtype=torch.uint8)))


def test_the_storage_of_images_alone_says_whether_they_are_parted() -> None:
    try:
        lossy = Avif()
    except BadRequest:
        lossy = storage_of("jpeg")
    apart = Apart(lossy, storage_of("int8"))
    assert not apart.exact and not apart.fixed
    assert storage_of("float32:labels=float16").fixed
    assert apart.planned("images.values", (2, 3, 8, 8)) is None
    with pytest.raises(BadRequest, match="pictures"):
        apart.check(Content((2, 2), (5,), None, frozenset({"images.values"})), "pixels")
