"""An artefact is a data set as those of torchvision are, and as other libraries take them."""

import copy
import pickle
import re
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

import attar

NAMES = ("<b>ant</b>", "bee", "cow")
X = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3), dtype=np.uint8)
y = [NAMES[one % 3] for one in range(30)]
SMALL: dict[str, Any] = {"method": "random", "ipc": 2, "device": "cpu", "validation": 0}


@pytest.fixture(scope="module")
def made() -> attar.Artefact:
    return attar.condense(X, y, **SMALL)


@pytest.fixture(scope="module")
def gray() -> attar.Artefact:
    return attar.condense(X[..., 0], y, **SMALL)


@pytest.fixture(scope="module")
def taught() -> attar.Artefact:
    return attar.condense(
        *(X, y),
        **SMALL | {"method": "ld"},
        iterations=1,
        network="convnet1:width=4",
        torch_compile="off",
    )


def test_what_torchvision_calls_things(made: attar.Artefact) -> None:
    assert made.classes == list(NAMES)
    assert made.class_to_idx == {"<b>ant</b>": 0, "bee": 1, "cow": 2}
    assert made.targets == [0, 0, 1, 1, 2, 2] and all(type(one) is int for one in made.targets)


def test_learnt_labels_have_the_class_of_their_largest_value(taught: attar.Artefact) -> None:
    assert taught.labels.shape == (6, 3)
    assert taught.targets == taught.labels.argmax(1).tolist()
    assert taught.as_tensors()[1].shape == (6, 3)
    assert taught.as_numpy()[1].tolist() == taught.targets
    own = taught.as_datasets()
    assert np.allclose(own.with_format("numpy")["soft_label"][:], taught.labels.numpy())


def test_real_images_are_what_the_set_was_made_from(made: attar.Artefact) -> None:
    wanted = made.preprocessing.apply(torch.from_numpy(X[:1]).permute(0, 3, 1, 2) / 255)[0]
    first = torch.from_numpy(X[0]).permute(2, 0, 1)
    for image in (Image.fromarray(X[0]), X[0], first, first / 255, X[0].astype(np.float64) / 255):
        assert torch.equal(made.transform(image), wanted)
    batch = made.transform(torch.from_numpy(X[:4]).permute(0, 3, 1, 2))
    assert batch.shape == (4, 3, 8, 8) and torch.equal(batch[0], wanted)
    # the set's own pictures come to its own inputs
    assert torch.allclose(made.transform(made.raw_pixels.clamp(0, 1)), made.images, atol=1e-5)


def test_real_images_of_other_sizes_and_colours(made: attar.Artefact, gray: attar.Artefact) -> None:
    wide = Image.fromarray(np.repeat(X[0], 2, axis=1))
    assert made.transform(wide).shape == (3, 8, 8)
    assert made.transform(wide.convert("L")).shape == (3, 8, 8)
    one = gray.preprocessing.invert(gray.transform(Image.fromarray(X[0]))[None])[0, 0] * 255
    # Pillow rounds to whole numbers
    assert np.abs(one.numpy() - np.asarray(Image.fromarray(X[0]).convert("L"))).max() < 0.6
    for image, words in (
        (X[0].astype(float), "runs from .* to 2..; give pixels"),
        (np.zeros((2, 8, 8), np.uint8), "the set has 3×8×8, and this is 2×8×8"),
        ("a.png", "is a str; a Pillow image"),
        (np.full((8, 8), np.nan), "runs from nan to nan"),
    ):
        with pytest.raises(attar.BadRequest, match=words):
            made.transform(image)


def test_a_folder_of_real_images(made: attar.Artefact, tmp_path: Path) -> None:
    (tmp_path / "ant").mkdir()
    turned = Image.fromarray(X[0])
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "ant" / "0.png", exif=exif)
    real = ImageFolder(
        str(tmp_path), transform=made.transform, loader=lambda path: Image.open(path)
    )
    images, _ = next(iter(DataLoader(real)))
    upright = np.ascontiguousarray(np.rot90(X[0], -1))
    assert torch.equal(images[0], made.transform(upright))
    assert pickle.loads(pickle.dumps(made.transform)) == made.transform


def test_vectors_have_a_transform_too() -> None:
    own = attar.condense(X.reshape(30, -1).astype(np.float32), y, **SMALL)
    assert own.transform(X[0].reshape(-1)).shape == (192,)
    assert own.as_numpy()[0].shape == (6, 192)
    assert own.as_datasets().column_names == ["pixel_values", "label"]
    assert "<img" not in own._repr_html_()


def test_items_go_through_a_transform(made: attar.Artefact, tmp_path: Path) -> None:
    path = tmp_path / "set.safetensors"
    made.save(path)
    crop = v2.RandomCrop(4)
    loaded = attar.load(path, transform=crop)
    image, label = loaded[0]
    assert image.shape == (3, 4, 4) and int(label) == 0
    assert loaded.images.shape == (6, 3, 8, 8) and loaded.item_transform is crop
    assert loaded.with_transform(None)[0][0].shape == (3, 8, 8)
    assert made.item_transform is None
    with pytest.raises(attar.BadRequest, match="a function of one image is needed"):
        made.with_transform("crop")  # pyright: ignore[reportArgumentType]


def test_other_libraries(made: attar.Artefact) -> None:
    rows, classes = made.as_numpy()
    assert rows.shape == (6, 192) and rows.dtype == np.float32
    assert classes.dtype == np.int64 and classes.tolist() == made.targets
    assert made.as_numpy(flat=False)[0].shape == (6, 3, 8, 8)
    rows[:] = 0
    assert made.images.abs().max() > 0
    images, labels = made.as_tensors()
    assert torch.equal(images, made.images) and torch.equal(labels, made.labels)
    own = made.as_datasets()
    assert isinstance(own, datasets.Dataset)
    assert own.column_names == ["image", "pixel_values", "label"]
    assert own.features["label"].names == list(NAMES) and own["label"][:] == made.targets
    assert np.array_equal(own.with_format("numpy")["pixel_values"][:], made.images.numpy())
    assert np.asarray(own[0]["image"]).shape == (8, 8, 3)


def test_what_would_do_nothing_cannot_be_set(made: attar.Artefact) -> None:
    for name in ("images", "labels", "transform", "classes", "anything"):
        with pytest.raises(AttributeError, match=f"'{name}' of an Artefact cannot be set.*classes"):
            setattr(made, name, 1)
    with pytest.raises(AttributeError, match="did you mean 'transform'"):
        made.tranform = 1  # pyright: ignore[reportAttributeAccessIssue]
    again = pickle.loads(pickle.dumps(made))
    assert torch.equal(again.images, made.images)
    assert torch.equal(copy.deepcopy(made).images, made.images)


def test_a_notebook_shows_pictures_and_escapes_names(
    made: attar.Artefact, gray: attar.Artefact
) -> None:
    for own in (made, gray):
        page = own._repr_html_()
        assert page.count("<img ") == 6 and page.count("data:image/png;base64,") == 6
        assert "&lt;b&gt;ant&lt;/b&gt;" in page and "<b>ant" not in page
        assert "Artefact(random: 3 classes" in page
        assert not re.search(r'(src|href)="(?!data:)', page)
