"""Who trains which expert: locks that the system releases when a process ends, however it ends."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from attar.errors import BadRequest

try:
    import fcntl
except ImportError:  # a system without such locks: one process at a time, and it is not checked
    fcntl = None

_PATTERN = ".expert-*.lock"


def shares_work() -> bool:
    """Whether several processes can share a folder here."""
    return fcntl is not None


class Claim:
    """Experts that this process alone may train, until `release`.

    Args:
        experts: their numbers.
        held: lock files with their handles.
    """

    def __init__(self, experts: Sequence[int], held: Sequence[tuple[Path, int]]) -> None:
        self.experts = tuple(experts)
        self._held = list(held)

    def release(self) -> None:
        """Let others have what is still missing."""
        for path, handle in self._held:
            # removed while it is locked: whoever waits for it sees that it is another file
            path.unlink(missing_ok=True)
            os.close(handle)
        self._held.clear()


def claim(folder: Path, experts: Sequence[int]) -> Claim | None:
    """Return a claim on all of these experts, or None where another process has one of them."""
    held: list[tuple[Path, int]] = []
    for expert in sorted(experts) if shares_work() else ():
        path = folder / f".expert-{expert:05d}.lock"
        handle = _locked(path)
        if handle is None:
            Claim((), held).release()
            return None
        held.append((path, handle))
    return Claim(experts, held)


def someone_works(folder: Path) -> bool:
    """Tell whether a process has a claim on an expert of a folder."""
    for path in folder.glob(_PATTERN) if shares_work() else ():
        handle = _locked(path)
        if handle is None:
            return True
        Claim((), [(path, handle)]).release()
    return False


@contextlib.contextmanager
def settling(folder: Path) -> Iterator[None]:
    """Let one process at a time decide what a folder holds."""
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _locked(path: Path) -> int | None:
    """Return the handle of a lock file that this process has locked; None where another has."""
    assert fcntl is not None
    while True:
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise BadRequest(
                f"-o {path.parent}: cannot be written to ({error.strerror}); choose another folder"
            ) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            return None
        except OSError:  # a file system without locks
            return handle
        if _is_at(path, handle):
            return handle
        os.close(handle)


def _is_at(path: Path, handle: int) -> bool:
    """Tell whether an open file is still the one of a name."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(handle)
    return (there.st_ino, there.st_dev) == (here.st_ino, here.st_dev)
