import json
import resource
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from attar.errors import ArtefactError, RunFailed
from attar.tensors import all_finite, flatten, read_header, read_tensors, save_tensors, unflatten

HEADER = {"format": "x", "numbers": [1, 2.5, None, True], "names": {"é": "×"}}


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """A disk on which no file can grow beyond ``size`` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def write_raw(path: Path, header: bytes, payload: bytes = b"", size: int | None = None) -> Path:
    path.write_bytes(struct.pack("<Q", len(header) if size is None else size) + header + payload)
    return path


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64]
)
def test_what_is_saved_is_read(tmp_path: Path, dtype: torch.dtype) -> None:
    path = tmp_path / "a.safetensors"
    tensors = {"b": torch.arange(6).view(2, 3).to(dtype), "a.c": torch.zeros(0, 4, dtype=dtype)}
    save_tensors(path, tensors, HEADER)
    assert read_header(path) == HEADER
    found = read_tensors(path)
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == dtype
        assert torch.equal(found[name], tensor)
    assert list(tmp_path.iterdir()) == [path]


def test_layout_and_gradients_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    image = torch.randn(2, 3, 4, 4)
    save_tensors(
        path,
        {
            "t": torch.arange(6).view(2, 3).T,
            "g": torch.ones(2, requires_grad=True),
            "c": image.contiguous(memory_format=torch.channels_last),
        },
        {},
    )
    found = read_tensors(path)
    assert found["t"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert found["g"].tolist() == [1, 1]
    assert torch.equal(found["c"], image)


def test_any_safetensors_reader_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors(path, {"a": torch.ones(2)}, HEADER)
    with safe_open(path, "pt") as file:
        assert file.metadata().keys() == {"attar", "attar.crc32", "attar.checksums"}
        assert json.loads(file.metadata()["attar"]) == HEADER
        assert file.get_tensor("a").tolist() == [1, 1]


def test_the_same_is_written_twice(tmp_path: Path) -> None:
    one, other = tmp_path / "1", tmp_path / "2"
    save_tensors(one, {"a": torch.ones(2), "b": torch.zeros(3)}, {"x": 1, "y": 2})
    save_tensors(other, {"b": torch.zeros(3), "a": torch.ones(2)}, {"y": 2, "x": 1})
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}])
def test_headers_that_are_no_json_are_not_written(tmp_path: Path, value: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        save_tensors(tmp_path / "a", {}, {"x": value})
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_a_failed_run_and_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_tensors(path, {"a": torch.ones(2)}, HEADER)
    before = path.read_bytes()
    with largest_file(4096), pytest.raises(RunFailed) as caught:
        save_tensors(path, {"a": torch.ones(5000)}, HEADER)
    assert str(caught.value).startswith(f"could not write {path}: ")
    assert "File too large" in str(caught.value)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_missing_files_and_directories_are_named(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError) as caught:
        read_header(tmp_path / "no.safetensors")
    assert str(caught.value) == f"{tmp_path / 'no.safetensors'}: no such file"
    with pytest.raises(ArtefactError, match="is a directory, not an artefact"):
        read_header(tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArtefactError, match="cannot be read: Not a directory"):
        read_header(tmp_path / "file" / "a")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234567",
        b"12345678",
        struct.pack("<Q", 0) + b"{}",
        struct.pack("<Q", 2**24 + 1) + b"{}",
        struct.pack("<Q", 2**63) + b"{}",
        b"\x00" * 100,
        b"hello, this is a text\n" * 10,
        b"PK\x03\x04" + b"\x00" * 100,
        b"\x89PNG\r\n\x1a\n" + b"\x00" * 100,
    ],
)
def test_other_kinds_of_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    with pytest.raises(ArtefactError, match="is not a safetensors file, so no artefact"):
        read_header(path)


@pytest.mark.parametrize(
    "header",
    [
        b"{}",
        b"[]",
        b"12",
        b'"__metadata__"',
        b"null",
        b"{broken",
        b'{"a": 1}',
        b"\xff\xfe\xfd\xfc",
        b"[" * 100_000,
        b'{"__metadata__":' + b"[" * 100_000,
        b"9" * 5000,
    ],
    ids=lambda header: header[:20].decode("latin1"),
)
def test_headers_that_are_none_are_refused(tmp_path: Path, header: bytes) -> None:
    with pytest.raises(ArtefactError, match="is not a file that Attar wrote"):
        read_header(write_raw(tmp_path / "a", header))


@pytest.mark.parametrize("metadata", [{}, {"format": "pt"}, None, [], "attar", 3])
def test_safetensors_of_others_are_refused(tmp_path: Path, metadata: Any) -> None:
    path = write_raw(tmp_path / "a", json.dumps({"__metadata__": metadata}).encode())
    with pytest.raises(ArtefactError, match="is a safetensors file, but not one that Attar wrote"):
        read_header(path)


def test_a_plain_safetensors_file_is_refused(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "a", {"format": "pt"})
    with pytest.raises(ArtefactError, match="not one that Attar wrote"):
        read_header(tmp_path / "a")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[" * 100_000,
        '{"x": NaN}',
        '{"x": -Infinity}',
        '{"x": 1e999}',
        r'{"x": {"\ud800": 1}}',
        r'{"x": "\ud800"}',
    ],
)
def test_own_headers_that_are_damaged_are_refused(tmp_path: Path, text: str) -> None:
    path = write_raw(tmp_path / "a", json.dumps({"__metadata__": {"attar": text}}).encode())
    with pytest.raises(ArtefactError, match="valid 'attar' header"):
        read_header(path)


@pytest.mark.parametrize("text", ["[]", "3", "null", '"x"'])
def test_own_headers_that_are_no_object_are_refused(tmp_path: Path, text: str) -> None:
    path = write_raw(tmp_path / "a", json.dumps({"__metadata__": {"attar": text}}).encode())
    with pytest.raises(ArtefactError, match="'attar' header is no JSON object"):
        read_header(path)


def test_an_unreadable_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ArtefactError, match="a cannot be read: Permission denied"):
        read_header(tmp_path / "a")


def test_truncated_files_are_refused_at_every_length(tmp_path: Path) -> None:
    whole, path = tmp_path / "whole", tmp_path / "cut"
    save_tensors(whole, {"a": torch.ones(3), "b": torch.zeros(2, 2)}, {"x": 1})
    content = whole.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ArtefactError):
            read_header(path)
            read_tensors(path)
    with pytest.raises(ArtefactError, match=r"is truncated or damaged \(.*\); fetch it again"):
        read_tensors(path)


PLAIN = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3) | st.just([1, "a"])
NAMES = st.text("abc_1", min_size=1, max_size=3)
TENSORS = st.integers(0, 9).map(lambda value: torch.tensor([value]))
TREES = st.recursive(
    st.dictionaries(NAMES, PLAIN | TENSORS, max_size=3),
    lambda inner: st.dictionaries(NAMES, inner | PLAIN | TENSORS, max_size=3),
    max_leaves=6,
)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return torch.equal(one, other)
    return type(one) is type(other) and one == other


@given(tree=TREES)
@settings(deadline=None, max_examples=100)
def test_unflatten_undoes_flatten(tree: dict[str, Any]) -> None:
    tensors, rest = flatten(tree)
    assert same(unflatten(tensors, json.loads(json.dumps(rest))), tree)


def test_flatten_splits_by_dotted_name() -> None:
    one, two = torch.ones(1), torch.zeros(2)
    tensors, rest = flatten({"a": one, "b": {"c": {"d": two}, "n": 3}, "s": "x", "l": [1]})
    assert tensors.keys() == {"a", "b.c.d"}
    assert tensors["b.c.d"] is two
    assert rest == {"b": {"c": {}, "n": 3}, "s": "x", "l": [1]}


@pytest.mark.parametrize("value", [object(), (1, 2), {1}, b"x", torch.float32])
def test_flatten_refuses_what_cannot_be_stored(value: object) -> None:
    with pytest.raises(TypeError, match=r"b\.c is a \w+; only tensors and plain values"):
        flatten({"b": {"c": value}})


def test_flatten_refuses_dots() -> None:
    with pytest.raises(TypeError, match=r"must have no dot: 'c\.d'"):
        flatten({"b": {"c.d": 1}})


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_all_finite(bad: float) -> None:
    good = {"a": torch.ones(3), "b": torch.zeros(0), "c": torch.tensor([65504.0]).half()}
    assert all_finite(good)
    assert all_finite({})
    assert not all_finite({**good, "d": torch.tensor([0.0, bad])})
