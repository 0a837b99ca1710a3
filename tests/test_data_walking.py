"""What is taken of a folder and what is not, and that nothing of it goes unsaid."""

import os
import socket
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from attar.data import Splits, load_source
from attar.data.decoding import decode_parts
from attar.data.hugging_face_rows import Rows
from attar.errors import BadRequest
from pictures import write_folder, write_picture

NO_LINKS = pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    write_folder(tmp_path / "zoo", {"ant": 6, "bee": 6})
    return tmp_path / "zoo"


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    for part in ("train", "test"):
        write_folder(tmp_path / "zoo" / part, {"ant": 4, "bee": 4})
    return tmp_path / "zoo"


def read(root: Path) -> Splits:
    return load_source(f"folder:{root}")


def count(splits: Splits) -> int:
    return len(splits.train) + len(splits.test)


# what is left out


def test_files_left_out_are_counted_by_ending(zoo: Path) -> None:
    for name in ("ant/a.txt", "ant/b.TXT", "bee/deep/c.heic", "bee/README", "labels.csv"):
        path = zoo / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    write_picture(zoo / "cover.png")
    splits = read(zoo)
    assert count(splits) == 12
    told = splits.note.split("left out: ")[1].split(";")[0]
    assert sorted(told.split(", ")) == [
        "1 .csv",
        "1 .heic",
        "1 .png beside the folders of the classes",
        "1 without ending",
        "2 .txt",
    ]


def test_nothing_left_out_is_not_told(zoo: Path) -> None:
    for name in (".DS_Store", "ant/.DS_Store", "ant/Thumbs.db", "bee/desktop.ini"):
        (zoo / name).write_bytes(b"x")
    assert "left out" not in read(zoo).note


def test_hidden_pictures_are_never_taken(zoo: Path) -> None:
    write_folder(zoo, {".ipynb_checkpoints": 2, "__MACOSX": 2})
    write_folder(zoo / "ant", {".ipynb_checkpoints": 2, "__MACOSX": 1})
    write_folder(zoo / "bee/deeper/.hidden/deep", {"x": 1})
    write_picture(zoo / "bee/._00.png")
    splits = read(zoo)
    assert count(splits) == 12 and splits.train.class_names == ("ant", "bee")
    for said in ("2 hidden .ipynb_checkpoints", "2 hidden __MACOSX", "1 hidden .hidden"):
        assert said in splits.note
    assert "1 hidden .png" in splits.note


def test_what_an_archive_leaves_beside_the_parts_is_hidden(parts: Path) -> None:
    write_folder(parts / "__MACOSX/train", {"ant": 1})
    splits = read(parts)
    assert len(splits.train) == 8 and len(splits.test) == 8


@pytest.mark.parametrize(
    "ending",
    [
        *("jfif", "jpe", "JPG", "gif", "dib", "tga", "pcx", "pnm", "sgi", "ico", "qoi", "avif"),
        *("jp2", "webp"),
    ],
)
def test_all_endings_of_what_can_be_read_are_taken(zoo: Path, ending: str) -> None:
    image = Image.effect_noise((6, 4), 80).convert("RGB")
    kind = Image.registered_extensions().get(f".{ending.lower()}")
    # Pillow 11.0 writes no QOI and knows no AVIF, and others are built without JPEG 2000
    if kind not in Image.SAVE:
        pytest.skip(f"this Pillow writes no {ending}")
    sizes = {"sizes": [(6, 4)]} if ending == "ico" else {}
    image.save(zoo / f"ant/new.{ending}", format=kind, **sizes)
    assert count(read(zoo)) == 13


def test_documents_are_no_pictures(zoo: Path) -> None:
    for ending in ("pdf", "eps", "svg", "h5", "mpg"):
        (zoo / f"ant/page.{ending}").write_bytes(b"%!PS")
    splits = read(zoo)
    assert count(splits) == 12 and "1 .eps" in splits.note


def test_a_class_without_pictures_says_what_it_has(zoo: Path) -> None:
    (zoo / "cat").mkdir()
    (zoo / "cat/a.heic").write_bytes(b"x")
    with pytest.raises(BadRequest, match=r"cat holds no images \(left out: 1 .heic\)"):
        read(zoo)


# links


@NO_LINKS
def test_a_link_to_a_folder_above_is_entered_once(parts: Path) -> None:
    before = read(parts)
    (parts / "train/ant/up").symlink_to(parts)
    (parts / "train/bee/here").symlink_to(".")
    (parts / "test/ant/other").symlink_to(parts / "train/bee")
    (parts / "train/ant/test").symlink_to(parts / "test")
    splits = read(parts)
    assert torch.equal(splits.train.images, before.train.images)
    assert torch.equal(splits.test.images, before.test.images)
    assert "entered once: " in splits.note and ", and 3 more" in splits.note


@NO_LINKS
def test_a_folder_elsewhere_is_entered_once(zoo: Path) -> None:
    write_folder(zoo.parent, {"shared": 3})
    (zoo / "ant/more").symlink_to(zoo.parent / "shared")
    (zoo / "bee/more").symlink_to(zoo.parent / "shared")
    splits = read(zoo)
    assert count(splits) == 15
    assert f"{zoo / 'bee/more'} is the same folder as {zoo / 'ant/more'}" in splits.note


