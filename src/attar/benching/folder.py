"""Where a suite's files lie, what of its work is done, and the lock that keeps others out."""

from __future__ import annotations

import contextlib
import functools
import glob
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attar.artefact.loading import load
from attar.benching.cells import Making, Measuring, Work
from attar.benching.making import Slimming
from attar.benching.measured import Measured, read_measured
from attar.benching.notes import plain, read_json, write_json
from attar.condensing.paths import Paths
from attar.errors import ArtefactError, BadRequest
from attar.evaluation.record import digest
from attar.locking import lock

# how long the processes of a killed run may take to notice that it is gone
_GRACE_SECONDS = 30.0


@dataclass(frozen=True)
class Folder:
    """The output folder of a suite.

    ``sets`` holds the artefacts, ``measured`` the accuracies, ``logs`` what each piece of work
    said; all three have one file for each, under its key.

    Args:
        root: an absolute path.
    """

    root: Path

    def set_path(self, making: Making) -> Path:
        """Return where a set is written."""
        return self.root / "sets" / f"{making.key}.safetensors"

    def note_path(self, making: Making) -> Path:
        """Return where it is noted what the files of a set are of."""
        return self.root / "sets" / f"{making.key}.made.json"

    def result_path(self, measuring: Measuring) -> Path:
        """Return where the accuracies of networks are written."""
        return self.root / "measured" / f"{measuring.key}.json"

    def log_path(self, work: Work) -> Path:
        """Return where a piece of work tells what it does."""
        return self.root / "logs" / f"{work.key}.log"

    def is_made(self, making: Making) -> bool:
        """Tell whether a set is there, whole, and of these very settings."""
        path = self.set_path(making)
        if not path.exists() or Paths(path).checkpoint.exists():
            return False
        if isinstance(making, Slimming) and not self.is_made(making.before):
            return False
        note = read_json(self.note_path(making))
        return note is not None and self._is_of(note, making) and is_sound(path)

    def _facts(self, making: Making) -> dict[str, Any]:
        """Return what a note has to say of the files of a set."""
        facts = {"identity": plain(making.identity())}
        if isinstance(making, Slimming):
            facts["from"] = digest_of(self.set_path(making.before))
        return facts

    def _is_of(self, note: dict[str, Any], making: Making) -> bool:
        return all(note.get(name) == value for name, value in self._facts(making).items())

    def is_measured(self, measuring: Measuring) -> bool:
        """Tell whether the accuracies are there, of these settings and of the set as it is."""
        return self.result(measuring) is not None

    def result(self, measuring: Measuring) -> Measured | None:
        """Return what was measured; None where it is not there or of something else."""
        found = read_measured(self.result_path(measuring))
        if found is None or found.identity != plain(measuring.identity()):
            return None
        # the whole training set too: how long it is trained on follows the set beside it
        if not self.is_made(measuring.making):
            return None
        return found if found.sha256 == digest_of(self.set_path(measuring.making)) else None

    def clear_leftovers(self) -> None:
        """Remove temporary files that a killed run left behind; the folder is locked."""
        for leftover in self.root.rglob(".*.tmp"):
            leftover.unlink(missing_ok=True)

    def prepare(self, making: Making) -> None:
        """Note what is about to be made, after removing what was made of other settings.

        A set that is slimmed is known by the file that it is made from, too.
        """
        path = self.note_path(making)
        note = read_json(path)
        output = self.set_path(making)
        if note is not None and self._is_of(note, making):
            if output.exists() and not is_sound(output):
                output.unlink()
            return
        for stale in output.parent.glob(f"{glob.escape(output.stem)}.*"):
            stale.unlink(missing_ok=True)
        write_json(path, self._facts(making))

    @contextlib.contextmanager
    def locked(self) -> Iterator[int | None]:
        """Keep other runs out of the folder; processes that inherit the handle keep it locked.

        Yields:
            The handle to be passed on; None on Windows, whose processes inherit none.

        Raises:
            BadRequest: another run is at work, or the folder cannot be written to.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise self._refused(error) from error
        try:
            self._acquire(handle)
            yield None if sys.platform == "win32" else handle
        finally:
            os.close(handle)

    def _acquire(self, handle: int) -> None:
        give_up = None
        while not lock(handle):
            owner = _read(handle)
            now = time.monotonic()
            give_up = give_up or now + (0 if is_alive(owner) else _GRACE_SECONDS)
            if now >= give_up:
                raise BadRequest(
                    f"-o {self.root}: another run (process {owner or 'unknown'}) is at work "
                    "there; wait for its end or choose another folder"
                )
            time.sleep(0.2)
        try:
            os.ftruncate(handle, 0)
            os.lseek(handle, 0, os.SEEK_SET)
            os.write(handle, str(os.getpid()).encode())
        except OSError as error:  # a full disk
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> BadRequest:
        return BadRequest(
            f"-o {self.root}: cannot be written to ({error.strerror}); choose another folder"
        )


def is_sound(path: Path) -> bool:
    """Tell whether a file is an artefact, whole."""
    facts = path.stat()
    return _is_sound(path, facts.st_mtime_ns, facts.st_size)


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, from memory where it has not changed since."""
    facts = path.stat()
    return _digest(path, facts.st_mtime_ns, facts.st_size)


# the tables are written many times while a suite runs
@functools.cache
def _is_sound(path: Path, changed: int, size: int) -> bool:
    try:
        load(path)
    except ArtefactError:
        return False
    return True


@functools.cache
def _digest(path: Path, changed: int, size: int) -> str:
    return digest(path)


def _read(handle: int) -> str:
    """Return the number of the process that has the lock; empty where it cannot be read."""
    try:
        os.lseek(handle, 0, os.SEEK_SET)
        return os.read(handle, 32).decode(errors="replace").strip()
    except OSError:  # what is locked on Windows is not read either
        return ""


def is_alive(process: str) -> bool:
    """Tell whether a process of this number runs here; on Windows one that has the lock does."""
    if sys.platform == "win32":
        # there signal 0 is Ctrl-C, and no process outlives the run with its lock
        return True
    try:
        os.kill(int(process), 0)
    except (ValueError, ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
