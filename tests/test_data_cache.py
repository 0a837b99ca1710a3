"""Decoding in parallel, and what is kept of it between runs."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from safetensors.torch import load_file

from attar.data import Splits, cache, load_source, parallel
from attar.errors import BadRequest
from pictures import write_folder, write_picture


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cache, "KEPT_FROM", 10)
    write_folder(tmp_path / "zoo", {"ant": 10, "bee": 10})
    return tmp_path / "zoo"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count how often images were really decoded."""
    calls: list[int] = []
    real = cache.decode_parts

    def counting(parts, *arguments):
        calls.append(sum(map(len, parts)))
        return real(parts, *arguments)

    monkeypatch.setattr(cache, "decode_parts", counting)
    return calls


def load(zoo: Path, **options) -> Splits:
    return load_source(f"folder:{zoo}", data_dir=zoo.parent / "data", **options)


def kept(zoo: Path) -> list[Path]:
    return sorted((zoo.parent / "data/decoded").iterdir())


def same(one: Splits, other: Splits) -> bool:
    return torch.equal(one.train.images, other.train.images) and torch.equal(
        one.test.images, other.test.images
    )


def test_the_second_time_nothing_is_decoded(zoo: Path, decoded: list[int]) -> None:
    first = load(zoo)
    second = load(zoo)
    assert decoded == [20]
    assert same(first, second)
    assert torch.equal(first.train.labels, second.train.labels)
    (path,) = kept(zoo)
    stored = load_file(path)
    assert torch.equal(stored["train"], first.train.images)
    assert torch.equal(stored["test"], first.test.images)
    second.train.images.fill_(0)
    assert same(load(zoo), first)


def test_few_images_are_not_kept(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "KEPT_FROM", 21)
    load(zoo)
    assert not (zoo.parent / "data").exists()


def test_a_changed_added_or_removed_file_is_decoded_again(zoo: Path, decoded: list[int]) -> None:
    load(zoo)
    changed = zoo / "ant/03.png"
    before = changed.stat()
    content = write_picture(changed)
    # even where the size happens to be the same
    os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    both = torch.cat([load(zoo).train.images, load(zoo).test.images])
    assert any(np.array_equal(image.permute(1, 2, 0).numpy(), content) for image in both)
    assert len(decoded) == 2
    write_picture(zoo / "bee/99.png")
    load(zoo)
    (zoo / "ant/00.png").unlink()
    load(zoo)
    (zoo / "bee/99.png").rename(zoo / "bee/98.png")
    load(zoo)
    assert decoded == [20, 20, 21, 20, 20]
    # outdated files of the same source do not stay
    assert len(kept(zoo)) == 1


@pytest.mark.skipif(os.name == "nt", reason="no time of change there")
def test_files_that_change_places_are_decoded_again(zoo: Path, decoded: list[int]) -> None:
    ant, bee = zoo / "ant/00.png", zoo / "bee/00.png"
    for path in (ant, bee):
        # as long as each other, and written at the same moment
        path.write_bytes(path.read_bytes().ljust(10_000, b"\0"))
        os.utime(path, (1, 1))
    before, first = ant.stat(), load(zoo)
    while ant.stat().st_ctime_ns == before.st_ctime_ns:
        ant.rename(zoo / "aside"), bee.rename(ant), (zoo / "aside").rename(bee)
    assert (ant.stat().st_size, ant.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert not same(load(zoo), first)
    assert decoded == [20, 20]


def test_each_way_of_reading_is_kept_for_itself(zoo: Path, decoded: list[int]) -> None:
    ways = ({}, {"resize": 3}, {"resize": 5}, {"per_class": 6}, {"classes": "bee,ant"})
    first = [load(zoo, **way) for way in ways]
    again = [load(zoo, **way) for way in ways]
    assert len(decoded) == len(kept(zoo)) == len(ways)
    assert all(map(same, first, again))
    assert [splits.train.shape[1] for splits in again] == [4, 3, 5, 4, 4]


def test_a_csv_is_kept_too_and_its_order_counts(zoo: Path, decoded: list[int]) -> None:
    lines = [f"zoo/{name}/{i:02}.png,{name}" for i in range(10) for name in ("ant", "bee")]
    table = zoo.parent / "table.csv"
    for rows in (lines, lines, lines[::-1]):
        table.write_text("\n".join(["path,label", *rows]))
        splits = load_source(f"csv:{table}", data_dir=zoo.parent / "data")
    assert len(decoded) == 2
    assert len(kept(zoo)) == 1
    assert splits.train.labels[0] == 1


@pytest.mark.parametrize("damage", ["empty", "header", "cut", "long", "bit", "shape", "nesting"])
def test_a_damaged_file_is_replaced(zoo: Path, decoded: list[int], damage: str) -> None:
    first = load(zoo)
    (path,) = kept(zoo)
    whole = path.read_bytes()
    size = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + size])
    header["train"]["shape"][0] -= 1
    header["test"]["shape"][0] += 1
    other = json.dumps(header).encode().ljust(size)
    path.write_bytes(
        {
            "empty": b"",
            "header": whole[:8] + b"x" * size + whole[8 + size :],
            "cut": whole[:-1],
            "long": whole + b"\0",
            "bit": whole[:-1] + bytes([whole[-1] ^ 1]),
            "shape": whole[:8] + other + whole[8 + size :],
            "nesting": (60_000).to_bytes(8, "little") + b"[" * 60_000,
        }[damage]
    )
    assert same(load(zoo), first)
    assert len(decoded) == 2
    (path,) = kept(zoo)
    assert path.read_bytes() == whole


