"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from attar.errors import BadRequest, RunFailed
from attar.faults import shortened

# bytes of a file's name on the usual file systems
_LONGEST_NAME = 255
# what a temporary name adds: two dots, eight letters and an ending
_TEMPORARY = 14
# of the folder that another one is about to replace
_OLD = ".old"


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Call ``write`` with a temporary name beside ``path``, flush it to disk, then rename it.

    Raises:
        RunFailed: the folder cannot be written (full disk, rights); ``path`` is untouched.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        # mkstemp makes private files; the result has the rights of any new file
        temporary.chmod(0o666 & ~_mask())
        temporary.replace(path)
    except OSError as error:
        raise RunFailed(
            f"could not write {shortened(path)}: {error.strerror or error}. What was there before "
            "is untouched; free some space or choose another path, and run again ('attar condense' "
            "goes on with --resume)."
        ) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


def write_folder(folder: Path, write: Callable[[Path], object]) -> None:
    """Call ``write`` with a new folder beside ``folder``, then put it in its place.

    What was in that place is gone afterwards.

    Raises:
        RunFailed: it cannot be written; ``folder`` is untouched.
    """
    folder = Path(folder)
    new: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent))
        write(new)
        new.chmod(0o777 & ~_mask())
        if folder.exists() and any(folder.iterdir()):
            old = new.with_suffix(_OLD)
            folder.rename(old)
            try:
                new.rename(folder)
            except OSError:
                old.rename(folder)
                raise
            # never half removed under a name from which it would be brought back
            old.rename(new)
        else:
            new.replace(folder)
    except OSError as error:
        raise RunFailed(
            f"could not write {shortened(folder)}: {error.strerror or error}; free some space or "
            "choose another folder. Nothing is left of it."
        ) from error
    finally:
        if new is not None:
            shutil.rmtree(new, ignore_errors=True)


def left_behind(folder: Path) -> Path | None:
    """Return what was in a folder's place when a process that replaced it was killed.

    None where the folder is there, or nothing of it was left.
    """
    if folder.exists():
        return None
    return next(folder.parent.glob(f".{glob.escape(folder.name)}.????????{_OLD}"), None)


def _mask() -> int:
    """Return the rights that new files do not get."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def check_writable(
    path: Path,
    option: str = "-o",
    example: str = "set.safetensors",
    beside: Iterable[Path] = (),
) -> None:
    """Refuse, before any work starts, an output path that could not be written at the end.

    Args:
        path: where.
        option: that names it.
        example: of a file name, for one that names a folder.
        beside: further files that are written with it.

    Raises:
        BadRequest: a path is a folder or too long, or lies in a folder that cannot be written to.
    """
    path, beside = Path(path), tuple(beside)
    longest = max((path, *beside), key=lambda one: len(os.fsencode(one.name)))
    _refuse_long(path, option, longest)
    try:
        if path.is_dir():
            raise BadRequest(
                f"{option} {path} is a directory; name a file, such as {path / example}"
            )
        folder = nearest(path.parent)
    except OSError as error:  # a path of too many names, or one below a folder that is closed
        raise BadRequest(f"{option} {shortened(path)}: {error.strerror}") from error
    if not folder.is_dir() or not all(os.access(folder, right) for right in (os.W_OK, os.X_OK)):
        raise BadRequest(f"{option} {path}: {folder} is not a folder that can be written to")
    for other in beside:
        if other.is_dir():
            raise BadRequest(
                f"{option} {path}: {other.name}, which is written beside it, is a directory; move "
                "it away or choose another name"
            )


def check_folder(
    folder: Path, option: str = "-o", example: str = "results", replaced: bool = False
) -> None:
    """Refuse, before any work starts, a folder into which nothing could be written at the end.

    Args:
        folder: where.
        option: that names it.
        example: of a folder's name, for a path that is a file.
        replaced: whether it is written by `write_folder`, under a longer name at first.

    Raises:
        BadRequest: it is a file, its name is too long, or it cannot be written to.
    """
    folder = Path(folder)
    _refuse_long(folder, option, folder, _TEMPORARY if replaced else 0)
    try:
        if folder.exists() and not folder.is_dir():
            raise BadRequest(f"{option} {folder}: that is a file; name a folder, such as {example}")
        there = nearest(folder)
    except OSError as error:  # a path of too many names, or one below a folder that is closed
        raise BadRequest(f"{option} {shortened(folder)}: {error.strerror}") from error
    if not there.is_dir() or not all(os.access(there, right) for right in (os.W_OK, os.X_OK)):
        raise BadRequest(f"{option} {folder}: {there} is not a folder that can be written to")


def _refuse_long(path: Path, option: str, longest: Path, added: int = _TEMPORARY) -> None:
    """Refuse a name with which the longest of its files, while it is written, has none."""
    spare = _LONGEST_NAME - len(os.fsencode(longest.name)) - added
    if spare < 0:
        why = ", since files beside it are named after it" if added else ""
        raise BadRequest(
            f"{option} {shortened(path)}: its name is {-spare} bytes too long{why}; choose a "
            "shorter one"
        )


def nearest(path: Path) -> Path:
    """Return the path itself where it is there, else the nearest above it that is."""
    while not path.exists():
        path = path.parent
    return path
