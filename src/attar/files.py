"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from attar.errors import BadRequest, RunFailed


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
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
    except OSError as error:
        raise RunFailed(
            f"could not write {path}: {error.strerror or error}. What was there before is "
            "untouched; free some space or choose another path, and run again ('attar condense' "
            "goes on with --resume)."
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def check_writable(path: Path, option: str = "-o", example: str = "set.safetensors") -> None:
    """Refuse, before any work starts, an output path that could not be written at the end.

    Args:
        path: where.
        option: that names it.
        example: of a file name, for one that names a folder.

    Raises:
        BadRequest: the path is a folder, or lies in one that cannot be written to.
    """
    path = Path(path)
    if path.is_dir():
        raise BadRequest(f"{option} {path} is a directory; name a file, such as {path / example}")
    folder = nearest(path.parent)
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise BadRequest(f"{option} {path}: {folder} is not a folder that can be written to")


def nearest(path: Path) -> Path:
    """Return the path itself where it is there, else the nearest above it that is."""
    while not path.exists():
        path = path.parent
    return path
