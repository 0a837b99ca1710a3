"""How much a memory may hold: so much of every class, or so much of all together."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from attar.budget import FLOAT32_BYTES, parse_bytes
from attar.errors import BadRequest

Rounding = Literal["down", "paper"]

_FORMS = (
    "write 20ipc (full float32 images per class), 60kB/class, 500images (for all classes together) "
    "or 1.5MB (likewise)"
)


@dataclass(frozen=True)
class Memory:
    """An allowance; one of the four is given. Make one with `parse_memory`.

    Args:
        ipc: full float32 images of each class, as the papers count.
        class_bytes: everything that is kept of one class.
        images: full float32 images of all classes together, however many there are.
        total_bytes: the same as bytes, which are taken as so many whole images.
    """

    ipc: int | None = None
    class_bytes: int | None = None
    images: int | None = None
    total_bytes: int | None = None

    @property
    def fixed(self) -> bool:
        """Whether it stays as large while classes arrive, so that each has less and less."""
        return self.images is not None or self.total_bytes is not None

    def limit(self, shape: Sequence[int]) -> int | None:
        """Return what all classes together may take, in bytes; None where that grows."""
        if self.images is not None:
            return self.images * math.prod(shape) * FLOAT32_BYTES
        return self.total_bytes

    def per_class(self, seen: int, shape: Sequence[int], rounding: Rounding) -> int | None:
        """Return the images of each class where ``seen`` have arrived; None where bytes say it.

        Raises:
            BadRequest: it is less than one.
        """
        limit, full = self.limit(shape), math.prod(shape) * FLOAT32_BYTES
        if limit is None:
            return self.ipc
        if limit < seen * full:
            raise BadRequest(
                f"--memory {self}: it holds {limit // full} full float32 images, fewer than one of "
                f"each of {seen} classes; {seen}images is the least"
            )
        whole = limit // full
        return -(-whole // seen) if rounding == "paper" else whole // seen

    def budget(self, classes: int, ipc: int | None) -> dict[str, Any]:
        """Return what `attar.condense` is asked for of so many classes.

        Args:
            classes: that arrive together.
            ipc: images of each, as `per_class` says.
        """
        if self.class_bytes is not None:
            return {"max_bytes": self.class_bytes * classes}
        return {"ipc": ipc}

    def __str__(self) -> str:
        if self.ipc is not None:
            return f"{self.ipc}ipc"
        if self.images is not None:
            return f"{self.images}images"
        return f"{self.total_bytes}B" if self.fixed else f"{self.class_bytes}B/class"


def parse_memory(given: str) -> Memory:
    """Return an allowance from its words.

    Raises:
        BadRequest: it is none, or less than one.

    Example:
        >>> parse_memory("500images").fixed, parse_memory("20ipc").fixed
        (True, False)
    """
    text = given.strip()
    found = re.fullmatch(r"([0-9]{1,9})\s*(ipc|images?)", text, re.IGNORECASE)
    if found:
        count = int(found[1])
        if count < 1:
            raise BadRequest(f"--memory {given}: at least one image is needed; {_FORMS}")
        return Memory(ipc=count) if found[2].lower() == "ipc" else Memory(images=count)
    size, slash, per = text.partition("/")
    if text.isdecimal() or (slash and per.strip() != "class"):
        raise BadRequest(f"--memory {given}: of what? {_FORMS[0].upper()}{_FORMS[1:]}")
    try:
        bytes_ = parse_bytes(size)
    except BadRequest:
        raise BadRequest(f"--memory {given!r}: {_FORMS}") from None
    return Memory(class_bytes=bytes_) if slash else Memory(total_bytes=bytes_)
