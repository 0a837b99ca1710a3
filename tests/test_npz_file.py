"""Arrays of .npz files: what is not unpacked, and what is not read at all."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from attar.capacity import available_memory, check_memory, check_unpacked
from attar.data import load_source
from attar.data.npz_file import Arrays
from attar.errors import BadRequest

LABELS = np.arange(20) % 2
IMAGES = np.arange(20 * 16, dtype=np.uint8).reshape(20, 4, 4)


def saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def header(shape: tuple[int, ...], descr: str = "|u1") -> bytes:
    file = io.BytesIO()
    said = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, said)  # pyright: ignore[reportArgumentType]
    return file.getvalue()


def write(path: Path, method: int = zipfile.ZIP_DEFLATED, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def put(path: Path, old: bytes, new: bytes) -> None:
    """Change bytes of a file in all places, for example in both headers of a member."""
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))


def test_whole_archives_are_read_as_numpy_reads_them(tmp_path: Path) -> None:
    given = {"a": IMAGES, "b": np.asfortranarray(IMAGES * 1.5), "c": np.array(["ä", "b"]), "d": 5}
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", **given)  # pyright: ignore[reportArgumentType]
        arrays = Arrays(tmp_path / "a.npz")
        assert list(arrays) == list(given) and len(arrays) == 4
        for name, array in given.items():
            assert np.array_equal(arrays[name], array)
        with pytest.raises(KeyError):
            _ = arrays["e"]


def test_arrays_that_nobody_needs_are_not_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.npz", images=saved(IMAGES), labels=saved(LABELS), other=b"no array")
    assert len(load_source(f"npz:{path}").train) == 16
    with pytest.raises(BadRequest, match="plain arrays"):
        _ = Arrays(path)["other"]


def zeros(path: Path) -> Path:
    # 200 MB in 0.2 MB
    count = 200_000_000
    return write(path, images=header((count,)) + bytes(count), labels=saved(LABELS))


def absurd(path: Path) -> Path:
    return write(path, images=header((2**40, 2**40)), labels=saved(LABELS))


def negative(path: Path) -> Path:
    return write(path, images=header((-1, 4, 4)) + bytes(16), labels=saved(LABELS))


def short(path: Path) -> Path:
    return write(path, images=header((20, 4, 4)) + bytes(100), labels=saved(LABELS))


def shorter_than_said(path: Path) -> Path:
    """Return one whose member says in both of its headers that it is longer than it is."""
    content = header((2**20,)) + bytes(1000)
    path = write(path, images=content)
    size, said = len(content).to_bytes(4, "little"), (len(content) - 1000 + 2**20)
    put(path, size, said.to_bytes(4, "little"))
    return path


def encrypted(path: Path) -> Path:
    path = write(path, images=saved(IMAGES))
    content = bytearray(path.read_bytes())
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + place] |= 1
    path.write_bytes(content)
    return path


def in_another_way(path: Path) -> Path:
    return write(path, zipfile.ZIP_BZIP2, images=saved(IMAGES))


def in_an_unknown_way(path: Path) -> Path:
    path = write(path, images=saved(IMAGES))
    content = bytearray(path.read_bytes())
    for signature, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        content[content.index(signature) + place] = 99
    path.write_bytes(content)
    return path


def broken(path: Path) -> Path:
    path = write(path, images=saved(np.random.default_rng(0).integers(0, 9, (99, 9, 9))))
    content = bytearray(path.read_bytes())
    content[200:260] = bytes(60)
    path.write_bytes(content)
    return path


def without_sense(path: Path) -> Path:
    text = b"{'descr': '|u1', 'fortran_order': False, 'shape': ((((("
    return write(path, images=b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)


def of_other_version(path: Path) -> Path:
    return write(path, images=saved(IMAGES).replace(b"NUMPY\x01", b"NUMPY\x07"))


def many(path: Path) -> Path:
    """Return one with more members than any data set has arrays."""
    entry = zipfile.ZipInfo("a" * 200 + ".npy")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry, b"")
    content = path.read_bytes()
    begin, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    directory = content[begin:end] * 20_000
    tail = bytearray(content[end:])
    tail[12:16] = len(directory).to_bytes(4, "little")
    path.write_bytes(content[:begin] + directory + tail)
    return path


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (zeros, r"'images' of shape \(200000000,\) is said to unpack .*100 times.*numpy.savez"),
        (absurd, r"'images' is said to be \(1099511627776, .* but 0 are said to be stored"),
        (negative, "are said to be stored"),
        (short, "which are 320 bytes, but 100 are said to be stored"),
        (shorter_than_said, "plain arrays"),
        (encrypted, "is encrypted"),
        (in_another_way, "by method 12; stored or deflated ones are read"),
        (in_an_unknown_way, "by method 99; stored or deflated ones are read"),
        (broken, "plain arrays"),
        (without_sense, "plain arrays"),
        (of_other_version, "plain arrays"),
        (many, "list of members is longer than of any real"),
    ],
)
def test_what_is_refused(make: Callable[[Path], Path], words: str, tmp_path: Path) -> None:
    path = make(tmp_path / "a.npz")
    with pytest.raises(BadRequest, match=words):
        _ = Arrays(path)["images"]
    with pytest.raises(BadRequest, match=str(path)):
        load_source(f"npz:{path}")


def test_tight_packing_of_little_and_large_files_is_let_through() -> None:
    check_unpacked(1, 64 * 2**20, "one", "save it")
    check_unpacked(10**6, 10**8, "one", "save it")
    with pytest.raises(BadRequest, match=r"one is said to unpack 1 MB to 100 MB.*; save it"):
        check_unpacked(10**6, 10**8 + 1, "one", "save it")


def test_memory_is_asked_for_before_it_is_taken() -> None:
    there = available_memory()
    assert 2**20 < there < 2**60
    check_memory(2**20, "a thing", "take less")
    with pytest.raises(BadRequest, match=r"a thing would take .* GB of memory, but .*; take less"):
        check_memory(2**60, "a thing", "take less")
