"""What the parts of a data set are called, in folders, tables and splits."""

from __future__ import annotations

import re

_ENDINGS = ("", "set", "data")
# by name in small letters: the part that it is
PART_OF = {
    f"{name}{ending}": part
    for part, names in {
        "train": ("train", "training"),
        "test": ("test", "testing"),
        "val": ("val", "valid", "validation", "dev"),
    }.items()
    for name in names
    for ending in _ENDINGS
}


def part_of(name: str) -> str | None:
    """Return the part that a name means: ``train``, ``test`` or ``val``; None for any other.

    Capitals, and what stands between words, tell nothing.
    """
    return PART_OF.get(re.sub(r"[-_ ]", "", name.casefold()))


def hints_of(name: str) -> set[str]:
    """Return the parts that words in a name speak of, as ``seg_train`` does of ``train``."""
    words = re.findall(r"[a-z]+", name.casefold())
    return {PART_OF[word] for word in words if word in PART_OF}
