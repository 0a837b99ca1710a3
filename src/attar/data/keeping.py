"""Whether images are held in memory, where they could be read as they are needed as well."""

from __future__ import annotations

from attar.capacity import available_memory
from attar.options import Auto

# of the memory that can be had; a part that is held out is copied once
_SHARE = 0.5


def holds(needed: int, keep: Auto) -> bool:
    """Tell whether so many bytes of images are held in memory.

    Args:
        needed: bytes of all parts, as they are stored.
        keep: ``on``, ``off``, or ``auto``, where they take less than half of what can be had.
    """
    return needed < _SHARE * available_memory() if keep == "auto" else keep == "on"
