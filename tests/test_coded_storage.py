"""Sets kept as pictures of a codec: what comes back, what it costs, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import attar
from attar import threads
from attar.artefact.coding import encoded
from attar.cli import run
from attar.coding import codecs_there
from attar.condensing import real_start
from attar.data import LabelledImages, Preprocessing, Splits
from attar.errors import ArtefactError, BadRequest
from attar.storage import Content, Jpeg, Png, WebP, storage_of
from attar.synthetic import Layout, Resized, Synthetic
from catalogue import tiny_data

NAMES = codecs_there()
SMALL: dict[str, Any] = {"network": "convnet2:width=8", "validation": 0, "precision": "float32"}


def colours(each: int = 6, classes: int = 3, size: int = 16) -> LabelledImages:
    """Return smooth images in colour."""
    steps = torch.randn(classes * each, 3, size, size, generator=torch.Generator().manual_seed(0))
    pixels = (128 + 3 * steps.cumsum(2).cumsum(3)).clamp(0, 255).to(torch.uint8)
    labels = torch.arange(classes).repeat_interleave(each)
    names = tuple(f"kind {label}" for label in range(classes))
    return LabelledImages(pixels, labels, names, Preprocessing((0.5,) * 3, (0.25,) * 3), "colours")


def made(storage: str, output: Path | None = None, **options: Any) -> attar.Artefact:
    asked = {"method": "random", "synthetic_per_class": 4, **SMALL, **options}
    data = Splits(colours(), None, source="colours")
    return attar.condense(data, storage=storage, output=output, **asked)


@pytest.mark.parametrize("together", ["class", "set", "image"])
@pytest.mark.parametrize("name", NAMES)
def test_a_set_comes_back_as_it_was_kept(name: str, together: str, tmp_path: Path) -> None:
    path = tmp_path / "coded.safetensors"
    coded = made(f"{name}:together={together}", path)
    found = attar.load(path)
    assert torch.equal(found.images, coded.images)
    assert found.nbytes == coded.nbytes == found.ledger.all
    found.save(tmp_path / "again.safetensors")
    assert torch.equal(attar.load(tmp_path / "again.safetensors").images, coded.images)
    plain = made("float32")
    assert found.nbytes < plain.nbytes / 3
    assert float((found.pixels - plain.pixels).abs().mean()) < 0.1
    if name == "png":
        assert float((found.pixels - plain.pixels).abs().max()) < 1e-5


@pytest.mark.parametrize("form", ["resized:side=8", "tiled:factor=2"])
def test_what_other_forms_store_are_pictures_too(form: str, tmp_path: Path) -> None:
    path = tmp_path / "coded.safetensors"
    coded = made("jpeg:quality=90", path, form=form)
    assert torch.equal(attar.load(path).images, coded.images)
    assert coded.nbytes < made("jpeg:quality=90").nbytes


def test_the_baseline_in_one_line_fills_its_budget(tmp_path: Path) -> None:
    path = tmp_path / "coded.safetensors"
    words = "condense digits --method random --form resized:side=4 --storage webp:quality=30 "
    assert run([*f"{words} --bytes 1500 --count all -o {path}".split()]) == 0
    found = attar.load(path)
    totals = found.totals
    assert totals.limit == 1500 and 1200 < totals.all <= 1500
    # of real images in the order of the selector: one more of each class would not have fitted
    each = found.header.images_per_class
    more = attar.condense(
        "digits", method="random", form="resized:side=4", storage="webp:quality=30",
        synthetic_per_class=each + 1,
    )  # fmt: skip
    assert more.nbytes > 1500
    fewer = attar.condense(
        "digits", method="random", form="resized:side=4", synthetic_per_class=each
    )
    assert float((fewer.images - found.images).abs().mean()) < 0.5


def test_a_budget_below_one_coded_image_of_each_class_is_refused() -> None:
    with pytest.raises(BadRequest, match="holds no image per class; one takes"):
        made("jpeg", synthetic_per_class=None, max_bytes=100)


def store(form: Any = None) -> tuple[Synthetic, Preprocessing]:
    data = colours()
    synthetic = Synthetic(Layout(3, 2, data.shape), form or Resized(8))
    synthetic.images.fit(data.take(torch.tensor([0, 1, 6, 7, 12, 13])))
    return synthetic, data.preprocessing


@pytest.mark.parametrize("name", NAMES)
def test_damaged_streams_are_refused_by_name(name: str) -> None:
    synthetic, preprocessing = store()
    storage = storage_of(name)
    whole = encoded(synthetic, storage, preprocessing)
    content = Content((2, 2, 2), (3, 16, 16), preprocessing, synthetic.parametrization.pictures)
    (tensor,) = whole.values()
    shapes = {"images.stored.values": (6, 3, 8, 8)}
    assert storage.decode(whole, shapes, content)["images.stored.values"].shape == (6, 3, 8, 8)
    bad = {
        "nothing": tensor[:0],
        "cut": tensor[:-7],
        "more": torch.cat([tensor, tensor]),
        "no sizes": torch.full((9,), 255, dtype=torch.uint8),
        "other": torch.cat([tensor[:3], torch.zeros(len(tensor) - 3, dtype=torch.uint8)]),
    }
    for stream in bad.values():
        with pytest.raises(ValueError):
            storage.decode({"images.stored.values": stream}, shapes, content)
    larger: dict[str, tuple[int, ...]] = {"images.stored.values": (6, 3, 8, 9)}
    with pytest.raises(ArtefactError, match="is not the picture of"):
        storage.decode(whole, larger, content)


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    from attar.tensors import read_header, read_tensors, save_tensors

    path = tmp_path / "coded.safetensors"
    made("jpeg", path)
    header, tensors = read_header(path), read_tensors(path)
    tensors["images.values"][len(tensors["images.values"]) // 4] ^= 0xFF
    tensors["images.values"] = tensors["images.values"][:-30]
    save_tensors(path, tensors, {n: v for n, v in header.items() if n != "checksums"})
    with pytest.raises(ArtefactError, match="its jpeg values are damaged"):
        attar.load(path)


def bands(channels: int) -> LabelledImages:
    pixels = torch.zeros(6, channels, 8, 8, dtype=torch.uint8)
    labels = torch.arange(2).repeat_interleave(3)
    return LabelledImages(pixels, labels, ("a", "b"), Preprocessing.none(channels), "bands")


@pytest.mark.parametrize(
    ("data", "options", "refusal"),
    [
        (bands(4), {}, "keep 1 channel or 3, and these images have 4"),
        (tiny_data(), {"form": "low_rank"}, "what the form 'low_rank' stores are no pictures"),
        (tiny_data(), {"form": "decoded"}, "what the form 'decoded' stores are no pictures"),
        (tiny_data(), {"form": "frequency:keep=1"}, "the form 'frequency' stores are no pictures"),
        (tiny_data(), {"storage": "jpeg:quality=0"}, "--storage jpeg: quality 0: a whole number"),
        (tiny_data(), {"storage": "jpeg:together=some"}, "unknown together 'some'"),
    ],
    ids=lambda one: str(one) if isinstance(one, str) else "",
)
def test_what_cannot_be_kept_as_pictures_is_refused(
    data: LabelledImages, options: dict[str, Any], refusal: str
) -> None:
    asked = {"method": "random", "storage": "jpeg", "synthetic_per_class": 1, **SMALL, **options}
    with pytest.raises(BadRequest, match=refusal):
        attar.condense(data, **asked)


def test_vectors_are_refused() -> None:
    layout = Content((2, 2), (5,), None, frozenset({"images.values"}))
    with pytest.raises(BadRequest, match="it keeps pictures, and these are"):
        Png().check(layout, "pixels")


def test_many_images_make_pictures_of_bounded_sides() -> None:
    content = Content((3000, 2), (1, 128, 128), None, frozenset({"images.values"}))
    shape = (3002, 1, 128, 128)
    parts = Jpeg()._parts(shape, content)
    assert [len(one) for one in parts] == [2048, 952, 2]
    assert [len(one) for one in Jpeg(together="set")._parts(shape, content)] == [2048, 954]
    assert len(Jpeg(together="image")._parts(shape, content)) == 3002


def test_texts() -> None:
    # AVIF is not in every Pillow
    assert storage_of("jpeg:quality=35,together=set") == Jpeg(35, together="set")
    assert storage_of("webp") == WebP(50)
    assert not Jpeg().exact and Png().exact


def test_labels_are_kept_beside_pictures() -> None:
    data = colours()
    synthetic = Synthetic(Layout(3, 2, data.shape), Resized(8), learned_labels=True)
    found = encoded(synthetic, Jpeg(), data.preprocessing)
    labels: Tensor = found["labels.values"]
    assert (labels.dtype, labels.shape) == (torch.float32, (6, 3))


def test_what_a_set_takes_is_found_by_coding_each_size_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    coded: list[int] = []

    def counting(synthetic: Synthetic, *rest: Any) -> dict[str, Tensor]:
        coded.append(len(synthetic.layout))
        return encoded(synthetic, *rest)

    monkeypatch.setattr(real_start, "encoded", counting)
    found = made("jpeg", synthetic_per_class=None, max_bytes=2_500)
    assert len(found) in coded
    assert len(coded) == len(set(coded))


@pytest.mark.parametrize("name", NAMES)
def test_threads_change_no_byte(name: str) -> None:
    synthetic, preprocessing = store()
    (alone,) = encoded(synthetic, storage_of(name), preprocessing).values()
    with threads.using(3):
        (shared,) = encoded(synthetic, storage_of(name), preprocessing).values()
    assert torch.equal(alone, shared)
