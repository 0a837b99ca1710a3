"""Who trains which expert: locks that the system releases when a process ends, however it ends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from attar.errors import BadRequest
from attar.locking import release, take

_PATTERN = ".expert-*.lock"


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
            release(path, handle)
        self._held.clear()


def claim(folder: Path, experts: Sequence[int]) -> Claim | None:
    """Return a claim on all of these experts, or None where another process has one of them."""
    held: list[tuple[Path, int]] = []
    for expert in sorted(experts):
        path = folder / f".expert-{expert:05d}.lock"
        handle = _locked(path)
        if handle is None:
            Claim((), held).release()
            return None
        held.append((path, handle))
    return Claim(experts, held)


def someone_works(folder: Path) -> bool:
    """Tell whether a process has a claim on an expert of a folder."""
    for path in folder.glob(_PATTERN):
        handle = _locked(path)
        if handle is None:
            return True
        Claim((), [(path, handle)]).release()
    return False


def _locked(path: Path) -> int | None:
    """Return the handle of a lock file that this process has locked; None where another has."""
    try:
        return take(path)
    except OSError as error:
        raise BadRequest(
            f"-o {path.parent}: cannot be written to ({error.strerror}); choose another folder"
        ) from error
