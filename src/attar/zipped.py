"""Zip files from anywhere: what is in them, before anything is unpacked. Free of torch."""

from __future__ import annotations

import contextlib
import pickle
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

# what the readers of archives, of their members and of pickles raise for damaged or hostile files
UNREADABLE = (
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    OverflowError,
    EOFError,
    OSError,
    MemoryError,
    SyntaxError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    pickle.UnpicklingError,
)
# of one read; the list of members is read at once, so that this limits it to some 40,000
_MOST = 4 * 2**20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1


class _Measured:
    """A file that is never asked for much at once, whatever it says of itself."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell
        self.seekable, self.close = file.seekable, file.close

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(min(size, _MOST + 1) if size >= 0 else _MOST + 1)
        if len(content) > _MOST:
            raise ValueError("its list of members is longer than of any real file")
        return content


@contextlib.contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip file for reading.

    Raises:
        One of `UNREADABLE`: it is none, or its list of members is longer than of any real file.
    """
    with path.open("rb") as file, zipfile.ZipFile(_Measured(file)) as archive:  # pyright: ignore[reportArgumentType, reportCallIssue]
        yield archive


def check_member(info: zipfile.ZipInfo, *, packed: bool = True) -> None:
    """Refuse a member that cannot be unpacked in steps of limited size.

    Args:
        info: of the member.
        packed: whether it may be compressed.

    Raises:
        ValueError: it is encrypted, or compressed in a way that is not expected.
    """
    if info.flag_bits & _ENCRYPTED:
        raise ValueError(f"its member {info.filename!r} is encrypted")
    if info.compress_type not in (_METHODS if packed else _METHODS[:1]):
        allowed = "stored or deflated" if packed else "stored as it is"
        raise ValueError(
            f"its member {info.filename!r} is compressed by method {info.compress_type}; "
            f"{allowed} ones are read"
        )


def reason(error: BaseException) -> str:
    """Return in short why a file could not be read."""
    return ((str(error) or type(error).__name__).splitlines() or [""])[0][:200]
