"""Parquet of the library `datasets` as a stream: kept once, encoded, and then as shards are."""

import io
import os
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import attar
from attar.data import Splits, cache, load_source
from attar.data.streamed import streamed
from attar.errors import BadRequest, RunFailed
from pictures import RANDOM

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf-cache")


def png() -> dict[str, Any]:
    file = io.BytesIO()
    Image.fromarray(RANDOM.integers(0, 256, (4, 6, 3), dtype=np.uint8)).save(file, "PNG")
    return {"bytes": file.getvalue(), "path": None}


def write(root: Path, names: bool = True, **counts: int) -> str:
    """Write parquet of some splits, ants and bees by turns, and return the source."""
    (root / "zoo").mkdir(exist_ok=True)
    label = datasets.ClassLabel(names=["ant", "bee"]) if names else datasets.Value("string")
    features = datasets.Features({"image": datasets.Image(), "label": label})
    for split, count in counts.items():
        kinds = [n % 2 if names else ["wasp", "ant"][n % 2] for n in range(count)]
        columns = {"image": [png() for _ in range(count)], "label": kinds}
        made = datasets.Dataset.from_dict(columns, features=features)
        made.to_parquet(str(root / "zoo" / f"{split}-00000-of-00001.parquet"))
    return f"hf:{root / 'zoo'}"


def everything(splits: Splits) -> list[torch.Tensor]:
    parts = [splits.train] if splits.test is None else [splits.train, splits.test]
    return [one.images[torch.arange(len(one))] for one in parts]


def load(source: str, root: Path, **reading: Any) -> Splits:
    return load_source(source, data_dir=root / "data", **reading)


@pytest.mark.parametrize("names", [True, False])
def test_a_stream_is_what_the_table_is(tmp_path: Path, names: bool) -> None:
    source = write(tmp_path, names, train=20, test=6)
    whole = load(source, tmp_path)
    found = load(f"{source},streaming", tmp_path)
    assert found.train.name == whole.train.name == "zoo"
    assert found.train.class_names == whole.train.class_names
    assert torch.equal(found.train.labels, whole.train.labels)
    pairs = zip(everything(found), everything(whole), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    part = load(f"{source}:test,streaming", tmp_path, per_class=2, resize=8)
    assert len(part.train) <= 4 and part.train.shape == (3, 8, 8)


def test_rows_are_streamed_once_and_again_when_they_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = f"{write(tmp_path, train=20)},streaming"
    before = everything(load(source, tmp_path))
    kept = sorted((tmp_path / "data" / "streamed").iterdir())
    assert [one.suffix for one in kept] == [".pictures", ".rows"]
    first = [one.stat().st_mtime_ns for one in kept]
    assert torch.equal(everything(load(source, tmp_path))[0], before[0])
    assert [one.stat().st_mtime_ns for one in kept] == first
    write(tmp_path, train=22)
    assert sum(map(len, everything(load(source, tmp_path)))) == 22
    again = sorted((tmp_path / "data" / "streamed").iterdir())
    assert len(again) == 2 and again != kept


def test_pictures_of_streams_and_shards_are_decoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not hasattr(os, "preadv"):
        pytest.skip("kept on disk where preadv is")
    monkeypatch.setattr(cache, "KEPT_FROM", 10)
    source = f"{write(tmp_path, train=20)},streaming"
    lying = load(source, tmp_path, in_memory="off")
    assert "decoded once and kept on disk" in lying.train.told
    held = load(source, tmp_path, in_memory="on")
    assert torch.equal(everything(lying)[0], everything(held)[0])


def test_a_pass_that_was_killed_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "a.pictures"
    begun: list[int] = []

    def rows(first: int):
        begun.append(first)
        for number in range(first, 600):
            if number == 400 and len(begun) == 1:
                raise KeyboardInterrupt
            yield bytes([number % 256] * (1 + number % 3)), number % 2

    with pytest.raises(KeyboardInterrupt):
        streamed(path, rows, "hf:zoo")
    # as a process leaves it that is killed while it writes
    with path.with_suffix(".rows").open("a") as file:
        file.write("[100000, 1]\n[7")
    pictures, labels = streamed(path, rows, "hf:zoo")
    assert begun[0] == 0 and 256 <= begun[1] <= 400 and len(begun) == 2
    assert labels == [number % 2 for number in range(600)]
    found = [pictures.stream(number).read() for number in range(600)]
    assert found == [bytes([number % 256] * (1 + number % 3)) for number in range(600)]
    again, _ = streamed(path, rows, "hf:zoo")
    assert len(begun) == 2 and len(again.at(torch.tensor([3, 5]))) == 2


def test_memory_does_not_grow_with_the_pictures(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        streamed(
            tmp_path / f"{count}.pictures", lambda first: ((bytes(10_000), 0),) * count, "hf:x"
        )
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    # 19 MB of pictures more
    assert peak(2000) - peak(100) < 1_000_000


def test_what_cannot_be_streamed_is_refused(tmp_path: Path) -> None:
    source = write(tmp_path, train=4)
    datasets.Dataset.from_dict({"label": [0]}).save_to_disk(str(tmp_path / "saved"))
    for given, said in {
        f"hf:{tmp_path}/nowhere,streaming": "does not exist",
        f"hf:{tmp_path}/saved,streaming": "saved by save_to_disk, and lies there",
        f"{source}:test,streaming": "unknown split of hf:",
    }.items():
        with pytest.raises(BadRequest, match=said):
            load(given, tmp_path)
    with pytest.raises(BadRequest, match="row 1 holds no picture"):
        features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
        columns = {"image": [png(), None], "label": [0, 1]}
        made = datasets.Dataset.from_dict(columns, features=features)
        made.to_parquet(str(tmp_path / "zoo" / "train-00000-of-00001.parquet"))
        load(f"{source},streaming", tmp_path)


def test_a_column_that_holds_no_classes_is_refused_before_streaming(tmp_path: Path) -> None:
    (tmp_path / "zoo").mkdir()
    features = datasets.Features({"image": datasets.Image(), "size": datasets.Value("float32")})
    made = datasets.Dataset.from_dict({"image": [png()], "size": [0.5]}, features=features)
    made.to_parquet(str(tmp_path / "zoo" / "train-00000-of-00001.parquet"))
    with pytest.raises(BadRequest, match=r"column size holds .* whole numbers, texts or a Class"):
        load(f"hf:{tmp_path / 'zoo'},streaming", tmp_path, label_column="size")
    assert not (tmp_path / "data" / "streamed").exists()


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(RunFailed, match=r"could not be kept in .*; make room and start again"):
        streamed(tmp_path / "data" / "a.pictures", lambda first: [], "hf:zoo")


def test_the_command_line_takes_a_stream(tmp_path: Path) -> None:
    source = f"{write(tmp_path, train=20)},streaming"
    made = attar.condense(
        source, method="random", synthetic_per_class=1, data_dir=tmp_path / "data", device="cpu"
    )
    assert made.header.class_names == ["ant", "bee"]
