"""Locks that keep other processes out; the system releases them when a process ends, however."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import lock_descriptor

from attar.errors import BadRequest


def take(path: Path) -> int | None:
    """Return the handle of a lock file, made and locked; None where another process has it.

    Raises:
        OSError: the file cannot be made.
    """
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if not lock(handle):
            os.close(handle)
            return None
        if _is_at(path, handle):
            return handle
        os.close(handle)


def lock(handle: int) -> bool:
    """Lock an open file; tell whether no other process has it. One without locks is free."""
    try:
        return lock_descriptor(handle, blocking=False)
    except OSError:  # a system, or a file system, without locks
        return True


def release(path: Path, handle: int) -> None:
    """Remove a lock file and unlock it."""
    # removed while it is locked: whoever waits for it sees that it is another file; Windows, which
    # removes no open file, leaves it to whoever comes next
    with contextlib.suppress(PermissionError):
        path.unlink(missing_ok=True)
    os.close(handle)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one process at a time into the block, among those that lock the same file or folder.

    It is left as it is. Where it is not there, or cannot be locked as no folder can on Windows,
    the block is entered without.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            handle = os.open(path, os.O_RDONLY)
            stack.callback(os.close, handle)
            lock_descriptor(handle)
        yield


@contextlib.contextmanager
def sole_writer(path: Path, option: str = "-o") -> Iterator[None]:
    """Keep other runs from writing ``path`` and what lies beside it, until the block ends.

    A killed run leaves an empty file ``.NAME.lock`` that nothing is locked by.

    Args:
        path: the file to be written; its folder is made, and gone again where nothing came of it.
        option: that names it.

    Raises:
        BadRequest: another run writes it, or the folder cannot be written to.
    """
    beside = path.with_name(f".{path.name}.lock")
    made = [one for one in beside.parents if not one.exists()]
    try:
        beside.parent.mkdir(parents=True, exist_ok=True)
        handle = take(beside)
    except OSError as error:
        raise BadRequest(
            f"{option} {path}: its folder cannot be written to ({error.strerror}); choose another"
        ) from error
    if handle is None:
        raise BadRequest(
            f"{option} {path}: another run is writing it; wait for its end, or choose another name"
        )
    try:
        yield
    finally:
        release(beside, handle)
        with contextlib.suppress(OSError):
            for folder in made:
                folder.rmdir()


def _is_at(path: Path, handle: int) -> bool:
    """Tell whether an open file is still the one of a name."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(handle)
    return (there.st_ino, there.st_dev) == (here.st_ino, here.st_dev)
