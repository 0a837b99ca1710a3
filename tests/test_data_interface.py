"""Data are an interface: where images lie is nobody's business but that of what reads them."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import attar
from attar.cli import run
from attar.data import from_tensors, load_source
from attar.data.rows import Rows, in_memory, in_parts, picked, size_of
from attar.errors import BadRequest, RunFailed
from attar.tensors import read_tensors

NAMES = ("ant", "bee", "cow")


def pictures(count: int = 60, side: int = 8, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, size=(count, side, side, 3), dtype=np.uint8)


def labels(count: int = 60) -> np.ndarray:
    return np.arange(count) % 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Arrays, each in a file of its own."""
    own = tmp_path / "zoo"
    own.mkdir()
    np.save(own / "x_train.npy", pictures())
    np.save(own / "y_train.npy", labels())
    np.save(own / "x_test.npy", pictures(30, seed=1))
    np.save(own / "y_test.npy", labels(30))
    np.save(own / "class_names.npy", np.array(NAMES))
    return own


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    """Pictures of several sizes in folders of classes."""
    own = tmp_path / "pictures"
    for index, pixels in enumerate(pictures(60, 12)):
        path = own / NAMES[index % 3] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[: 10 + index % 3]).save(path)
    return own


def same(one: Rows, other: Rows) -> bool:
    return one.shape == other.shape and torch.equal(one[:], other[:]) and one.dtype == other.dtype


def digest(path: Path) -> str:
    """Return what a file holds, its header but for what tells of the command."""
    tensors = read_tensors(path)
    values = [name.encode() + tensors[name].contiguous().numpy().tobytes() for name in tensors]
    return hashlib.sha256(b"".join(sorted(values))).hexdigest()


def options(method: str) -> dict[str, object]:
    own: dict[str, object] = {"method": method, "ipc": 1, "seed": 1, "torch_compile": "off"}
    own |= {"precision": "float32", "device": "cpu", "network": "convnet2:width=8"}
    if method in ("random", "herding"):
        return own
    few = {"dc": {"outer": 1, "inner": 1, "batch_real": 8}, "dm": {"batch_real": 8}}
    return own | {"iterations": 2, "settings": few.get(method, {}), "validations": 1}


class Counting:
    """Rows of a user's own, which count how many are taken at once."""

    def __init__(self, whole: torch.Tensor) -> None:
        self.whole, self.most = whole, 0
        self.shape, self.dtype, self.device = whole.shape, whole.dtype, whole.device

    def __len__(self) -> int:
        return len(self.whole)

    def __getitem__(self, index: torch.Tensor | slice) -> torch.Tensor:
        found = self.whole[index]
        self.most = max(self.most, len(found))
        return found.clone()


