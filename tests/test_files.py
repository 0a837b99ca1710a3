import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from attar.errors import BadRequest, RunFailed
from attar.files import (
    check_folder,
    check_writable,
    left_behind,
    write_atomically,
    write_folder,
    write_text,
)

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def raising(error: BaseException) -> Callable[..., object]:
    def call(*_: object, **__: object) -> object:
        raise error

    return call


def half_written(error: BaseException) -> Callable[[Path], object]:
    """A writer that fails midway."""

    def write(temporary: Path) -> object:
        temporary.write_text("ha")
        raise error

    return write


def test_writes_text_as_utf8(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "8×8 – ñ")
    assert (tmp_path / "a.txt").read_bytes() == "8×8 – ñ".encode()
    assert list(tmp_path.iterdir()) == [tmp_path / "a.txt"]


def test_makes_the_folders_above(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "c.txt", "x")
    assert (tmp_path / "a" / "b" / "c.txt").read_text() == "x"


def test_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("a longer text from before")
    write_text(path, "new")
    assert path.read_text() == "new"


def test_nobody_sees_a_file_half_written(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")
    seen = []

    def write(temporary: Path) -> None:
        temporary.write_text("ha")
        seen.append((temporary.parent, temporary != path, path.read_text()))
        temporary.write_text("half and half")

    write_atomically(path, write)
    # in the same folder, since a rename across file systems is no rename
    assert seen == [(tmp_path, True, "before")]
    assert path.read_text() == "half and half"


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), FULL])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: BaseException
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")
    expected = RunFailed if isinstance(error, OSError) else type(error)
    with pytest.raises(expected):
        write_atomically(path, half_written(error))
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_first_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RunFailed):
        write_atomically(tmp_path / "a.txt", half_written(FULL))
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_with_the_path_and_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with pytest.raises(RunFailed) as caught:
        write_atomically(path, half_written(FULL))
    text = str(caught.value)
    assert text.startswith(f"could not write {path}: No space left on device.")
    assert "free some space" in text
    assert "--resume" in text
    assert caught.value.exit_status == 1
    assert caught.value.__cause__ is FULL


@pytest.mark.parametrize(
    "broken", ["tempfile.mkstemp", "os.fsync", "pathlib.Path.replace", "pathlib.Path.chmod"]
)
def test_every_step_that_the_system_refuses_is_a_failed_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")
    monkeypatch.setattr(broken, raising(PermissionError(errno.EACCES, "Permission denied")))
    with pytest.raises(RunFailed, match=r"could not write .*a\.txt: Permission denied"):
        write_text(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_in_place_of_the_folder_is_a_failed_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunFailed, match="could not write"):
        write_text(tmp_path / "file" / "a.txt", "new")
    assert (tmp_path / "file").read_text() == "x"


def test_it_is_on_disk_before_it_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, order = tmp_path / "a.txt", []
    flush, rename = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (order.append("flush"), flush(handle)))
    monkeypatch.setattr(
        Path, "replace", lambda self, to: (order.append("rename"), rename(self, to))
    )
    write_text(path, "new")
    assert order == ["flush", "rename"]


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o000])
def test_the_result_has_the_rights_of_any_new_file(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write_text(tmp_path / "a.txt", "x")
        assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o666 & ~mask
        assert os.umask(mask) == mask
    finally:
        os.umask(before)


def test_check_writable_accepts_and_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_writable(tmp_path / "set.safetensors")
    check_writable(tmp_path / "new" / "deep" / "set.safetensors")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.chdir(tmp_path)
    check_writable(Path("set.safetensors"))


def test_check_writable_refuses_a_directory(tmp_path: Path) -> None:
    with pytest.raises(BadRequest) as caught:
        check_writable(tmp_path)
    assert str(caught.value) == (
        f"-o {tmp_path} is a directory; name a file, such as {tmp_path / 'set.safetensors'}"
    )


@pytest.mark.parametrize("rest", ["set.safetensors", "deeper/set.safetensors"])
def test_check_writable_refuses_a_file_as_folder(tmp_path: Path, rest: str) -> None:
    (tmp_path / "file").write_text("x")
    path = tmp_path / "file" / rest
    with pytest.raises(BadRequest) as caught:
        check_writable(path)
    assert str(caught.value).startswith(f"-o {path}: {tmp_path / 'file'} is not a folder")


def test_check_writable_refuses_a_folder_without_rights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # root may write anywhere, so the answer of the system is put in its place
    monkeypatch.setattr(os, "access", lambda folder, mode: mode != os.W_OK)
    with pytest.raises(BadRequest, match="is not a folder that can be written to"):
        check_writable(tmp_path / "new" / "set.safetensors")


@pytest.mark.parametrize(("length", "replaced"), [(5000, False), (256, False), (242, True)])
def test_a_folder_with_too_long_a_name_is_refused(
    length: int, replaced: bool, tmp_path: Path
) -> None:
    folder = tmp_path / ("a" * length)
    with pytest.raises(BadRequest, match="bytes too long") as caught:
        check_folder(folder, "--png", replaced=replaced)
    assert len(str(caught.value)) < 400
    check_folder(tmp_path / ("a" * (241 if replaced else 255)), replaced=replaced)


def test_the_longest_name_of_a_folder_that_is_taken_can_be_replaced(tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 241)
    for text in ("old", "new"):
        check_folder(folder, replaced=True)
        write_folder(folder, lambda new, text=text: (new / "a").write_text(text))
    assert (folder / "a").read_text() == "new" and list(tmp_path.iterdir()) == [folder]


def test_a_folder_that_cannot_be_replaced_is_in_its_place_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, rename = tmp_path / "set", Path.rename
    write_folder(folder, lambda new: (new / "a").write_text("old"))

    def failing(self: Path, target: Path) -> Path:
        if self.suffix == ".tmp":
            raise FULL
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(RunFailed, match="No space left"):
        write_folder(folder, lambda new: (new / "a").write_text("new"))
    assert (folder / "a").read_text() == "old" and list(tmp_path.iterdir()) == [folder]


def test_what_a_killed_replacement_leaves_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, rename = tmp_path / "[set]", Path.rename
    write_folder(folder, lambda new: (new / "a").write_text("old"))
    assert left_behind(folder) is None

    def killed(self: Path, target: Path) -> Path:
        if self.suffix == ".tmp":
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        write_folder(folder, lambda new: (new / "a").write_text("new"))
    left = left_behind(folder)
    assert left is not None and (left / "a").read_text() == "old"
