"""What a system lacks, in words: memory, open files, threads, room on a disk, rights."""

from __future__ import annotations

import errno
from pathlib import Path

_FILES = (
    "too many files are open; raise the limit, such as with 'ulimit -n 4096', or take fewer --jobs"
)
_THREADS = (
    "the system starts no further thread or process; raise its limit ('ulimit -u', or that of the "
    "container), or take fewer --jobs"
)
_MEMORY = (
    "memory ran out; lower --chunk, take fewer or smaller images (--per-class, --resize) or a "
    "smaller set, or end other programs"
)
_GPU_MEMORY = (
    "the memory of the GPU ran out; lower --chunk, end other programs on it, or take --device cpu"
)
NO_FOLDER = "the working folder was removed; change to one that is there, and run again"
_SCARCE = {
    errno.EMFILE: _FILES,
    errno.ENFILE: _FILES,
    errno.EAGAIN: _THREADS,
    errno.ENOMEM: _MEMORY,
}
# whatever is beside such an error, these name what is wrong with a file or its folder
_ADVICE = {
    errno.ENOSPC: "free some space or choose another place",
    errno.EDQUOT: "free some space or choose another place",
    errno.EFBIG: "raise the limit ('ulimit -f') or choose another place",
    errno.EACCES: "give yourself the right, or choose another place",
    errno.EPERM: "give yourself the right, or choose another place",
    errno.EROFS: "choose another place",
    errno.ENAMETOOLONG: "choose a shorter name",
}
# messages of errors that have no type of their own: of Python's threads, of torch
_SAID = {
    "can't start new thread": _THREADS,
    "can't allocate memory": _MEMORY,
    "not enough memory": _MEMORY,
    "std::bad_alloc": _MEMORY,
    "CUDA out of memory": _GPU_MEMORY,
    # of a library that is loaded
    "failed to map segment": _MEMORY,
}


def lacking(error: BaseException) -> str | None:
    """Return what the process ran out of, and what helps; None for any other error.

    None of this is the fault of the file that was at hand.
    """
    if isinstance(error, MemoryError):
        return _MEMORY
    if isinstance(error, OSError):
        return _SCARCE.get(error.errno or 0)
    # of torch, which is not imported for this; its message is long
    if type(error).__name__ == "OutOfMemoryError":
        return _GPU_MEMORY
    found = (words for said, words in _SAID.items() if said in str(error))
    return next(found, None) if isinstance(error, RuntimeError | ImportError) else None


def in_words(error: BaseException) -> str | None:
    """Return one sentence about an error of the system; None for any other error."""
    scarce = lacking(error)
    if scarce is not None:
        return f"{scarce}."
    if not isinstance(error, OSError):
        return None
    if isinstance(error, FileNotFoundError) and not working_folder_exists():
        return f"{NO_FOLDER}."
    name = error.filename if isinstance(error.filename, str | bytes) else None
    what = f"{shortened(name)}: " if name else ""
    advice = _ADVICE.get(error.errno or 0)
    return f"{what}{error.strerror or error}{f'; {advice}' if advice else ''}."


def shortened(name: str | bytes | Path) -> str:
    """Return a path that fits into a message."""
    text = str(name, "utf-8", "replace") if isinstance(name, bytes) else str(name)
    return text if len(text) <= 200 else f"{text[:100]}…{text[-60:]}"


def working_folder_exists() -> bool:
    """Tell whether the folder that this process works in was not removed."""
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True
