import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from attar.data import SOURCES, load_source, source_rows, sources
from attar.data.catalogue import Source
from attar.data.given import as_splits, from_dataset, from_tensors
from attar.data.images import LabelledImages
from attar.data.preprocessing import Preprocessing
from attar.data.splits import Splits
from attar.errors import BadRequest

RANDOM = np.random.default_rng(0)


def pixels(*shape: int) -> np.ndarray:
    return RANDOM.integers(0, 256, shape, dtype=np.uint8)


def write_image(path: Path, size: tuple[int, int] = (4, 6), mode: str = "RGB") -> np.ndarray:
    """Write a lossless image of height × width and return its pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    array = pixels(*size, 3) if mode == "RGB" else pixels(*size)
    Image.fromarray(array).save(path)
    return array


def write_folder(root: Path, counts: dict[str, int], **options: Any) -> None:
    for name, count in counts.items():
        for index in range(count):
            write_image(root / name / f"{index:02}.png", **options)


class Items(Dataset[Any]):
    """A map-style data set of given items."""

    def __init__(self, items: list[Any], classes: list[str] | None = None) -> None:
        self.items = items
        if classes is not None:
            self.classes = classes

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


# names and options


def test_digits_offline() -> None:
    splits = load_source("digits")
    assert (len(splits.train), len(splits.test)) == (1438, 359)
    assert splits.train.images.dtype == torch.uint8
    assert splits.train.shape == (1, 8, 8)
    assert splits.train.class_names == tuple("0123456789")
    assert {int(v) for v in splits.train.images.unique()} == {
        round(v * 255 / 16) for v in range(17)
    }
    assert "20 %" in splits.note
    shares = [len(own) / 178 for own in splits.train.indices_of_class]
    assert min(shares) > 0.75
    inputs = splits.train.take(torch.arange(1438))
    assert float(inputs.mean()) == pytest.approx(0, abs=1e-4)
    assert float(inputs.std()) == pytest.approx(1, abs=1e-3)
    assert torch.equal(load_source("digits").test.images, splits.test.images)


@pytest.mark.parametrize("zca", ["mtt", "frepo", "rtp", "kip"])
def test_zca_is_fitted_on_the_training_part(zca: str) -> None:
    splits = load_source("digits", zca=zca)
    preprocessing = splits.train.preprocessing
    assert splits.test.preprocessing is preprocessing
    assert preprocessing.whitening is not None
    assert preprocessing.whitening.kind == zca
    assert (preprocessing.mean == (0.0,)) == (zca != "frepo")
    if zca in ("mtt", "frepo"):
        inputs = splits.train.take(torch.arange(len(splits.train)))
        assert float(inputs.mean(0).abs().max()) < 1e-3


def test_rows_name_every_source() -> None:
    rows = dict(source_rows())
    assert list(rows) == [
        *("digits", "mnist", "fashion_mnist", "svhn", "cifar10", "cifar100"),
        *(
            "tiny_imagenet",
            "folder:DIR",
            "csv:FILE",
            "npz:FILE",
            "npy:DIR",
            "hf:NAME[:SPLIT][,streaming]",
        ),
        "wds:SHARDS",
    ]
    assert all(rows.values())
    assert len(rows) == len(SOURCES)


@pytest.mark.parametrize("source", SOURCES.values(), ids=lambda source: source.name)
def test_every_source_has_what_reads_it(source: Source) -> None:
    module, _, name = source.home.partition(".")
    function = getattr(importlib.import_module(f"attar.data.{module}"), name)
    assert list(inspect.signature(function).parameters)[1:] == ["reading"]


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        ("digit", {}, r"unknown source 'digit' \(did you mean 'digits'"),
        ("folder", {}, "write folder:DIR"),
        ("npz:", {}, "write npz:FILE"),
        ("digits:x", {}, "digits takes nothing after its name"),
        ("digits", {"zca": "ztt"}, r"unknown whitening \(zca\) 'ztt'"),
        ("folder:/no/such", {}, "/no/such does not exist; give a folder"),
        ("npz:/no/such.npz", {}, "/no/such.npz does not exist; give an .npz file"),
        *(
            ("digits", {"resize": wrong}, "is no size; give one number")
            for wrong in (0, -3, 2.5, True, (8,), (8, 0), (8, 8, 8), "8")
        ),
    ],
)
def test_refused_names_and_options(source: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        load_source(source, **options)


def test_a_path_without_prefix_is_told_its_prefix(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="is a folder; write folder:"):
        load_source(str(tmp_path))
    (tmp_path / "file.npz").write_bytes(b"")
    with pytest.raises(BadRequest, match="for arrays write npz:"):
        load_source(str(tmp_path / "file.npz"))
    with pytest.raises(BadRequest, match="is a file, not a folder"):
        load_source(f"folder:{tmp_path / 'file.npz'}")
    with pytest.raises(BadRequest, match="is a folder, not a file"):
        load_source(f"npz:{tmp_path}")


@pytest.mark.parametrize(
    ("resize", "shape"), [(5, (1, 5, 5)), ((4, 7), (1, 4, 7)), (16, (1, 16, 16))]
)
def test_resize(resize: Any, shape: tuple[int, int, int]) -> None:
    splits = load_source("digits", resize=resize)
    assert splits.train.shape == splits.test.shape == shape
    assert splits.train.images.dtype == torch.uint8


def test_importing_needs_no_torchvision() -> None:
    code = (
        "import sys, attar.data; sys.exit('torchvision' in sys.modules or 'sklearn' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# torchvision's data sets, without downloading


def fake_torchvision(
    monkeypatch: pytest.MonkeyPatch, of_class: str
) -> list[tuple[Any, dict[str, Any]]]:
    """Replace a data set of torchvision by a small one of the same attributes."""
    import torchvision.datasets

    calls: list[tuple[Any, dict[str, Any]]] = []

    def build(root: Any, **options: Any) -> SimpleNamespace:
        calls.append((root, options))
        count = 30 if options.get("train", options.get("split") == "train") else 20
        classes = 100 if of_class == "CIFAR100" else 10
        labels = np.arange(count * classes // 10) % classes
        count = len(labels)
        names = [f"class {one}" for one in range(classes)]
        if of_class == "SVHN":
            return SimpleNamespace(data=pixels(count, 3, 32, 32), labels=labels)
        if "MNIST" in of_class:
            data = torch.from_numpy(pixels(count, 28, 28))
            return SimpleNamespace(data=data, targets=torch.from_numpy(labels), classes=names)
        # what reading CIFAR's old pickles does
        np.dtype("u1", 0, 1)  # type: ignore[call-overload]
        data = pixels(count, 32, 32, 3)
        return SimpleNamespace(data=data, targets=labels.tolist(), classes=names)

    monkeypatch.setattr(torchvision.datasets, of_class, build)
    return calls


@pytest.mark.parametrize(
    ("name", "of_class", "shape", "mean"),
    [
        ("mnist", "MNIST", (1, 28, 28), (0.1307,)),
        ("fashion_mnist", "FashionMNIST", (1, 28, 28), (0.2861,)),
        ("svhn", "SVHN", (3, 32, 32), (0.4377, 0.4438, 0.4728)),
        ("cifar10", "CIFAR10", (3, 32, 32), (0.4914, 0.4822, 0.4465)),
        ("cifar100", "CIFAR100", (3, 32, 32), (0.5071, 0.4866, 0.4409)),
    ],
)
def test_named_data_sets(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
    of_class: str,
    shape: tuple[int, int, int],
    mean: tuple[float, ...],
) -> None:
    calls = fake_torchvision(monkeypatch, of_class)
    splits = load_source(name, data_dir=tmp_path)
    assert splits.train.shape == shape
    assert splits.train.preprocessing.mean == mean
    assert splits.train.classes == (100 if name == "cifar100" else 10)
    assert splits.train.images.is_contiguous()
    assert (splits.train.name, splits.test.name) == (name, f"{name} test")
    count = 3 * len(splits.train.class_names)
    assert splits.note == f"{count} training, {count // 3 * 2} test images"
    assert len(splits.train) == 1.5 * len(splits.test)
    assert [root for root, _ in calls] == [tmp_path, tmp_path]
    assert all(options["download"] for _, options in calls)
    small = load_source(name, data_dir=tmp_path, resize=14)
    assert small.train.shape == (shape[0], 14, 14)
    assert small.train.preprocessing.mean == mean
    assert small.note == f"{splits.note}; resized to 14×14"


def test_channels_stay_in_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import torchvision.datasets

    data = pixels(20, 32, 32, 3)
    made = SimpleNamespace(data=data, targets=[0, 1] * 10, classes=["a", "b"])
    monkeypatch.setattr(torchvision.datasets, "CIFAR10", lambda *_, **__: made)
    images = load_source("cifar10", data_dir=tmp_path).train.images
    assert np.array_equal(images.numpy(), data.transpose(0, 3, 1, 2))


def test_constants_of_the_whitenings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_torchvision(monkeypatch, "CIFAR10")
    seen: list[dict[str, Any]] = []

    def fit(kind: str, images: torch.Tensor, **options: Any) -> None:
        seen.append({"kind": kind} | options)

    monkeypatch.setattr("attar.data.splits.fit_whitening", fit)
    frepo = load_source("cifar10", data_dir=tmp_path, zca="frepo").train.preprocessing
    assert frepo.std == (0.2470, 0.2435, 0.2616) == seen[0]["std"]
    fake_torchvision(monkeypatch, "SVHN")
    for zca in ("rtp", "kip", "mtt"):
        assert load_source("svhn", data_dir=tmp_path, zca=zca).train.preprocessing.std == (1, 1, 1)
    assert [one["strength"] for one in seen[1:]] == [100.0, 100.0, 0.1]


def test_failed_download_says_where_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import torchvision.datasets

    def build(*_: Any, **__: Any) -> None:
        raise RuntimeError("Error downloading train.gz")

    monkeypatch.setattr(torchvision.datasets, "MNIST", build)
    monkeypatch.setenv("ATTAR_DATA", str(tmp_path))
    with pytest.raises(BadRequest, match=r"MNIST is neither in .*Error downloading") as caught:
        load_source("mnist")
    for word in (str(tmp_path), "ATTAR_DATA", "--data-dir", "npz:FILE"):
        assert word in str(caught.value)


def test_data_dir_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTAR_DATA", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if sys.platform.startswith("linux"):
        assert sources.default_data_dir() == tmp_path / ".cache/attar"
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))
        assert sources.default_data_dir() == tmp_path / "elsewhere/attar"
    # what an earlier version kept is used until there is the other
    (tmp_path / ".cache/attar").mkdir(parents=True)
    assert sources.default_data_dir() == tmp_path / ".cache/attar"


def test_mnist_from_real_files(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST/raw"
    raw.mkdir(parents=True)
    given = {}
    for part, count in (("train", 30), ("t10k", 20)):
        images, labels = pixels(count, 28, 28), (np.arange(count) % 10).astype(np.uint8)
        given[part] = images
        head = b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in images.shape)
        (raw / f"{part}-images-idx3-ubyte").write_bytes(head + images.tobytes())
        head = b"\0\0\x08\x01" + count.to_bytes(4, "big")
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(head + labels.tobytes())
    splits = load_source("mnist", data_dir=tmp_path)
    assert np.array_equal(splits.train.images[:, 0].numpy(), given["train"])
    assert np.array_equal(splits.test.images[:, 0].numpy(), given["t10k"])
    assert splits.train.class_names == tuple("0123456789")


# folders


def test_folder_with_hold_out_is_what_imagefolder_reads(tmp_path: Path) -> None:
    write_folder(tmp_path, {"bee": 10, "Ant": 5, "cat": 2})
    write_image(tmp_path / "bee/deeper/x.PNG")
    (tmp_path / "bee/notes.txt").write_text("no image")
    (tmp_path / ".cache").mkdir()
    (tmp_path / "bee/._00.png").write_bytes(b"a file that macOS leaves")
    splits = load_source(f"folder:{tmp_path}")
    assert splits.train.class_names == ("Ant", "bee", "cat")
    assert [len(own) for own in splits.train.indices_of_class] == [4, 9, 1]
    assert [len(own) for own in splits.test.indices_of_class] == [1, 2, 1]
    assert splits.train.shape == (3, 4, 6)
    assert splits.train.name == tmp_path.name
    assert "20 %" in splits.note

    from torchvision.datasets import ImageFolder

    (tmp_path / ".cache").rmdir()
    (tmp_path / "bee/._00.png").unlink()
    items = ImageFolder(str(tmp_path))
    expected = {(np.asarray(image).tobytes(), label) for image, label in items}
    got = {
        (image.permute(1, 2, 0).contiguous().numpy().tobytes(), int(label))
        for part in (splits.train, splits.test)
        for image, label in zip(part.images, part.labels, strict=True)
    }
    assert got == expected
    assert len(items) == len(got) == 18


@pytest.mark.parametrize("test_name", ["test", "val"])
def test_folder_with_parts(tmp_path: Path, test_name: str) -> None:
    write_folder(tmp_path / "train", {"ant": 3, "bee": 2, "cat": 1})
    write_folder(tmp_path / test_name, {"cat": 2, "ant": 1})
    splits = load_source(f"folder:{tmp_path}")
    assert (len(splits.train), len(splits.test)) == (6, 3)
    assert splits.test.labels.tolist() == [0, 2, 2]
    assert splits.test.class_names == ("ant", "bee", "cat")
    assert test_name in splits.note


def test_folder_test_comes_before_val_and_train_may_stand_alone(tmp_path: Path) -> None:
    write_folder(tmp_path / "train", {"ant": 5, "bee": 5})
    assert "held out" in load_source(f"folder:{tmp_path}").note
    write_folder(tmp_path / "val", {"ant": 1, "bee": 1})
    write_folder(tmp_path / "test", {"ant": 2, "bee": 2})
    assert len(load_source(f"folder:{tmp_path}").test) == 4


def test_folder_is_grayscale_when_all_images_are(tmp_path: Path) -> None:
    write_folder(tmp_path, {"ant": 5, "bee": 5}, mode="L")
    given = write_image(tmp_path / "ant/only.png", mode="L")
    splits = load_source(f"folder:{tmp_path}")
    assert splits.train.shape == (1, 4, 6)
    both = torch.cat([splits.train.images, splits.test.images])
    assert any(np.array_equal(image[0].numpy(), given) for image in both)
    write_image(tmp_path / "bee/colour.png")
    assert load_source(f"folder:{tmp_path}").train.shape == (3, 4, 6)


def test_folder_of_other_modes(tmp_path: Path) -> None:
    write_folder(tmp_path, {"ant": 4, "bee": 4})
    Image.fromarray(pixels(4, 6, 4)).save(tmp_path / "ant/alpha.png")
    palette = Image.fromarray(pixels(4, 6)).convert("P")
    palette.save(tmp_path / "ant/palette.png", transparency=bytes(range(256)))
    Image.fromarray(pixels(4, 6) > 99).save(tmp_path / "bee/bits.png")
    assert load_source(f"folder:{tmp_path}").train.shape == (3, 4, 6)


def test_folder_of_several_sizes_needs_resize(tmp_path: Path) -> None:
    write_folder(tmp_path, {"ant": 5, "bee": 5})
    write_image(tmp_path / "bee/wide.png", (4, 9))
    with pytest.raises(
        BadRequest, match=r"2 sizes.*4×6 \(10, .*4×9 \(1, such as wide.png\).*--resize"
    ):
        load_source(f"folder:{tmp_path}")
    assert load_source(f"folder:{tmp_path}", resize=(3, 5)).train.shape == (3, 3, 5)
    assert load_source(f"folder:{tmp_path}", resize=8).test.shape == (3, 8, 8)


def refused(root: Path, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        load_source(f"folder:{root}")


def test_folder_refusals(tmp_path: Path) -> None:
    root = tmp_path / "zoo"
    root.mkdir()
    refused(root, "has no subfolders")
    write_folder(root, {"ant": 3})
    assert "one class only, ant" in load_source(f"folder:{root}").note
    (root / "bee").mkdir()
    refused(root, r"class folder .*bee holds no images; add")
    write_folder(root, {"bee": 1})
    refused(root, "class 'bee' has one image, so none can be held out")
    write_folder(root, {"bee": 3})
    broken = root / "bee/broken.jpg"
    broken.write_bytes(b"no jpeg")
    refused(root, r"image .*broken.jpg cannot be read \(cannot identify image file\)")
    broken.unlink()
    write_image(root / "bee/big.png", (40, 60))
    whole = (root / "bee/big.png").read_bytes()
    (root / "bee/cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadRequest, match=r"image .*cut.png cannot be read"):
        load_source(f"folder:{root}", resize=4)
    (root / "bee/cut.png").unlink()
    (root / "bee/big.png").unlink()
    Image.fromarray(pixels(4, 6).astype(np.uint16) * 200).save(root / "bee/deep.png")
    refused(root, r"of 8 bits a channel and of more: .*16 bits \(1, such as deep.png\)")


def test_folder_refusals_of_parts(tmp_path: Path) -> None:
    write_folder(tmp_path / "test", {"ant": 2, "bee": 2})
    refused(tmp_path, "has test but no train")
    write_folder(tmp_path / "train", {"ant": 2})
    refused(tmp_path, "test has the class 'bee', which the training part lacks")
    write_folder(tmp_path / "train", {"cat": 2})
    refused(
        tmp_path, r"test has the class 'bee', which the training part lacks \(it has ant, cat\)"
    )
    (tmp_path / "test").rename(tmp_path / ".old")
    for name in ("ant", "cat"):
        (tmp_path / "test" / name).mkdir(parents=True)
    refused(tmp_path, "test holds no images")
    write_folder(tmp_path / "test", {"cat": 1}, size=(5, 6))
    refused(tmp_path, "images of 2 sizes")


# arrays in a file


def save(path: Path, **arrays: Any) -> str:
    np.savez(path, **arrays)
    return f"npz:{path}"


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((5, 7), (1, 5, 7)),
        ((5, 7, 1), (1, 5, 7)),
        ((1, 5, 7), (1, 5, 7)),
        ((5, 7, 3), (3, 5, 7)),
        ((3, 5, 7), (3, 5, 7)),
    ],
)
def test_npz_layouts(tmp_path: Path, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    x, y = pixels(20, *shape), np.arange(20) % 2
    source = save(tmp_path / "zoo.npz", x_train=x, y_train=y, x_test=x[:4], y_test=y[:4])
    splits = load_source(source)
    assert splits.train.shape == expected
    assert (len(splits.train), len(splits.test), splits.train.name) == (20, 4, "zoo")
    first = x[0].reshape(5, 7, -1).transpose(2, 0, 1) if shape[-1] in (1, 3) else x[0]
    assert np.array_equal(splits.train.images[0].numpy(), first.reshape(expected))


def test_npz_with_hold_out_and_class_names(tmp_path: Path) -> None:
    y = np.repeat([0, 1], [10, 40]).reshape(-1, 1)
    for names in (np.array(["ant", "bee"]), np.array([b"ant", b"bee"])):
        source = save(tmp_path / "zoo", images=pixels(50, 4, 4), labels=y, class_names=names)
        splits = load_source(f"{source}.npz")
        assert [len(own) for own in splits.test.indices_of_class] == [2, 8]
        assert splits.train.class_names == ("ant", "bee")
        assert "held out" in splits.note


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_npz_floats_stay_floats_unless_they_are_bytes(tmp_path: Path, dtype: type) -> None:
    y = np.arange(20) % 2
    x = RANDOM.random((20, 4, 4)).astype(dtype)
    splits = load_source(save(tmp_path / "a.npz", images=x, labels=y))
    assert splits.train.images.dtype == torch.float32


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16, ">i4", np.uint64])
def test_npz_whole_values_become_bytes(tmp_path: Path, dtype: Any) -> None:
    x, y = pixels(20, 4, 4), np.arange(20) % 2
    floats = np.dtype(dtype).kind == "f"
    source = save(
        tmp_path / "a.npz",
        x_train=(x / 255 if floats else x).astype(dtype),
        y_train=y.astype(np.uint8),
        x_test=x,
        y_test=y,
    )
    splits = load_source(source)
    assert torch.equal(splits.train.images, splits.test.images)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": pixels(4, 4, 4)}, r"holds the arrays x; needed are x_train and y_train"),
        ({"x_train": pixels(4, 4, 4)}, "holds the arrays x_train; needed are x_train and y_train"),
        ({"images": pixels(4, 3, 5, 3), "labels": np.arange(4)}, "C×H×W and as H×W×C"),
        ({"images": pixels(4, 66, 65, 67), "labels": np.arange(4)}, "no axis of 1 to 64 channels"),
        ({"images": pixels(4, 4)[:, 0], "labels": np.arange(4)}, "N×H×W, N×H×W×C or N×C×H×W"),
        ({"images": pixels(4, 4, 4), "labels": np.arange(3)}, "4 images but 3 labels"),
        ({"images": pixels(0, 4, 4), "labels": np.arange(0)}, "there are no images"),
        ({"images": pixels(4, 4, 4), "labels": np.eye(4)}, r"labels.argmax\(1\)"),
        ({"images": pixels(4, 4, 4), "labels": np.eye(4, dtype=int)}, r"labels.argmax\(1\)"),
        ({"images": pixels(4, 4, 4), "labels": np.array(list("abab"))}, "numpy.unique"),
        ({"images": pixels(4, 4, 4), "labels": np.arange(4) * 10**9}, "run from 0 to 3000000000"),
        ({"images": pixels(4, 4, 4), "labels": np.arange(4) - 1}, "labels run from -1"),
        (
            {"images": pixels(9, 4, 4), "labels": np.arange(9) % 2 * 4 + 3},
            "no images of class 0, 1",
        ),
        ({"images": pixels(4, 4, 4), "labels": np.zeros(4, int)}, None),
        ({"images": pixels(4, 4, 4), "labels": np.arange(4)}, "class '0' has one image"),
        ({"images": pixels(4, 4, 4) * 2.0, "labels": np.arange(4) % 2}, r"scale them to \[0, 1\]"),
        ({"images": pixels(4, 4, 4) * 2, "labels": np.arange(4) % 2}, None),
        ({"images": pixels(4, 4, 4) + np.int64(9), "labels": np.arange(4) % 2}, r"0…255"),
        ({"images": np.full((4, 4, 4), np.nan), "labels": np.arange(4) % 2}, "NaN"),
        ({"images": pixels(4, 4, 4) > 9, "labels": np.arange(4) % 2}, None),
        ({"images": pixels(4, 4, 4) * 1j, "labels": np.arange(4) % 2}, "numbers are needed"),
        ({"images": np.array([{}]), "labels": np.arange(4)}, "plain arrays"),
        (
            {"images": pixels(4, 4, 4), "labels": np.arange(4) % 2, "class_names": ["a", "a"]},
            "'a' is given twice",
        ),
        (
            {"images": pixels(4, 4, 4), "labels": np.arange(4) % 2, "class_names": 5},
            r"class_names has shape \(\)",
        ),
        (
            {"images": pixels(6, 4, 4), "labels": np.arange(6) % 3, "class_names": ["a", "b"]},
            "labels run from 0 to 2; with 2 classes",
        ),
    ],
)
def test_npz_refusals(tmp_path: Path, arrays: dict[str, Any], words: str | None) -> None:
    source = save(tmp_path / "a.npz", **arrays)
    if words is None:
        load_source(source)
        return
    with pytest.raises(BadRequest, match=words):
        load_source(source)


def test_npz_refuses_other_files(tmp_path: Path) -> None:
    for content in (b"", b"no archive", b"PK\x03\x04 broken"):
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(BadRequest, match=r"cannot be read as an \.npz file"):
            load_source(f"npz:{tmp_path / 'a.npz'}")
    np.save(tmp_path / "b.npy", pixels(3, 3))
    with pytest.raises(BadRequest, match="holds one array"):
        load_source(f"npz:{tmp_path / 'b.npy'}")


def test_npz_test_part_is_checked(tmp_path: Path) -> None:
    x, y = pixels(20, 4, 4), np.arange(20) % 2
    path = tmp_path / "a.npz"
    good = {"x_train": x, "y_train": y, "x_test": x, "y_test": y}
    with pytest.raises(BadRequest, match="a test: labels run from 0 to 2"):
        load_source(save(path, **(good | {"y_test": np.arange(20) % 3})))
    with pytest.raises(BadRequest, match="the test part pictures of 1×4×5"):
        load_source(save(path, **(good | {"x_test": pixels(20, 4, 5)})))
    with pytest.raises(BadRequest, match="a test: 20 images but 3 labels"):
        load_source(save(path, **(good | {"y_test": y[:3]})))
    lacking = load_source(save(path, **(good | {"y_test": y * 0})))
    assert [len(own) for own in lacking.test.indices_of_class] == [20, 0]


# from Python


def test_from_tensors_keeps_bytes_once() -> None:
    images = torch.from_numpy(pixels(20, 3, 4, 5))
    labels = torch.arange(20) % 2
    splits = from_tensors(images, labels, ["a", "b"], test=(images, labels), name="mine")
    assert splits.train.images.data_ptr() == images.data_ptr()
    assert (splits.train.name, splits.source) == ("mine", "mine")
    assert splits.train.preprocessing.mean == pytest.approx(
        (images / 255).mean((0, 2, 3)).tolist(), rel=1e-5
    )


def test_from_tensors_reads_tensors_channels_first() -> None:
    images = torch.from_numpy(pixels(20, 3, 4, 3))
    assert from_tensors(images, [0, 1] * 10).train.shape == (3, 4, 3)


def test_a_mapping_renumbers_labels() -> None:
    images = torch.from_numpy(pixels(20, 4, 4))
    labels = torch.tensor([3, 7] * 10)
    with pytest.raises(BadRequest, match="number the others 0, 1, 2"):
        from_tensors(images, labels)
    with pytest.raises(BadRequest, match="with 2 classes"):
        from_tensors(images, labels, ["cat", "horse"])
    splits = from_tensors(images, labels, {7: "horse", 3: "cat"}, test=(images[:1], labels[:1]))
    assert splits.train.class_names == ("horse", "cat")
    assert splits.train.labels.tolist() == [1, 0] * 10
    assert splits.test.labels.tolist() == [1]
    with pytest.raises(BadRequest, match="label 7 has no name in class_names"):
        from_tensors(images, labels, {3: "cat", 4: "deer"})
    with pytest.raises(BadRequest, match="the one text 'cat'"):
        from_tensors(images, labels, "cat")


def as_item(array: np.ndarray, kind: str) -> Any:
    if kind == "pil":
        return Image.fromarray(array)
    if kind == "array":
        return array
    tensor = torch.from_numpy(array).permute(2, 0, 1)
    return tensor if kind == "tensor" else tensor / 255


@pytest.mark.parametrize("kind", ["pil", "array", "tensor", "floats"])
def test_from_dataset_of_any_image_gives_bytes(kind: str) -> None:
    arrays = pixels(20, 4, 5, 3)
    labels: list[Any] = [0, np.int64(1), torch.tensor(0), np.array([1])] * 5
    items = [(as_item(one, kind), label) for one, label in zip(arrays, labels, strict=True)]
    splits = from_dataset(Items(items, ["a", "b"]), test=Items(items[:3]))
    assert splits.train.class_names == ("a", "b")
    assert splits.train.labels.tolist() == [0, 1] * 10
    assert splits.train.images.dtype == torch.uint8
    assert np.array_equal(splits.train.images.numpy(), arrays.transpose(0, 3, 1, 2))
    assert len(splits.test) == 3


def test_from_dataset_of_grayscale_and_floats() -> None:
    grays = [(Image.fromarray(one), i % 2) for i, one in enumerate(pixels(10, 4, 5))]
    assert from_dataset(Items(grays)).train.shape == (1, 4, 5)
    # bytes first, then a float image in between: the values stay
    mixed = [
        (torch.full((1, 2, 2), value), i % 2) for i, value in enumerate([1.0, 0.2, 0.3335, 0.4])
    ]
    mixed.append((torch.full((1, 2, 2), 51, dtype=torch.uint8), 0))
    splits = from_dataset(Items(mixed), test=Items(mixed[2:4]))
    assert splits.train.images.dtype == torch.float32
    got = splits.train.images[:, 0, 0, 0].tolist()
    assert got == pytest.approx([1.0, 0.2, 0.3335, 0.4, 0.2])


def test_from_dataset_resizes_each_image() -> None:
    items = [(Image.fromarray(pixels(4 + i % 3, 6)), i % 2) for i in range(10)]
    with pytest.raises(BadRequest, match=r"item 1 is of 1×5×6.*or a resize"):
        from_dataset(Items(items))
    assert from_dataset(Items(items), resize=(3, 4)).train.shape == (1, 3, 4)


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter([])


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        (Items([]), "is empty"),
        (Items([pixels(4, 4)]), "item 0 is no pair"),
        (Items([("text", 0)]), "image 0 is a str; a Pillow image"),
        (Items([(pixels(4, 4), b"cat")]), "label b'cat'; a whole number"),
        (Items([(pixels(4, 4), 1.0)]), "label 1.0"),
        (Items([(pixels(4, 4), True)]), "label True"),
        (Items([(pixels(4)[:, None, None, None], 0)]), "H×W or C×H×W"),
        (Items([(pixels(3, 5, 3), 0)]), "C×H×W and as H×W×C"),
        (Items([(Image.fromarray(pixels(4, 4).astype(np.uint16)), 0)]), "more than 8 bits"),
        (Items([(torch.randn(1, 4, 4) * 9, i % 2) for i in range(9)]), "floating images run from"),
        (Stream(), "has no length; give a map-style Dataset"),
    ],
)
def test_from_dataset_refusals(dataset: Any, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        from_dataset(dataset)


def test_as_splits_of_everything(tmp_path: Path) -> None:
    images, labels = torch.from_numpy(pixels(20, 1, 4, 4)), torch.arange(20) % 2
    labelled = LabelledImages(images, labels, ("a", "b"), Preprocessing.none(1), "mine")
    dataset = TensorDataset(images, labels)
    save(tmp_path / "a.npz", images=images.numpy(), labels=labels.numpy())
    write_folder(tmp_path / "zoo", {"ant": 10, "bee": 10}, size=(4, 4), mode="L")
    made = as_splits(labelled)
    given = [
        *("digits", tmp_path / "a.npz", tmp_path / "zoo", f"npz:{tmp_path / 'a.npz'}"),
        *(dataset, (images, labels), (images.numpy(), labels.tolist()), labelled, made),
        *((dataset, dataset), (labelled, labelled), [(images, labels), (images, labels)]),
    ]
    for one in given:
        splits = as_splits(one)
        assert isinstance(splits, Splits)
        assert splits.train.shape == (1, 8, 8) if one == "digits" else (1, 4, 4)
    assert as_splits(made) is made
    assert made.train.preprocessing is labelled.preprocessing
    assert made.train is labelled and made.test is None
    assert len(as_splits((dataset, dataset)).test) == 20
    assert as_splits(dataset, resize=2, zca="mtt").train.shape == (1, 2, 2)


def test_as_splits_refusals() -> None:
    images, labels = torch.from_numpy(pixels(20, 1, 4, 4)), torch.arange(20) % 2
    made = from_tensors(images, labels)
    for nothing in (None, 3, images, (images,), (images, labels, images), {"images": images}):
        with pytest.raises(BadRequest, match=r"is no data; give a source name|without labels"):
            as_splits(nothing)
    for late in ({"zca": "mtt"}, {"resize": 3}):
        with pytest.raises(BadRequest, match="already has its size and preprocessing"):
            as_splits(made, **late)


def test_splits_belong_together() -> None:
    images, labels = torch.from_numpy(pixels(20, 1, 4, 4)), torch.arange(20) % 2

    def labelled(height: int, names: tuple[str, ...], mean: float) -> LabelledImages:
        return LabelledImages(images[:, :, :height], labels, names, Preprocessing((mean,), (1.0,)))

    train = labelled(4, ("a", "b"), 0.0)
    assert Splits(train, labelled(4, ("a", "b"), 0.0)).to("cpu").train.shape == (1, 4, 4)
    for test, words in (
        (labelled(3, ("a", "b"), 0.0), "the test part pictures of 1×3×4"),
        (labelled(4, ("b", "a"), 0.0), "the classes of the test part"),
        (labelled(4, ("a", "b"), 0.5), "another preprocessing"),
    ):
        with pytest.raises(BadRequest, match=words):
            Splits(train, test)


def test_resizing_of_tensors_is_like_pillow() -> None:
    from attar.data.resizing import fit_image, fit_images

    smooth = torch.nn.functional.interpolate(
        torch.rand(1, 3, 5, 5, generator=torch.Generator().manual_seed(0)), (40, 24), mode="bicubic"
    )
    images = (smooth.clamp(0, 1) * 255).round().to(torch.uint8)
    picture = Image.fromarray(images[0].permute(1, 2, 0).numpy())
    for size in ((10, 10), (9, 20), (60, 30)):
        got = fit_images(images, size)[0].permute(1, 2, 0).numpy().astype(int)
        assert np.abs(got - np.asarray(fit_image(picture, size))).max() <= 1
    assert fit_images(images, (40, 24)) is images
    assert fit_images(images / 255, (10, 10)).max() <= 1
