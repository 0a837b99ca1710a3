"""Shards of webdataset, made here with tarfile as that library writes them."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import attar
from attar.data import load_source
from attar.data.braces import expanded
from attar.errors import BadRequest

RANDOM = np.random.default_rng(0)


# as braceexpand 0.1.7, which webdataset 1.0 uses, expands them
BRACES = {
    "zoo-{000..002}.tar": ["zoo-000.tar", "zoo-001.tar", "zoo-002.tar"],
    "{train,val}-{0..1}": ["train-0", "train-1", "val-0", "val-1"],
    "p{2.{5..6},3.{2,3}}": ["p2.5", "p2.6", "p3.2", "p3.3"],
    "{07..10}": ["07", "08", "09", "10"],
    "{0..10..5}": ["0", "5", "10"],
    "{4..2}": ["4", "3", "2"],
    "{-05..5..5}": ["-05", "000", "005"],
    "{a..g..3}": ["a", "d", "g"],
    "{b..Z}": ["b", "a", "Z"],
    "index{,.b}": ["index", "index.b"],
    "{a}{}": ["{a}{}"],
    "x{{1..2}}y": ["x{1}y", "x{2}y"],
}


@pytest.mark.parametrize("text", BRACES)
def test_braces_are_those_of_webdataset(text: str) -> None:
    assert list(expanded(text)) == BRACES[text]


def picture(kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(RANDOM.integers(0, 256, (4, 6, 3), dtype=np.uint8)).save(file, kind)
    return file.getvalue()


def shard(path: Path, samples: list[dict[str, bytes]]) -> None:
    """Write samples: the contents of their files by what follows the number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for number, files in enumerate(samples):
            for ending, content in files.items():
                info = tarfile.TarInfo(f"{path.stem}/{number:06}.{ending}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))


def sample(label: Any, ending: str = "cls", **more: bytes) -> dict[str, bytes]:
    said = json.dumps(label) if ending == "json" else str(label)
    return {"png": picture(), ending: said.encode(), **more}


def test_shards_of_parts(tmp_path: Path) -> None:
    kept = [[sample(i % 2 + 9) for i in range(6)] for _ in range(2)]
    for number, samples in enumerate(kept):
        shard(tmp_path / f"zoo/zoo-train-{number:03}.tar", samples)
    shard(tmp_path / "zoo/zoo-val-000.tar", [sample(9, json=b"{}"), sample("010")])
    splits = load_source(f"wds:{tmp_path / 'zoo'}")
    assert splits.test is not None
    assert (len(splits.train), len(splits.test)) == (12, 2)
    assert splits.train.class_names == ("9", "10")
    assert splits.test.labels.tolist() == [0, 1]
    assert splits.train.name == "zoo"
    first = np.asarray(Image.open(io.BytesIO(kept[1][2]["png"])))
    assert np.array_equal(splits.train.images[8].permute(1, 2, 0).numpy(), first)
    assert "the names of the shards say train, val (as test)" in splits.note
    shard(tmp_path / "all/train.tar", kept[0])
    shard(tmp_path / "all/val.tar", kept[0][:3])
    shard(tmp_path / "all/test.tar", kept[1][:2])
    splits = load_source(f"wds:{tmp_path / 'all'}")
    assert splits.test is not None
    assert splits.validation is not None
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (6, 3, 2)
    assert len(load_source(f"wds:{tmp_path}/zoo/zoo-train-{{000..001}}.tar").train) < 12
    listed = load_source(f"wds:{tmp_path}/all/{{train,test}}.tar")
    assert listed.test is not None and (len(listed.train), len(listed.test)) == (6, 2)
    # paths within the braces, blanks in them
    shard(tmp_path / "a zoo/train.tar", kept[0])
    shard(tmp_path / "my zoo/test.tar", kept[1][:2])
    listed = load_source(f"wds:{{{tmp_path}/a zoo/train.tar,{tmp_path}/my zoo/test.tar}}")
    assert listed.test is not None and (len(listed.train), len(listed.test)) == (6, 2)
    assert listed.train.name == "a zoo"
    # a file of that very name is taken as it is
    shard(tmp_path / "odd-{a,b}.tar", kept[0])
    assert len(load_source(f"wds:{tmp_path}/odd-{{a,b}}.tar", test_share=0).train) == 6
    assert load_source(f"wds:{tmp_path}/zoo", classes="10,9", per_class=2).train.classes == 2


@pytest.mark.parametrize("ending", ["cls", "label", "class", "txt", "json"])
def test_where_a_class_is_written(tmp_path: Path, ending: str) -> None:
    names = [{"label": one} if ending == "json" else one for one in ("cow", "ant")]
    shard(tmp_path / "a.tar", [sample(names[i % 2], ending) for i in range(10)])
    splits = load_source(f"wds:{tmp_path / 'a.tar'}")
    assert splits.train.class_names == ("ant", "cow")
    assert "held out as test" in splits.note


def test_a_class_by_name(tmp_path: Path) -> None:
    samples = [sample({"dx": "ab"[i % 2], "age": 9}, "json", cls=b"1") for i in range(10)]
    shard(tmp_path / "a.tar", samples)
    source = f"wds:{tmp_path / 'a.tar'}"
    assert load_source(source, label_column="dx").train.class_names == ("a", "b")
    with pytest.raises(BadRequest, match=r"no class in \.dy or \.json; its files are png, json"):
        load_source(source, label_column="dy")
    assert load_source(source).train.class_names == ("1",)
    artefact = attar.condense(
        source, label_column="dx", method="random", synthetic_per_class=1, resize=8
    )
    assert "--label-column dx" in artefact.header.provenance["command"]


def test_samples_without_a_picture_are_told(tmp_path: Path) -> None:
    samples = [sample(i % 2) for i in range(10)]
    shard(tmp_path / "a.tar", [*samples, {"cls": b"1"}, {"cls": b"0", "txt": b"words"}])
    assert "2 samples without a picture left out" in load_source(f"wds:{tmp_path / 'a.tar'}").note


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"png": picture()}, r"sample a/000004 has no class in \.cls or .*its files are png"),
        ({"png": picture(), "jpg": picture("JPEG"), "cls": b"1"}, "several pictures .png, jpg."),
        ({"png": picture(), "cls": b"0|1"}, "'0|1' joins several.*multi-label"),
        ({"png": picture(), "json": b'{"label": [0, 1]}'}, "holds a list.*multi-label"),
        ({"png": picture(), "json": b'{"label": 0.5}'}, "whole number or a text"),
        ({"png": picture(), "json": b'{"label": '}, "json cannot be read"),
        ({"png": picture(), "cls": b"\xff"}, "no text in UTF-8"),
        ({"png": picture(), "cls": b"1" * (2**20 + 1)}, "1,048,577 bytes; no class is as long"),
        ({"png": b"nothing", "cls": b"1"}, r"a\.tar: a/000004\.png cannot be read"),
    ],
)
def test_refused_samples(tmp_path: Path, more: dict[str, bytes], words: str) -> None:
    shard(tmp_path / "a.tar", [*(sample(i % 2) for i in range(4)), more])
    with pytest.raises(BadRequest, match=words):
        load_source(f"wds:{tmp_path / 'a.tar'}")


