"""Standard output and error that end no command: closed, full, or short of a letter.

What a command makes is worth more than what it prints about it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO, cast


class Kept:
    """A stream whose first failure is noted; what is printed after it goes nowhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.failure: OSError | None = None

    def write(self, text: str) -> int:
        """Write text, or lose it."""
        with self._noting():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Hand on what was written, or lose it."""
        with self._noting():
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @contextlib.contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.failure = self.failure or error
            # what is left in buffers, and what child processes print, goes nowhere too
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


@contextlib.contextmanager
def kept() -> Iterator[Kept]:
    """Let standard output and error end nothing in the block.

    Yields:
        Standard output.
    """
    before = sys.stdout, sys.stderr
    out, err = (Kept(_lenient(stream)) for stream in before)
    sys.stdout, sys.stderr = cast("TextIO", out), cast("TextIO", err)
    try:
        yield out
    finally:
        out.flush()
        err.flush()
        sys.stdout, sys.stderr = before


def lost(out: Kept) -> str | None:
    """Say that standard output failed; None where it did not, or its reader had seen enough."""
    if out.failure is None or out.failure.errno == errno.EPIPE:
        return None
    return (
        f"standard output could not be written ({out.failure.strerror}); what was made is kept, "
        "and only what was printed is lost"
    )


def _lenient(stream: TextIO | None) -> TextIO:
    """Return a stream that writes letters which its encoding lacks as escapes."""
    if stream is None:  # closed by whoever started this
        return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123
    if hasattr(stream, "reconfigure"):
        cast("Any", stream).reconfigure(errors="backslashreplace")
    return stream