@NO_LINKS
@pytest.mark.parametrize("link", ["train/cat", "test/bee"])
def test_one_folder_as_two_classes_is_refused(parts: Path, link: str) -> None:
    path = parts / link
    if path.exists():
        for one in path.iterdir():
            one.unlink()
        path.rmdir()
    path.symlink_to(parts / "train/ant")
    with pytest.raises(BadRequest, match=r"is the same folder as .*ant, so its images would count"):
        read(parts)


@NO_LINKS
def test_the_same_folder_for_both_parts_is_refused(parts: Path) -> None:
    for one in sorted((parts / "test").rglob("*"), reverse=True):
        one.rmdir() if one.is_dir() else one.unlink()
    (parts / "test").rmdir()
    (parts / "test").symlink_to("train")
    with pytest.raises(BadRequest, match="is the same folder as"):
        read(parts)


@NO_LINKS
def test_links_to_files_and_to_folders_of_pictures_are_followed(zoo: Path) -> None:
    write_folder(zoo.parent, {"cats": 4})
    write_picture(zoo.parent / "one.png")
    (zoo / "cat").symlink_to(zoo.parent / "cats")
    (zoo / "ant/linked.png").symlink_to(zoo.parent / "one.png")
    splits = read(zoo)
    assert splits.train.class_names == ("ant", "bee", "cat") and count(splits) == 17


@NO_LINKS
def test_links_to_nothing_and_to_themselves(zoo: Path) -> None:
    (zoo / "ant/loop").symlink_to(zoo / "ant/loop")
    assert count(read(zoo)) == 12
    (zoo / "bee/gone.png").symlink_to("nowhere.png")
    with pytest.raises(BadRequest, match=r"gone.png is a link to nothing"):
        read(zoo)


# what is no regular file


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no FIFOs")
def test_a_fifo_is_refused_before_it_is_opened(zoo: Path) -> None:
    (zoo / "bee/0.txt").touch()
    os.mkfifo(zoo / "bee/pipe.png")
    with pytest.raises(BadRequest, match=r"pipe.png is a FIFO; a picture file is needed"):
        read(zoo)
    table = zoo / "rows.csv"
    table.write_text("path,label\nant/00.png,a\nbee/pipe.png,b\n")
    with pytest.raises(BadRequest, match=r"line 3: .*pipe.png is a FIFO"):
        load_source(f"csv:{table}")


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no such sockets")
def test_a_socket_is_refused(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # its path may have 108 letters
    monkeypatch.chdir(zoo)
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("bee/s.png")
    with pytest.raises(BadRequest, match=r"s.png is a socket"):
        read(zoo)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no FIFOs")
def test_a_fifo_that_a_data_set_names_is_refused(tmp_path: Path) -> None:
    import datasets

    os.mkfifo(tmp_path / "pipe.png")
    columns = datasets.Features({"image": datasets.Image(decode=False)})
    rows = [{"bytes": None, "path": str(tmp_path / "pipe.png")}]
    data = datasets.Dataset.from_dict({"image": rows}, features=columns)
    with pytest.raises(BadRequest, match=r"pipe.png is a FIFO"):
        decode_parts([Rows(data, "image", torch.arange(1), "hf:x")], None)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all")
def test_a_folder_that_cannot_be_read_is_told(zoo: Path) -> None:
    (zoo / "bee/locked").mkdir(mode=0)
    with pytest.raises(BadRequest, match=r"locked cannot be read"):
        read(zoo)


# names that are not UTF-8


@pytest.fixture
def odd(zoo: Path) -> bytes:
    """Return the path of a folder whose file system takes any name."""
    name = os.fsencode(zoo / "ant") + b"/caf\xe9.png"
    try:
        (zoo / "ant/00.png").rename(os.fsdecode(name))
    except (OSError, UnicodeError):
        pytest.skip("this file system takes UTF-8 alone")
    return name


def test_names_of_files_need_not_be_utf_8(zoo: Path, odd: bytes) -> None:
    assert count(read(zoo)) == 12
    Path(os.fsdecode(odd)).write_bytes(b"no picture")
    with pytest.raises(BadRequest) as caught:
        read(zoo)
    assert r"caf\udce9.png cannot be read" in str(caught.value)
    str(caught.value).encode()


def test_names_of_classes_must_be_utf_8(zoo: Path, odd: bytes) -> None:
    (zoo / "bee").rename(os.fsdecode(os.fsencode(zoo) + b"/b\xe9e"))
    with pytest.raises(BadRequest) as caught:
        read(zoo)
    assert r"b\udce9e' is not in UTF-8" in str(caught.value)
    str(caught.value).encode()
    with pytest.raises(BadRequest, match=r"the source .* is not in UTF-8"):
        load_source(f"folder:{os.fsdecode(os.fsencode(zoo) + b'/b' + bytes([0xE9]) + b'e')}")
