"""Data from Python come in every form that people have them in, through one door."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Sampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    random_split,
)
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

import attar
from attar.data import Splits, as_splits
from attar.wording import in_python

NAMES = ("ant", "bee", "cow")
# torchvision's constants of ImageNet
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
X = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3), dtype=np.uint8)
y = np.arange(30) % 3
PICTURES = [Image.fromarray(one) for one in X]
TENSORS = torch.from_numpy(X).permute(0, 3, 1, 2)
PLAIN = TensorDataset(TENSORS, torch.from_numpy(y))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for index, picture in enumerate(PICTURES):
        path = tmp_path / "zoo" / NAMES[index % 3] / f"{index:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
    return tmp_path / "zoo"


def read(data: Any, **options: Any) -> Splits:
    return as_splits(data, **options)


def same(splits: Splits, names: tuple[str, ...] = ("0", "1", "2")) -> bool:
    train = splits.train
    order = torch.argsort(train.labels, stable=True)
    wanted = torch.argsort(torch.from_numpy(y), stable=True)
    return (
        train.class_names == names
        and train.images.dtype == torch.uint8
        and torch.equal(train.images[order], TENSORS[wanted])
    )


NUMBERED = {
    "arrays": (X, y),
    "floats in [0, 1]": (X / 255, y),
    "floats of 0…255": (X.astype(np.float32), y),
    "tensors of 0…255": (TENSORS.double(), torch.from_numpy(y)),
    "whole floats as labels": (X, y.astype(float)),
    "lists of arrays": (list(X), y.tolist()),
    "lists of tensors": (list(TENSORS), list(torch.from_numpy(y))),
    "pictures and labels": (PICTURES, y),
    "pictures and a list": [PICTURES, y.tolist()],
    "pairs": list(zip(PICTURES, y.tolist(), strict=True)),
    "pairs of arrays": tuple(zip(X, y, strict=True)),
    "mappings": [{"image": one, "label": int(label)} for one, label in zip(X, y, strict=True)],
    "loader": DataLoader(PLAIN, batch_size=7, shuffle=True),
    "train alone": PLAIN,
}


@pytest.mark.parametrize("kind", NUMBERED)
def test_all_forms_give_the_same_images(kind: str) -> None:
    assert same(read(NUMBERED[kind]))


def test_a_generator_is_read_once() -> None:
    assert same(read(zip(PICTURES, y.tolist(), strict=True)))


@pytest.mark.parametrize(
    "labels",
    [
        np.array(NAMES)[y],
        [NAMES[one] for one in y],
        np.array([NAMES[one] for one in y], dtype=object),
    ],
)
def test_labels_may_be_names(labels: Any) -> None:
    assert same(read((X, labels)), NAMES)
    assert same(read((PICTURES, labels)), NAMES)
    assert same(read(list(zip(PICTURES, map(str, labels), strict=True))), NAMES)
    both = read(((X, labels), (X[3:6], labels[3:6])))
    assert both.test is not None
    assert both.test.labels.tolist() == [0, 1, 2]
    with pytest.raises(attar.BadRequest, match="'dog' is none of the training part"):
        read(((X, labels), (X[:1], ["dog"])))


def test_parts_are_told_from_images_and_labels() -> None:
    for both in (
        ((X, y), (X[:6], y[:6])),
        {"train": (X, y), "test": (X[:6], y[:6])},
        (list(zip(PICTURES, y, strict=True)), list(zip(PICTURES[:6], y[:6], strict=True))),
        (PLAIN, Subset(PLAIN, range(6))),
        (DataLoader(PLAIN), DataLoader(Subset(PLAIN, range(6)))),
    ):
        splits = read(both)
        assert same(splits) and splits.test is not None and len(splits.test) == 6
    # the training part says what the numbers of both mean
    dark = (np.minimum(X[:6], 90).astype(np.float32), y[:6])
    splits = read(((X.astype(np.float32), y), dark))
    assert splits.test is not None and int(splits.test.images.max()) == 90


def test_what_was_taken_for_what_is_told() -> None:
    assert "floats from 0 to 255 are taken for 0…255" in read((X.astype(float), y)).note
    assert "the data set of the DataLoader, each item once" in read(DataLoader(PLAIN)).note
    between = read((X * 0.9, y)).train.images
    assert between.dtype == torch.float32 and 0.85 < float(between[:].max()) <= 0.9


def test_an_image_folder_that_standardises_is_undone(folder: Path) -> None:
    steps = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
    usual = v2.Normalize(MEAN, STD)
    own = ImageFolder(folder, v2.Compose([*steps, usual]))
    splits = read(own)
    assert same(splits, NAMES)
    told = "Normalize(0.485/0.456/0.406, 0.229/0.224/0.225) of the data set is undone"
    assert told in splits.note
    assert same(read(DataLoader(own, batch_size=4)), NAMES)
    assert same(read(ConcatDataset([Subset(own, range(10)), Subset(own, range(10, 30))])))
    nested = v2.Compose([v2.Compose([*steps, usual]), v2.ToPureTensor()])
    assert same(read(ImageFolder(folder, nested)), NAMES)
    with pytest.raises(attar.BadRequest, match="before RandomErasing; leave Normalize out"):
        read(ImageFolder(folder, v2.Compose([*steps, usual, v2.RandomErasing()])))
    # which images it changed, nothing tells
    with pytest.raises(attar.BadRequest, match="in a way that cannot be undone; leave Normalize"):
        read(ImageFolder(folder, v2.Compose([*steps, v2.RandomApply([usual])])))
    with pytest.raises(attar.BadRequest, match="in several ways; leave Normalize out"):
        read(ConcatDataset([own, ImageFolder(folder, v2.Compose(steps))]))


def test_a_part_of_a_data_set_keeps_its_class_names(folder: Path) -> None:
    own = ImageFolder(folder)
    train, test = random_split(own, [24, 6], torch.Generator().manual_seed(0))
    assert read((train, test)).train.class_names == NAMES
    assert read(Subset(own, range(20))).train.class_names == ("0", "1")


def test_objects_of_datasets_in_a_loader_and_in_a_mapping() -> None:
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(NAMES))}
    )
    own = datasets.Dataset.from_dict({"image": PICTURES, "label": y.tolist()}, features=features)
    assert same(read(own), NAMES)
    assert same(read(DataLoader(own, batch_size=4)), NAMES)  # pyright: ignore[reportArgumentType]
    assert read({"train": own, "test": own.select(range(6))}).test is not None
    assert read(datasets.DatasetDict(train=own, test=own.select(range(6)))).test is not None


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (X, "images without labels; give both"),
        ((X, y[:-1]), "30 images but 29 labels"),
        ((PICTURES, y[:-1]), "30 images but 29 labels"),
        ((X, y + 0.5), "label 0 is 0.5; a whole number, or a name"),
        ((np.where(X > 250, np.nan, X / 255), y), "holds NaN or Inf"),
        ((np.where(X > 250, np.inf, X / 255), y), "holds NaN or Inf"),
        ((X / 127.5 - 1, y), "of standardised ones, leave Normalize out"),
        ((X / 16, y), r"run from 0 to 15\.9\d*; scale them"),
        ((X * 2.0, y), "run from 0 to 510; scale them"),
        ((X.reshape(-1), y), r"images have shape \(5760,\)"),
        (([[1.0], [1.0, 2.0]], [0, 1]), "of unequal length"),
        ((["a.png"] * 30, y), "image 0 is a str; a Pillow image"),
        ([PICTURES[0], PICTURES[1]], "one class per image|one class index per image|no data"),
        ({"cat": PICTURES}, "dict is no data; give a source name, images and labels"),
        (7, "int is no data"),
    ],
)
def test_what_cannot_be_taken_is_refused_in_a_sentence(data: Any, words: str) -> None:
    with pytest.raises(attar.BadRequest, match=words):
        read(data)


@pytest.mark.parametrize("odd", [float("nan"), None, 1, True])
def test_names_with_something_else_among_them_are_refused(odd: Any) -> None:
    # numpy 2: asarray(["cat", nan]) holds the names "cat" and "nan"
    names = [NAMES[one] for one in y[:-1]]
    for images in (PICTURES, X):
        with pytest.raises(attar.BadRequest, match=f"label 29 is {odd!r}, where others are names"):
            read((images, [*names, odd]))
    with pytest.raises(attar.BadRequest, match=r"label 0 is|is no data"):
        read(list(zip(PICTURES, [odd, *names], strict=True)))


CHOSEN = [*range(12)]


@pytest.mark.parametrize(
    "options",
    [
        {"sampler": CHOSEN},
        {"sampler": SubsetRandomSampler(CHOSEN)},
        {"batch_sampler": BatchSampler(SubsetRandomSampler(CHOSEN), 5, False)},
        {"batch_sampler": [CHOSEN[:5], CHOSEN[5:], CHOSEN[:2]]},
    ],
)
def test_a_loader_of_some_items_gives_these_alone(options: dict[str, Any]) -> None:
    own = list(zip(PICTURES, y.tolist(), strict=True))
    loader: DataLoader[Any] = DataLoader(own, **options)  # pyright: ignore[reportArgumentType]
    assert torch.equal(read(loader).train.labels, torch.tensor(y[:12]))


def test_a_loader_of_some_rows_of_datasets_keeps_the_names() -> None:
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(NAMES))}
    )
    own: Any = datasets.Dataset.from_dict(
        {"image": PICTURES, "label": y.tolist()}, features=features
    )
    made = read(DataLoader(own, sampler=SubsetRandomSampler(CHOSEN))).train
    assert len(made) == 12 and made.class_names == NAMES


def test_a_sampler_that_may_leave_items_out_unseen_is_refused() -> None:
    class Some(Sampler[int]):
        def __iter__(self) -> Iterator[int]:
            return iter(CHOSEN)

    own: Any = list(zip(PICTURES, y.tolist(), strict=True))
    several: list[Any] = [{"sampler": Some()}, {"batch_sampler": BatchSampler(Some(), 4, False)}]
    for options in several:
        with pytest.raises(attar.BadRequest, match="which items its Some leaves out is not known"):
            read(DataLoader(own, **options))
    told = read(DataLoader(own, collate_fn=lambda items: items)).note
    assert "each item once and not through its collate_fn" in told


def test_a_stream_is_refused() -> None:
    class Stream(torch.utils.data.IterableDataset[Any]):
        def __iter__(self) -> Any:
            return iter(zip(X, y, strict=True))

    for data in (Stream(), DataLoader(Stream())):
        with pytest.raises(attar.BadRequest, match="Stream is a stream"):
            read(data)


def test_condense_takes_images_and_labels(capsys: pytest.CaptureFixture[str]) -> None:
    small: dict[str, Any] = {"method": "random", "device": "cpu", "validation": 0}
    made = attar.condense(X, y, **small)
    said = in_python(capsys.readouterr().err)
    assert "no budget was given: taken is ipc=1" in said and "ipc=10, or max_bytes=120kB" in said
    pair = attar.condense((X, y), progress=False, **small)
    assert torch.equal(made.images, pair.images) and capsys.readouterr().err == ""
    named = attar.condense(PICTURES, [NAMES[one] for one in y], ipc=1, **small)
    assert named.header.class_names == list(NAMES) and capsys.readouterr().err == ""
    assert attar.explain(X, y, **small)["images_per_class"] == 1
    with pytest.raises(attar.BadRequest, match="labels of images, or else"):
        attar.condense("digits", y)
    request = attar.Request(ipc=1, **small)
    assert torch.equal(attar.condense((X, y), request).images, made.images)


def test_what_is_no_callback_is_refused_before_any_work() -> None:
    class Part:
        def stepped(self, *facts: Any) -> None: ...

    odd: list[Any] = [print, attar.Callback, Part(), [attar.Callback()]]
    for one in odd:
        for progress in (False, True):
            with pytest.raises(attar.BadRequest, match=r"a class below attar\.Callback"):
                attar.condense("no source", ipc=1, callback=one, progress=progress)


def test_progress_tells_the_plan_and_a_callback_hears_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Heard(attar.Callback):
        def __init__(self) -> None:
            self.steps: list[int] = []

        def stepped(self, step: int, loss: float, share: float, seconds: float) -> None:
            self.steps.append(step)

    heard = Heard()
    attar.condense(
        *(X, y),
        method="dm",
        ipc=1,
        iterations=2,
        network="convnet1:width=4",
        device="cpu",
        torch_compile="off",
        validation=0,
        progress=True,
        callback=heard,
    )
    assert heard.steps == [1, 2]
    told = capsys.readouterr()
    assert "dm on data: 30 images of 3 classes" in told.err and told.out == ""
