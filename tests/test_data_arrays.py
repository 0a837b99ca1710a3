"""Arrays and tensors of every type: read, or refused in a sentence; MedMNIST's files."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from attar.data import from_tensors, load_source
from attar.data.given import as_splits
from attar.errors import BadRequest

LABELS = torch.arange(20) % 2
GRAYS = torch.arange(20 * 16).reshape(20, 1, 4, 4) % 101
WHOLE = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


def read(images: Any, labels: Any = LABELS, **options: Any) -> torch.Tensor:
    """Return all images that are read, as [0, 1], in their order."""
    splits = from_tensors(images, labels, test=(images, labels), **options)
    assert splits.test is not None
    found = splits.test.images
    return found.float() / 255 if found.dtype == torch.uint8 else found


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("value_range", [None, "0:200"])
def test_whole_numbers_of_every_type(name: str, value_range: str | None) -> None:
    tensor = GRAYS.to(getattr(torch, name))
    found = read(tensor, LABELS.to(getattr(torch, name)), value_range=value_range)
    top = 255 if value_range is None else 200
    torch.testing.assert_close(found, GRAYS / top, rtol=0, atol=1e-6)
    numbers = GRAYS.numpy().astype(name)[:, 0]
    assert torch.equal(read(numbers, value_range=value_range), found)


@pytest.mark.parametrize(
    "name", ["float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "float8_e5m2"]
)
@pytest.mark.parametrize("value_range", [None, "0:2"])
def test_floats_of_every_type(name: str, value_range: str | None) -> None:
    tensor = (GRAYS / 100).to(getattr(torch, name))
    found = read(tensor, value_range=value_range)
    top = 1 if value_range is None else 2
    torch.testing.assert_close(found, tensor.float() / top, rtol=0, atol=1e-6)


@pytest.mark.parametrize("images", [GRAYS > 50, (GRAYS[:, 0] > 50).numpy()])
def test_yes_is_white(images: Any) -> None:
    assert torch.equal(read(images), (GRAYS > 50).float())


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (GRAYS.to(torch.complex64), "the tensor is complex; give real numbers"),
        (GRAYS.to_sparse(), r"the tensor is sparse; give the tensor's to_dense\(\)"),
        (torch.empty(20, 1, 4, 4, device="meta"), "holds the images"),
        (GRAYS.numpy().astype(complex), "values are complex128; numbers are needed"),
        (np.ma.masked_less(GRAYS.numpy(), 3), "some values are masked"),
        (np.zeros((20, 4, 4), dtype="M8[s]"), r"values are datetime64\[s\]"),
    ],
)
def test_images_of_other_kinds_are_refused(images: Any, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        read(images)


def test_quantized_and_nested_images_are_refused() -> None:
    # PyTorch warns that one kind is deprecated and the other a prototype
    with warnings.catch_warnings(action="ignore"):
        quantized = torch.quantize_per_tensor(GRAYS / 100, 0.01, 0, torch.quint8)
        nested = torch.nested.nested_tensor([torch.rand(1, 4, 4)] * 20)
    with pytest.raises(BadRequest, match=r"quantized; give the tensor's dequantize\(\)"):
        read(quantized)
    with pytest.raises(BadRequest, match="the tensor is nested; give images of one size"):
        read(nested)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (LABELS.to(torch.complex64), "complex"),
        (LABELS > 0, "labels are torch.bool"),
        (LABELS.float(), "labels are torch.float32; whole class indices"),
        (torch.eye(2)[LABELS], r"shape \(20, 2\).*for one-hot rows: labels.argmax\(1\)"),
        (torch.rand(20, 3), r"shape \(20, 3\).*argmax"),
        (torch.ones(20, 3), "row 0 of the labels holds 3 ones, so these are multi-label data"),
        (np.zeros((20, 14), np.uint8), "row 0 of the labels holds 0 ones.*one class per image"),
    ],
)
def test_other_labels_are_refused_with_the_right_words(labels: Any, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        read(GRAYS, labels)


def test_an_item_with_several_classes_is_multi_label() -> None:
    class Items(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return 4

        def __getitem__(self, index: int) -> Any:
            return GRAYS[index], torch.tensor([1, 0, 1])

    with pytest.raises(BadRequest, match=r"item 0: row 0 of the labels holds 2 ones.*multi-label"):
        as_splits(Items())


def medmnist(path: Path, labels: np.ndarray | None = None, **more: Any) -> str:
    """Write a file with the keys of MedMNIST 3.0: N×28×28(×3) uint8 and N×L uint8."""
    images = np.random.default_rng(0).integers(0, 256, (20, 5, 5, 3), dtype=np.uint8)
    labels = LABELS.numpy().astype(np.uint8)[:, None] if labels is None else labels
    parts = {"train": 20, "val": 6, "test": 8}
    arrays = {f"{part}_images": images[:count] for part, count in parts.items()}
    arrays |= {f"{part}_labels": labels[:count] for part, count in parts.items()}
    np.savez(path, **(arrays | more))
    return f"npz:{path}"


def test_medmnist(tmp_path: Path) -> None:
    splits = load_source(medmnist(tmp_path / "bloodmnist.npz"))
    assert splits.test is not None
    assert (len(splits.train), len(splits.test)) == (20, 8)
    assert splits.train.shape == (3, 5, 5)
    assert splits.validation is not None
    assert len(splits.validation) == 6
    several = np.random.default_rng(0).integers(0, 2, (20, 14), dtype=np.uint8)
    with pytest.raises(BadRequest, match="so these are multi-label data"):
        load_source(medmnist(tmp_path / "chestmnist.npz", several))


def test_arrays_of_some_parts(tmp_path: Path) -> None:
    images, labels = GRAYS[:, 0].numpy(), LABELS.numpy()
    path = tmp_path / "a.npz"
    np.savez(path, x_train=images, y_train=labels)
    assert "held out as test" in load_source(f"npz:{path}").note
    np.savez(path, x_train=images, y_train=labels, x_test=images)
    with pytest.raises(BadRequest, match="lacks y_test, which belongs to its other arrays"):
        load_source(f"npz:{path}")
    with pytest.raises(BadRequest, match="of one kind alone"):
        load_source(medmnist(path, x_train=images, y_train=labels))


def test_what_is_given_stays_as_it_is() -> None:
    images = (GRAYS / 100).double()
    before = images.clone()
    read(images, value_range="0:2")
    assert torch.equal(images, before)


@pytest.mark.parametrize("keys", [("image", "label"), ("pixel_values", "labels"), ("x", "y")])
def test_items_that_are_mappings(keys: tuple[str, str]) -> None:
    class Items(torch.utils.data.Dataset[Any]):
        def __len__(self) -> int:
            return 20

        def __getitem__(self, index: int) -> Any:
            return {keys[0]: GRAYS[index], keys[1]: LABELS[index], "more": 1}

    named = {} if keys[0] != "x" else {"path_column": "x", "label_column": "y"}
    splits = as_splits((Items(), Items()), **named)
    assert splits.train.labels.tolist() == LABELS.tolist()
    if named:
        with pytest.raises(BadRequest, match=r"no image or img or .*, but x, y, more; choose one"):
            as_splits(Items())
        with pytest.raises(BadRequest, match="item 0 has no z, but x, y, more"):
            as_splits(Items(), path_column="x", label_column="z")