def test_a_cache_that_cannot_be_written_is_passed_over(zoo: Path) -> None:
    (zoo.parent / "data").write_text("a file in the way")
    with pytest.warns(UserWarning, match="could not be kept in .*--data-dir") as caught:
        splits = load(zoo)
    assert len(caught) == 1
    assert len(splits.train) == 16


def test_leftovers_of_killed_runs_are_removed(zoo: Path) -> None:
    load(zoo)
    (path,) = kept(zoo)
    old, young = (path.with_name(f".{path.name}.{name}.tmp") for name in ("old", "young"))
    old.touch()
    young.touch()
    os.utime(old, (0, 0))
    write_picture(zoo / "ant/new.png")
    load(zoo)
    assert young in kept(zoo) and old not in kept(zoo)


def test_a_broken_file_is_named_and_nothing_is_kept(zoo: Path) -> None:
    (zoo / "bee/05.png").write_bytes(b"no picture")
    with pytest.raises(BadRequest, match=r"05.png cannot be read"):
        load(zoo)
    assert not (zoo.parent / "data").exists()


def test_watching(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "CHUNK", 3)
    seen: list[tuple[str, int, int]] = []
    load(zoo, watch=lambda *what: seen.append(what))
    sizes = [done for what, done, _ in seen if what == "reading image sizes"]
    images = [done for what, done, _ in seen if what == "decoding images"]
    assert sizes == sorted(sizes) and images == sorted(images)
    assert sizes[-1] == images[-1] == 20
    assert {total for *_, total in seen} == {20}
    seen.clear()
    load(zoo, watch=lambda *what: seen.append(what))
    assert not seen


def test_work_is_done_in_parallel_in_order_and_few_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parallel, "WAITING", 4)
    begun: list[int] = []
    together = threading.Barrier(2, timeout=30)

    def work(chunk: range) -> int:
        begun.append(chunk.start)
        if chunk.start < 2 * parallel.CHUNK:
            together.wait()
        return chunk.start

    results = parallel.in_parallel(work, 20 * parallel.CHUNK + 1)
    assert next(results) == (range(parallel.CHUNK), 0)
    time.sleep(0.1)
    assert len(begun) <= 5
    rest = [chunk.start for chunk, start in results if chunk.start == start]
    assert rest == [parallel.CHUNK * index for index in range(1, 21)]


def test_after_a_failure_nothing_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []

    def work(chunk: range) -> None:
        begun.append(chunk.start)
        if chunk.start == 0:
            raise BadRequest("first")
        time.sleep(0.01)
        raise BadRequest("later")

    with pytest.raises(BadRequest, match="first"):
        list(parallel.in_parallel(work, 1000 * parallel.CHUNK))
    count = len(begun)
    assert count < 100
    time.sleep(0.05)
    assert len(begun) == count


MEASURE = """
import resource, sys
from pathlib import Path
from attar.data import load_source

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

before = peak()
for time in range(2):
    splits = load_source("folder:" + sys.argv[1], data_dir=Path(sys.argv[2]))
    size = splits.train.images.numel() + splits.test.images.numel()
    print((peak() - before) / size)
    del splits
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is told in other units")
def test_images_are_in_memory_once(tmp_path: Path) -> None:
    # 2,000 names of two files, since decoding other pictures takes long: 98 MB of pixels
    for name, colour in (("ant", "red"), ("bee", "blue")):
        (tmp_path / "zoo" / name).mkdir(parents=True)
        Image.new("RGB", (128, 128), colour).save(tmp_path / f"{name}.png")
        for index in range(1000):
            (tmp_path / "zoo" / name / f"{index}.png").symlink_to(tmp_path / f"{name}.png")
    words = [sys.executable, "-c", MEASURE, str(tmp_path / "zoo"), str(tmp_path / "data")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "data/decoded").iterdir())) == 1
    # decoded, then read again: one copy and what threads, libraries and statistics take
    assert max(map(float, done.stdout.split())) < 2, done.stdout


def test_a_bar_appears_once_reading_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    from attar.condensing import progress

    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    for terminal in (True, False):
        console = Console(file=io.StringIO(), force_terminal=terminal, width=100)
        bar = progress.ReadingBar(console)
        now[0] = 0.0
        for done in (1, 2):
            bar.show("decoding images", done, 100)
        assert console.file.getvalue() == ""
        now[0] = 40.0
        bar.show("decoding images", 50, 100)
        bar.show("decoding images", 100, 100)
        bar.stop()
        said = console.file.getvalue()
        assert ("100/100" if terminal else "decoding images: 50 of 100") in said


def test_the_callback_is_told(zoo: Path) -> None:
    import attar

    class Watching(attar.Callback):
        told = 0

        def reading(self, what: str, done: int, total: int) -> None:
            self.told = done

    callback = Watching()
    attar.condense(
        f"folder:{zoo}",
        callback=callback,
        method="random",
        synthetic_per_class=1,
        network="convnet1:width=8",
        data_dir=zoo.parent / "data",
    )
    assert callback.told == 20
