"""What all clients together may send, and the share of each."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from attar.applications.continual.memory import Memory, Rounding
from attar.budget import FLOAT32_BYTES, parse_bytes
from attar.errors import BadRequest

_FORMS = "write 500 (full float32 images of all clients together) or a size such as 1.5MB"


@dataclass(frozen=True)
class Bandwidth:
    """An allowance of one round, of which as many whole images count as it holds.

    Args:
        images: full float32 images; None where bytes are given.
        bytes: of all sets together, as the papers count.
    """

    images: int | None = None
    bytes: int | None = None

    def whole(self, shape: Sequence[int]) -> int:
        """Return how many full float32 images of a shape it holds."""
        return self.images or (self.bytes or 0) // (math.prod(shape) * FLOAT32_BYTES)

    def share(self, clients: int, shape: Sequence[int], rounding: Rounding) -> int:
        """Return the full images of each where so many clients take part."""
        return divided(self.whole(shape), clients, rounding)

    def limit(self, shape: Sequence[int]) -> int:
        """Return what all sets of a round may take together, in bytes as the papers count."""
        return self.bytes or self.whole(shape) * math.prod(shape) * FLOAT32_BYTES

    @property
    def memory(self) -> Memory:
        """The same as a memory for all sets together."""
        return Memory(images=self.images, total_bytes=self.bytes)

    def __str__(self) -> str:
        return f"{self.images} images" if self.images is not None else f"{self.bytes} B"


def divided(images: int, parts: int, rounding: Rounding) -> int:
    """Return whole images for each of several parts, rounded down, or up as the paper does.

    Example:
        >>> [divided(divided(500, 3, way), 20, way) for way in ("down", "paper")]
        [8, 9]
    """
    return -(-images // parts) if rounding == "paper" else images // parts


def parse_bandwidth(given: str) -> Bandwidth:
    """Return a bandwidth from its words.

    Raises:
        BadRequest: it is none, or less than one image.

    Example:
        >>> parse_bandwidth("500"), parse_bandwidth("2MB")
        (Bandwidth(images=500, bytes=None), Bandwidth(images=None, bytes=2000000))
    """
    text = given.strip()
    found = re.fullmatch(r"([0-9]{1,9})\s*(images?)?", text, re.IGNORECASE)
    if found:
        if int(found[1]) < 1:
            raise BadRequest(f"--bandwidth {given}: at least one image is needed; {_FORMS}")
        return Bandwidth(images=int(found[1]))
    try:
        return Bandwidth(bytes=parse_bytes(text))
    except BadRequest:
        raise BadRequest(f"--bandwidth {given!r}: {_FORMS}") from None
