"""The C library's allocator: keep freed memory in place of giving it back page by page.

And how much of it is kept.

Free of torch, so that it can be set before torch is imported.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import sys

# options of mallopt, from malloc.h
_TRIM_THRESHOLD = -1
_TOP_PAD = -2
_MMAP_MAX = -4


@functools.cache
def keep_memory() -> bool:
    """Ask glibc to reuse large blocks; returns whether it will.

    Activations of some tens of megabytes are otherwise mapped and zeroed anew at every step,
    which costs more than the arithmetic. ``ATTAR_ALLOCATOR=system`` leaves the library's own
    settings; a preloaded allocator is not affected. The command line and the processes that it
    starts do so; the library leaves the process that imports it as it is.
    """
    if not _has_glibc():
        return False
    if os.environ.get("ATTAR_ALLOCATOR") == "system":
        return False
    library = ctypes.CDLL(None)
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, 2**31 - 1), (_TOP_PAD, 2**26))
    return all(library.mallopt(option, value) for option, value in settings)


class _Told(ctypes.Structure):
    """What mallinfo2 tells, from malloc.h."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def kept_memory() -> int:
    """Return how many freed bytes the C library keeps for what this process takes next.

    0 where it does not tell: only glibc, from 2.33 on, does.
    """
    if not _has_glibc():
        return 0
    try:
        tell = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return 0
    tell.restype = _Told
    return int(tell().fordblks)


@functools.cache
def _has_glibc() -> bool:
    return sys.platform == "linux" and platform.libc_ver()[0] == "glibc"
