"""Data sets made here and read by the library; nothing is fetched from the Hub."""

import io
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import attar
from attar.data import as_splits, hugging_face, load_source
from attar.errors import BadRequest
from pictures import RANDOM, write_folder

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf-cache")


def png(array: np.ndarray) -> dict[str, Any]:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return {"bytes": file.getvalue(), "path": None}


def split_of(
    count: int = 10,
    names: tuple[str, ...] = ("ant", "bee"),
    labels: list[int | None] | None = None,
    image: str = "image",
    label: str = "label",
    **more: Any,
) -> Any:
    arrays = RANDOM.integers(0, 256, (count, 4, 6, 3), dtype=np.uint8)
    columns = {
        image: [png(array) for array in arrays],
        label: [index % len(names) for index in range(count)] if labels is None else labels,
    }
    features = {image: datasets.Image(), label: datasets.ClassLabel(names=list(names))}
    for name, (values, feature) in more.items():
        columns[name], features[name] = values, feature
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


def save(root: Path, **splits: Any) -> str:
    datasets.DatasetDict(splits).save_to_disk(str(root / "zoo"))
    return f"hf:{root / 'zoo'}"


def test_saved_splits(tmp_path: Path) -> None:
    train, test = split_of(10), split_of(4)
    source = save(tmp_path, train=train, test=test, validation=split_of(2))
    splits = load_source(source)
    assert splits.train.class_names == ("ant", "bee")
    assert splits.train.name == "zoo"
    assert splits.train.labels.tolist() == [0, 1] * 5
    for index, image in enumerate(splits.train.images):
        expected = np.asarray(train[index]["image"])
        assert np.array_equal(image.permute(1, 2, 0).numpy(), expected)
    assert (len(splits.train), len(splits.test)) == (10, 4)
    assert splits.note == (
        "the splits train, test and validation (as validation); "
        "10 training, 4 test, 2 validation images"
    )
    assert len(load_source(f"{source}:validation").train) == 2
    assert len(load_source(f"{source}:test").test) == 2


def test_a_folder_of_files_and_a_single_saved_split(tmp_path: Path) -> None:
    write_folder(tmp_path / "zoo/train", {"ant": 3, "bee": 3})
    write_folder(tmp_path / "zoo/validation", {"ant": 1, "bee": 1})
    splits = load_source(f"hf:{tmp_path / 'zoo'}")
    assert (len(splits.train), len(splits.test)) == (6, 2)
    assert splits.note == "the splits train and validation; 6 training, 2 test images"
    split_of(10).shuffle(seed=0).with_format("torch").save_to_disk(str(tmp_path / "one"))
    splits = load_source(f"hf:{tmp_path / 'one'}", resize=3)
    assert (len(splits.train), len(splits.test)) == (8, 2)
    assert splits.train.shape == (3, 3, 3)
    assert "held out" in splits.note


def test_only_the_slice_is_decoded(tmp_path: Path) -> None:
    train = split_of(12, ("ant", "bee", "cow"))
    broken = train.map(
        lambda row, index: {"image": {"bytes": b"none", "path": None}} if index == 2 else row,
        with_indices=True,
        features=train.features,
    ).cast_column("image", datasets.Image(decode=False))
    source = save(
        tmp_path,
        train=broken.cast_column("image", datasets.Image()),
        test=split_of(3, ("ant", "bee", "cow")),
    )
    with pytest.raises(BadRequest, match=r"zoo, split train, row 2 cannot be read"):
        load_source(source)
    splits = load_source(source, classes="bee,ant", per_class=2)
    assert splits.train.class_names == ("bee", "ant")
    assert (len(splits.train), len(splits.test)) == (4, 2)


def test_one_of_several_columns_is_told_by_its_usual_name(tmp_path: Path) -> None:
    coarse = ([0] * 10, datasets.ClassLabel(names=["animal", "plant"]))
    mask = ([png(np.zeros((2, 2), np.uint8))] * 10, datasets.Image())
    text = (["x"] * 10, datasets.Value("string"))
    train = split_of(10, image="img", label="fine_label", coarse_label=coarse, mask=mask, text=text)
    splits = load_source(save(tmp_path, train=train))
    assert splits.train.class_names == ("ant", "bee")
    assert splits.train.shape == (3, 4, 6)


def test_refused_columns(tmp_path: Path) -> None:
    numbers = split_of(10).cast_column("label", datasets.Value("int64"))
    source = save(tmp_path, train=numbers.rename_column("label", "id"))
    with pytest.raises(BadRequest, match=r"no column of type class label.*image \(Image\), id"):
        load_source(source)
    two = split_of(
        10, image="left", right=([png(np.zeros((2, 2), np.uint8))] * 10, datasets.Image())
    )
    with pytest.raises(BadRequest, match=r"several columns of type image.*left \(Image\), label"):
        load_source(save(tmp_path / "two", train=two))


