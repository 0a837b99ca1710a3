"""Pictures that do not fit into memory: decoded once, kept on disk, remembered by their files."""

import os
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import pytest
import torch

import attar
from attar.artefact.fingerprint import fingerprint
from attar.data import Splits, cache, decoding, load_source
from attar.data.identity import digest_of
from attar.data.on_demand import Decoded
from attar.data.rows import Rows
from pictures import write_folder, write_picture

pytestmark = pytest.mark.skipif(not hasattr(os, "preadv"), reason="kept on disk where preadv is")


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cache, "KEPT_FROM", 10)
    write_folder(tmp_path / "zoo", {"ant": 12, "bee": 12})
    return tmp_path / "zoo"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Name the pictures that are decoded, in order."""
    found: list[str] = []

    class Telling(Decoded):
        def __getitem__(self, index: torch.Tensor | slice, /) -> torch.Tensor:
            rows = super().__getitem__(index)
            places = torch.arange(len(self))[index]
            found.extend(self._pictures.name(one) for one in places.tolist())
            return rows

    def on_demand(parts, wanted, look):
        return [Telling(one, wanted, look) for one in parts]

    monkeypatch.setattr(decoding, "on_demand", on_demand)
    monkeypatch.setattr(Decoded, "without_room", lambda one: one)
    return found


def load(zoo: Path, keep: str = "off") -> Splits:
    return load_source(f"folder:{zoo}", data_dir=zoo.parent / "data", in_memory=keep)  # pyright: ignore[reportArgumentType]


def everything(rows: Rows) -> torch.Tensor:
    return rows[torch.arange(len(rows))]


def test_every_picture_is_decoded_once(zoo: Path, decoded: list[str]) -> None:
    first = load(zoo)
    assert len(decoded) == len(set(decoded)) == 24
    assert "kept on disk" in first.train.told
    held = load(zoo, "on")
    assert everything(first.train.images).equal(held.train.images)
    assert first.train.preprocessing == held.train.preprocessing
    again = load(zoo)
    assert everything(again.test.images).equal(held.test.images)
    assert len(decoded) == 24


def test_digests_are_those_of_the_pixels_and_found_once(zoo: Path, decoded: list[str]) -> None:
    lying, held = load(zoo).train, load(zoo, "on").train
    wanted = fingerprint(held), digest_of(held)
    assert (fingerprint(lying), digest_of(lying)) == wanted
    decoded.clear()
    (rows,) = (zoo.parent / "data/decoded").glob("*.train.rows")
    # nothing of the pixels is read for a digest that is known
    rows.write_bytes(b"")
    again = load(zoo).train
    assert (fingerprint(again), digest_of(again)) == wanted
    part = again.subset(torch.tensor([3, 1, 0, 11, 12]))
    assert fingerprint(part) == fingerprint(held.subset(torch.tensor([3, 1, 0, 11, 12])))
    assert len(decoded) < 24


def test_a_changed_file_is_another_picture(zoo: Path, decoded: list[str]) -> None:
    before = fingerprint(load(zoo).train)
    for path in zoo.rglob("*.png"):
        write_picture(path)
        os.utime(path, ns=(1, 1))
    assert fingerprint(load(zoo).train) != before
    assert len(list((zoo.parent / "data/decoded").glob("*.train.rows"))) == 1


def test_rows_that_are_damaged_are_decoded_again(zoo: Path, decoded: list[str]) -> None:
    wanted = everything(load(zoo).train.images)
    (rows,) = (zoo.parent / "data/decoded").glob("*.train.rows")
    data = bytearray(rows.read_bytes())
    data[5] ^= 1
    rows.write_bytes(data)
    decoded.clear()
    assert everything(load(zoo).train.images).equal(wanted)
    assert len(decoded) == 1


KILLED = """
import os, sys
from attar.data import cache, load_source, on_disk

cache.KEPT_FROM = 10
count, real = 0, os.pwrite
def dying(*arguments):
    global count
    count += 1
    if count == 14:
        os.kill(os.getpid(), 9)
    return real(*arguments)
os.pwrite = dying
load_source("folder:" + sys.argv[1], data_dir=sys.argv[2], in_memory="off")
"""


def test_what_was_kept_before_a_kill_is_not_decoded_again(zoo: Path, decoded: list[str]) -> None:
    data = str(zoo.parent / "data")
    command = [sys.executable, "-c", KILLED, str(zoo), data]
    assert subprocess.run(command, check=False).returncode == -9
    splits = load(zoo)
    everything(splits.train.images)
    everything(splits.test.images)
    # six rows with their marks, and a seventh without its own
    assert len(decoded) == 24 - 6


FULL = """
import resource, sys, warnings
from attar.data import cache, load_source

cache.KEPT_FROM = 10
resource.setrlimit(resource.RLIMIT_FSIZE, (500, resource.RLIM_INFINITY))
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    splits = load_source("folder:" + sys.argv[1], data_dir=sys.argv[2], in_memory="off")
    print(len(splits.train), [str(one.message) for one in told if "kept" in str(one.message)])
"""


def test_a_full_disk_is_told_once_and_gone_on_without(zoo: Path) -> None:
    command = [sys.executable, "-c", FULL, str(zoo), str(zoo.parent / "data")]
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert found.count("could not be kept in") == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        held = load(zoo, "on")
    assert found.startswith(str(len(held.train)))


def test_workers_read_the_same_rows(zoo: Path, tmp_path: Path) -> None:
    out = tmp_path / "set.safetensors"
    made = attar.condense(
        f"folder:{zoo}",
        data_dir=zoo.parent / "data",
        in_memory="off",
        resize=8,
        method="dm",
        ipc=1,
        iterations=2,
        network="convnet1:width=4",
        settings={"batch_real": 4},
        validation=0,
        workers=2,
        torch_compile="off",
        device="cpu",
        output=out,
    )
    assert made.header.step == 2


PEAK = textwrap.dedent(
    """
    import resource, sys
    import attar
    attar.condense("folder:" + sys.argv[1], data_dir=sys.argv[2], in_memory="off", method="dm",
        ipc=1, iterations=1, network="convnet1:width=4", settings={"batch_real": 8},
        validation=0, torch_compile="off", device="cpu", threads=1)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    """
)


@pytest.mark.slow
def test_memory_is_flat_in_the_number_of_pictures(tmp_path: Path) -> None:
    # 6,000 pictures more would be 74 MB decoded
    write_folder(tmp_path / "zoo", {"ant": 20, "bee": 20}, size=(64, 64))
    peaks = []
    for count in (2_000, 8_000):
        many = tmp_path / str(count)
        for name in ("ant", "bee"):
            (many / name).mkdir(parents=True)
            first = sorted((tmp_path / "zoo" / name).iterdir())
            for number in range(count // 2):
                os.link(first[number % 20], many / name / f"{number}.png")
        command = [sys.executable, "-c", PEAK, str(many), str(tmp_path / f"data{count}")]
        peaks.append(int(subprocess.run(command, check=True, capture_output=True).stdout))
    assert peaks[1] - peaks[0] < 35_000
