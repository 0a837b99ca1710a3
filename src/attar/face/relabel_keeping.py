"""What a relabelling has come to, kept beside its output as a run of `attar condense` is."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from attar import stopping
from attar.condensing import checkpoint
from attar.condensing.paths import Paths
from attar.data.reading import Watch
from attar.errors import Interrupted
from attar.face.relabel_request import RelabelRequest


class _Left(BaseException):
    """Raised between two updates where the user asked to stop."""


class Keeping:
    """The checkpoint of one relabelling.

    Args:
        asked: what was asked for.
        identity: what a relabelling that goes on from the checkpoint must share.
        work: what is kept.
        watch: told what is done.
    """

    def __init__(
        self,
        asked: RelabelRequest,
        identity: Mapping[str, Any],
        work: checkpoint.Resumable,
        watch: Watch | None,
    ) -> None:
        self._every = asked.checkpoint_seconds
        self._identity = identity
        self._work = work
        self._told = watch
        self._paths = None if asked.output is None else Paths(asked.output)
        self._stop = threading.Event()
        self._saved_at = time.perf_counter()
        if asked.resume and self._paths is not None and self._paths.checkpoint.exists():
            checkpoint.restore(self._paths.checkpoint, work, identity)

    @contextlib.contextmanager
    def heeding(self) -> Iterator[None]:
        """Keep where the work is, and end it, when the user asks for that in the block.

        Raises:
            Interrupted: the user did.
        """
        try:
            with stopping.listening(self._stop):
                yield
        except _Left:
            where = ""
            if self._paths is not None:
                self._save(self._paths)
                where = f"; continue with --resume -o {self._paths.output}"
            raise Interrupted(f"interrupted{where}.") from None

    def watch(self, what: str, done: int, total: int) -> None:
        """Tell how far the work is, between two updates, and leave it if asked to."""
        if self._told is not None:
            self._told(what, done, total)
        if self._stop.is_set():
            raise _Left

    def passed(self) -> None:
        """Write the checkpoint where it is due: the work is between two of its steps."""
        if self._paths is not None and time.perf_counter() - self._saved_at >= self._every:
            self._save(self._paths)

    def remove(self) -> None:
        """Remove the checkpoint: the output is there."""
        if self._paths is not None:
            self._paths.checkpoint.unlink(missing_ok=True)

    def _save(self, paths: Paths) -> None:
        if self._work.finite():
            checkpoint.save(paths.checkpoint, self._work, checkpoint.Progress(), self._identity)
        self._saved_at = time.perf_counter()