VALUES = {
    "int64": ([10, 9, -1], ("-1", "9", "10")),
    "uint8": ([10, 9, 1], ("1", "9", "10")),
    "string": (["cow", "ant", "bee"], ("ant", "bee", "cow")),
    "large_string": (["cow", "ant", "bee"], ("ant", "bee", "cow")),
    "bool": ([True, False, True], ("False", "True")),
}


def labelled(kind: str, name: str = "label", count: int = 12, values: Any = None) -> Any:
    """Return rows with labels of a plain kind, as parquet files without class names have."""
    values = VALUES[kind][0] if values is None else values
    labels = [values[index % len(values)] for index in range(count)]
    made = split_of(count).remove_columns("label")
    return made.add_column(name, labels, feature=datasets.Value(kind))


@pytest.mark.parametrize("kind", VALUES)
def test_plain_labels(tmp_path: Path, kind: str) -> None:
    splits = load_source(save(tmp_path, train=labelled(kind), test=labelled(kind, count=5)))
    values, names = VALUES[kind]
    assert splits.train.class_names == names
    assert splits.test is not None
    wanted = [names.index(str(values[index % 3])) for index in range(5)]
    assert splits.test.labels.tolist() == wanted


def test_columns_by_name(tmp_path: Path) -> None:
    train = labelled("string", "dx").add_column("label", [0, 1] * 6)
    source = save(tmp_path, train=train, test=train)
    assert load_source(source).train.class_names == ("0", "1")
    splits = load_source(source, label_column="dx", path_column="image")
    assert splits.train.class_names == ("ant", "bee", "cow")
    with pytest.raises(BadRequest, match=r"\(--label-column\) 'dy'.*did you mean 'dx'"):
        load_source(source, label_column="dy")
    with pytest.raises(BadRequest, match=r"--path-column dx: .*cast_column\('dx'"):
        load_source(source, path_column="dx")
    with pytest.raises(BadRequest, match="--split-column dx: hf has no such column"):
        load_source(source, split_column="dx")


@pytest.mark.parametrize(
    ("feature", "labels", "words"),
    [
        (datasets.Value("float32"), [0.5, 1.0] * 6, r"holds Value\('float32'\); whole numbers"),
        (datasets.List(datasets.Value("int64")), [[0, 1], [1]] * 6, "holds a list.*multi-label"),
        (datasets.Value("string"), ["a", "b", "a|b"] * 4, r"row 2: the label 'a\|b'.*multi-label"),
        (datasets.Value("string"), ["a", "b", ""] * 4, "row 2 has no label"),
        (datasets.Value("string"), ["a", "b", None] * 4, "row 2 has no label"),
    ],
)
def test_refused_labels(tmp_path: Path, feature: Any, labels: list[Any], words: str) -> None:
    train = split_of(12, image="picture").remove_columns("label")
    train = train.add_column("label", labels, feature=feature)
    with pytest.raises(BadRequest, match=words):
        load_source(save(tmp_path, train=train))


def test_plain_labels_of_a_test_split(tmp_path: Path) -> None:
    strange = labelled("string", values=["ant", "dog"])
    with pytest.raises(BadRequest, match="split test, row 1: no training row has the class 'dog'"):
        load_source(save(tmp_path, train=labelled("string"), test=strange))
    # challenges write -1 where a label is kept back
    numbers = {"train": labelled("int64", values=[0, 1]), "test": labelled("int64", values=[-1])}
    assert "no labelled test split" in load_source(save(tmp_path / "b", **numbers)).note


def test_objects_of_the_library() -> None:
    train, test = split_of(10), split_of(4)
    for given in ((train, test), datasets.DatasetDict(train=train, test=test)):
        splits = as_splits(given)
        assert splits.test is not None
        assert (len(splits.train), len(splits.test)) == (10, 4)
        assert splits.train.class_names == ("ant", "bee")
        first = np.asarray(train[0]["image"])
        assert np.array_equal(splits.train.images[0].permute(1, 2, 0).numpy(), first)
    assert as_splits(train, label_column="label").train.class_names == ("ant", "bee")
    named = labelled("string", "dx")
    with pytest.raises(BadRequest, match="Choose one with --label-column"):
        as_splits(named)
    assert as_splits(named, label_column="dx").train.class_names == ("ant", "bee", "cow")
    with pytest.raises(BadRequest, match=r"IterableDataset is a stream; give a datasets\.Dataset"):
        as_splits(train.to_iterable_dataset())
    with pytest.raises(BadRequest, match="no split train, but one, two; choose one and give it"):
        as_splits(datasets.DatasetDict(one=train, two=test))
    artefact = attar.condense((train, test), method="random", synthetic_per_class=1, resize=8)
    assert artefact.header.class_names == ["ant", "bee"]
    quick = {"networks": "convnet1:width=4", "repeats": 1, "epochs": 1, "resize": 8}
    assert attar.evaluate(artefact, (train, test), **quick)