def test_refused_shards(tmp_path: Path) -> None:
    good = tmp_path / "a.tar"
    shard(good, [sample(i % 2) for i in range(10)])
    whole = good.read_bytes()
    bad = tmp_path / "bad.tar"
    with tarfile.open(good) as archive:
        at = archive.getmembers()[12].offset
    # cut between files, in a header, and in a file; a header with a wrong checksum
    for content in (whole[:at], whole[: at + 9], whole[: at + 600], whole[:at] + b"x" * 3000):
        bad.write_bytes(content)
        with pytest.raises(
            BadRequest, match=r"bad\.tar (is damaged|cannot be read).*copy it again"
        ):
            load_source(f"wds:{bad}")
    for content in (b"", b"no archive" * 100):
        bad.write_bytes(content)
        with pytest.raises(BadRequest, match=r"bad\.tar (cannot be read as an|is damaged)"):
            load_source(f"wds:{bad}")
    with tarfile.open(bad, "w:gz") as archive:
        archive.add(good, "a")
    with pytest.raises(BadRequest, match=r"uncompressed \.tar file.*gunzip"):
        load_source(f"wds:{bad}")
    with pytest.raises(BadRequest, match=r"a-001\.tar does not exist"):
        load_source(f"wds:{tmp_path}/a-{{001..002}}.tar")
    with pytest.raises(BadRequest, match="more than 100,000 names"):
        load_source(f"wds:{tmp_path}/{{1..1000}}-{{1..1000}}.tar")
    with pytest.raises(BadRequest, match="a brace without its other"):
        load_source(f"wds:{tmp_path}/a-{{1,2.tar")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadRequest, match=r"holds no \.tar files"):
        load_source(f"wds:{tmp_path / 'empty'}")
    good.rename(tmp_path / "empty/train.tar")
    bad.rename(tmp_path / "empty/more.tar")
    with pytest.raises(BadRequest, match=r"the name of more\.tar does not say train, val or test"):
        load_source(f"wds:{tmp_path / 'empty'}")
    shard(tmp_path / "empty/more.tar", [])
    (tmp_path / "empty/more.tar").rename(tmp_path / "empty/test.tar")


def test_links_and_devices_in_a_shard_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    shard(path, [sample(i % 2) for i in range(10)])
    with tarfile.open(path, "a") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE):
            info = tarfile.TarInfo("z/9.png")
            info.type, info.linkname = kind, "/etc/hostname"
            archive.addfile(info)
    splits = load_source(f"wds:{path}")
    assert splits.test is not None
    assert len(splits.train) + len(splits.test) == 10