@pytest.mark.parametrize("method", ["dm", "dc", "random", "herding", "frepo"])
@pytest.mark.parametrize("kind", ["folder", "zoo"])
def test_where_images_lie_changes_no_bit(
    method: str, kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    path = request.getfixturevalue(kind)
    source = f"npy:{path}" if kind == "folder" else f"folder:{path}"
    made = []
    for keep in ("on", "off"):
        out = tmp_path / keep / "set.safetensors"
        attar.condense(source, output=out, in_memory=keep, resize=8, data_dir=tmp_path,
                       **options(method))  # fmt: skip
        made.append(out)
    assert digest(made[0]) == digest(made[1])
    parts = [attar.load(one).header.parts for one in made]
    assert parts[0] == parts[1]


@pytest.mark.parametrize("kind", ["folder", "zoo"])
def test_evaluation_is_the_same(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    path = request.getfixturevalue(kind)
    source = f"npy:{path}" if kind == "folder" else f"folder:{path}"
    made = attar.condense(source, resize=8, data_dir=tmp_path, **options("random"))
    asked = {"repeats": 1, "epochs": 3, "ceiling": True, "baselines": ("random", "herding")}
    rows = [
        attar.evaluate(made, source, in_memory=keep, resize=8, data_dir=tmp_path / keep, **asked)
        for keep in ("on", "off")
    ]
    held, lying = ([one.results[0].accuracies for one in own] for own in rows)
    assert held == lying
    assert [one.kind for one in rows[0]] == ["condensed", "random", "coreset", "whole"]


def test_rows_of_a_file_are_those_of_the_array(folder: Path) -> None:
    splits = load_source(f"npy:{folder}", in_memory="off")
    held = load_source(f"npy:{folder}", in_memory="on")
    assert splits.train.told == "read from x_train.npy as they are needed"
    assert not held.train.told
    for part in ("train", "test"):
        lying, there = getattr(splits, part), getattr(held, part)
        assert not in_memory(lying.images)
        assert in_memory(there.images)
        assert same(lying.images, there.images)
        assert lying.preprocessing == there.preprocessing
        assert lying.nbytes == there.nbytes
    index = torch.tensor([5, 6, 7, 2, 2, 59])
    assert torch.equal(splits.train.take(index), held.train.take(index))
    assert splits.train.class_names == NAMES


@pytest.mark.parametrize(
    "values",
    [
        pictures(20),
        pictures(20).transpose(0, 3, 1, 2),
        pictures(20)[..., 0],
        pictures(20).astype(np.int64),
        (pictures(20) / 255).astype(np.float32),
        np.concatenate([pictures(10) / 255, np.random.default_rng(0).random((10, 8, 8, 3))]),
        np.random.default_rng(0).normal(size=(20, 5)) * 1e3,
        pictures(20).astype(">f4") / 255,
        pictures(20)[..., 0] > 127,
    ],
    ids=["NHWC", "NCHW", "NHW", "int64", "255ths", "some 255ths", "vectors", "swapped", "bool"],
)
def test_a_file_is_read_as_the_array_would_be(values: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ascontiguousarray(values))
    np.save(tmp_path / "y.npy", labels(20))
    source = f"npy:{tmp_path / 'x.npy'},{tmp_path / 'y.npy'}"
    lying = load_source(source, in_memory="off", test_share=0)
    there = from_tensors(values, labels(20), name="x")
    assert same(lying.train.images, there.train.images)
    assert lying.train.preprocessing == there.train.preprocessing
    assert lying.train.name == "x"
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for given, some in ((mapped, slice(None)), (mapped[3:18], slice(3, 18))):
        own = from_tensors(given, labels(20)[some]).train
        assert not in_memory(own.images)
        assert same(own.images, there.train.images[some])


def test_options_of_reading_hold_for_files(folder: Path) -> None:
    asked = {"classes": "cow,ant", "per_class": 7, "resize": 5, "value_range": "0:510"}
    lying, there = (load_source(f"npy:{folder}", in_memory=keep, **asked) for keep in ("off", "on"))
    assert same(lying.train.images, there.train.images)
    assert lying.note == there.note
    some = lying.train.of_classes(["ant", "cow"])
    assert same(some.images, there.train.of_classes(["ant", "cow"]).images)


def test_whitening_is_fitted_from_files(folder: Path) -> None:
    for zca in ("mtt", "frepo", "rtp"):
        lying, there = (load_source(f"npy:{folder}", in_memory=k, zca=zca) for k in ("off", "on"))
        assert lying.train.preprocessing == there.train.preprocessing


def test_a_user_brings_rows_of_their_own() -> None:
    whole = torch.from_numpy(pictures()).permute(0, 3, 1, 2).contiguous()
    rows = Counting(whole)
    own, plain = (
        attar.condense((one, labels()), **options("dm"), validation=0.2) for one in (rows, whole)
    )
    assert torch.equal(own.images, plain.images)
    with pytest.raises(BadRequest, match="rows with their values"):
        from_tensors(rows, labels(), value_range=(0, 1))


def test_parts_and_picks_read_no_more_than_they_say() -> None:
    rows = Counting(torch.arange(30.0).reshape(10, 3))
    some = picked(picked(rows, torch.tensor([9, 8, 1, 0])), slice(1, 3))
    assert some[:].tolist() == [[24, 25, 26], [3, 4, 5]]
    assert rows.most == 2
    assert size_of(some) == 2 * 3 * 4
    assert [len(part) for part in in_parts(rows, 4)] == [4, 4, 2]


def test_pictures_are_decoded_once_where_there_is_room(zoo: Path, tmp_path: Path) -> None:
    lying, there = (
        load_source(f"folder:{zoo}", in_memory=keep, resize=8, data_dir=tmp_path)
        for keep in ("off", "on")
    )
    assert lying.train.told.startswith("decoded as they are needed")
    assert same(lying.train.images, there.train.images)
    for path in zoo.rglob("*.png"):
        path.unlink()
    index = torch.arange(len(lying.train))
    assert torch.equal(lying.train.take(index), there.train.take(index))


def test_a_file_that_changes_is_told(folder: Path) -> None:
    train = load_source(f"npy:{folder}", in_memory="off").train
    np.save(folder / "x_train.npy", pictures(10))
    with pytest.raises(RunFailed, match=r"x_train.npy has changed since it was opened"):
        train.take(torch.tensor([0]))
    (folder / "x_train.npy").unlink()
    with pytest.raises(RunFailed, match="No such file"):
        train.take(torch.tensor([0]))


def test_what_cannot_be_read_by_index_says_so(folder: Path, tmp_path: Path) -> None:
    (x, y) = (folder / "x_train.npy", folder / "y_train.npy")
    np.savez(tmp_path / "x.npz", images=pictures(), labels=labels())
    np.save(tmp_path / "f.npy", np.asfortranarray(pictures()))
    np.save(tmp_path / "o.npy", np.array([{}], dtype=object))
    (tmp_path / "cut.npy").write_bytes(x.read_bytes()[:-1])
    for source, said in (
        (f"npz:{tmp_path / 'x.npz'}", r"npz is read whole; save .* npy:DIR"),
        (f"npy:{tmp_path / 'f.npy'},{y}", "Fortran order"),
        (f"npy:{tmp_path / 'o.npy'},{y}", "holds objects"),
        (f"npy:{tmp_path / 'cut.npy'},{y}", "copy it again"),
        (f"npy:{tmp_path / 'none.npy'},{y}", "does not exist"),
        (f"npy:{x}", "give a folder of images.npy and labels.npy, or the files"),
        (f"npy:{tmp_path}", "holds the arrays cut, f, o"),
    ):
        with pytest.raises(BadRequest, match=said):
            load_source(source, in_memory="off")
    with pytest.raises(BadRequest, match="unknown value"):
        load_source("digits", in_memory="yes")  # pyright: ignore[reportArgumentType]


def test_the_command_line_says_where_images_lie(
    zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.safetensors"
    run(["condense", f"folder:{zoo}", "--resize", "8", "--method", "dm", "--ipc", "1",
         "--iterations", "1", "--in-memory", "off", "--data-dir", str(tmp_path),
         "-o", str(out)])  # fmt: skip
    assert "decoded as they are needed" in capsys.readouterr().err.replace("\n", " ")
    run(["evaluate", str(out), "--in-memory", "off", "--repeats", "1", "--epochs", "1", "--json",
         "--data-dir", str(tmp_path)])  # fmt: skip
    told = capsys.readouterr()
    assert "decoded as they are needed" in told.err.replace("\n", " ")
    assert "in-memory" not in json.dumps(attar.load(out).header.provenance)


_LARGE = """
import resource, sys, attar
from pathlib import Path
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
def condense(source, out):
    attar.condense(source, method="dm", ipc=1, iterations=3, network="convnet3:width=16",
                   in_memory="off", torch_compile="off", device="cpu", output=out)
# what a run takes on any data
condense("npy:" + sys.argv[1], sys.argv[1] + ".safetensors")
base = peak()
taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 500_000_000,) * 2)
condense("npy:" + sys.argv[2], sys.argv[2] + ".safetensors")
print(peak() - base)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space as Linux does")
def test_memory_is_bounded_whatever_the_file_holds(tmp_path: Path) -> None:
    """A file of 1 GB condenses in 500 MB of further address space."""
    for name, count in (("small", 500), ("large", 85_000)):
        (tmp_path / name).mkdir()
        shape = (count, 64, 64, 3)
        images = np.lib.format.open_memmap(
            tmp_path / name / "images.npy", "w+", dtype=np.uint8, shape=shape
        )
        for start in range(0, count, 5000):
            part = images[start : start + 5000]
            part[:] = np.random.default_rng(start).integers(0, 256, part.shape, dtype=np.uint8)
        np.save(tmp_path / name / "labels.npy", np.arange(count) % 10)
    assert (tmp_path / "large" / "images.npy").stat().st_size > 1_000_000_000
    found = subprocess.run(
        [sys.executable, "-c", _LARGE, str(tmp_path / "small"), str(tmp_path / "large")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert int(found.stdout) < 500_000_000, found.stdout