def test_rows_that_a_function_makes_are_read_as_it_makes_them() -> None:
    def darker(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        images = [torch.from_numpy(np.array(one)).permute(2, 0, 1) // 2 for one in rows["image"]]
        return {"pixel_values": images, "labels": rows["label"]}

    train = split_of(10)
    splits = as_splits((train.with_transform(darker), train.with_transform(darker)))
    assert splits.test is not None
    assert splits.train.class_names == ("ant", "bee")
    pixels = np.asarray(train[0]["image"]) // 2
    assert np.array_equal(splits.test.images[0].permute(1, 2, 0).numpy(), pixels)
    numbers = datasets.Dataset.from_dict(
        {"image": RANDOM.integers(0, 256, (8, 4, 6)).tolist(), "label": [0, 1] * 4}
    )
    assert as_splits((numbers, numbers)).train.shape == (1, 4, 6)


def test_refused_splits(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"unknown split of .* 'tarin'.*did you mean 'train'"):
        load_source(save(tmp_path, train=split_of()) + ":tarin")
    source = save(tmp_path / "b", one=split_of(), two=split_of())
    with pytest.raises(BadRequest, match="no split train, but one, two; choose one as hf:"):
        load_source(source)
    assert len(load_source(source + ":two").train) == 8
    source = save(tmp_path / "c", train=split_of(), test=split_of(names=("bee", "ant")))
    with pytest.raises(BadRequest, match="classes of the test split"):
        load_source(source)


@pytest.mark.parametrize("nothing", [-1, None])
def test_unlabelled_splits(tmp_path: Path, nothing: int | None) -> None:
    unlabelled = split_of(4, labels=[nothing] * 4)
    source = save(tmp_path, train=split_of(), test=unlabelled, validation=split_of(2))
    assert len(load_source(source).test) == 2
    with pytest.raises(BadRequest, match="split test: row 0 has no label; name a labelled split"):
        load_source(f"{source}:test")
    source = save(tmp_path / "b", train=split_of(), test=unlabelled)
    assert "no labelled test split" in load_source(source).note


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    train = split_of(2, label="label").to_dict()
    train["image"][1] = None
    features = datasets.Features(
        image=datasets.Image(), label=datasets.ClassLabel(names=["a", "b"])
    )
    made = datasets.Dataset.from_dict(train, features=features)
    with pytest.raises(BadRequest, match="row 1 has no image"):
        load_source(save(tmp_path, train=made, test=split_of(2, ("a", "b"))))


def test_names_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def load(*arguments: Any) -> Any:
        asked.append(arguments)
        return datasets.DatasetDict(train=split_of(), test=split_of())

    monkeypatch.setattr(datasets, "load_dataset", load)
    for name in ("mnist", "uoft-cs/cifar10", "owner/name/some/configuration:train"):
        splits = load_source(f"hf:{name}")
        assert splits.source == f"hf:{name}"
    assert asked == [
        ("mnist", None),
        ("uoft-cs/cifar10", None),
        ("owner/name", "some/configuration"),
    ]
    assert load_source("hf:uoft-cs/cifar10").train.name == "cifar10"
    assert hugging_face.short_name("owner/name/some") == "name"


def test_what_cannot_be_had_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(BadRequest, match=r"/nowhere does not exist"):
        load_source(f"hf:{tmp_path}/nowhere")

    def fail(*_: Any) -> None:
        # huggingface-hub 2.4 warns of each of its attempts
        logging.getLogger("huggingface_hub.utils._http").warning("Retrying in 1s [Retry 1/5].")
        raise ConnectionError("no network")

    monkeypatch.setattr(datasets, "load_dataset", fail)
    told = r"hf:mnist could not be read \(no network\): the Hub cannot be reached, so give"
    with caplog.at_level(logging.WARNING), pytest.raises(BadRequest, match=told):
        load_source("hf:mnist")
    assert caplog.records == []


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(BadRequest, match=r"pip install 'attar\[hf\]'"):
        load_source("hf:mnist")
