"""Bytes: what a synthetic set may cost, what it costs, and the largest size that fits."""

from __future__ import annotations

import heapq
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Literal

from attar.errors import BadRequest
from attar.renaming import fields

Count = Literal["paper", "all"]

FLOAT32_BYTES = 4
# what the names of the tensors of stored labels begin with
LABELS = "labels."
# and those of a network that labels what is made of the images
CARRIED = "teacher."
# and those of a whitening
WHITENING = "whitening."
# options that store images in less, where a form has none of its own
LESS = "--rank, --storage"
# images from which on a straight line is followed, steps that follow one, and how far above the
# limit a size may be that says where it goes
_KNOWN_FROM, _FOLLOWED, _NEAR = 16, 6, 2
_UNITS = {
    "b": 1,
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
    "kib": 1024,
    "mib": 1024**2,
    "gib": 1024**3,
}


def parse_bytes(text: str) -> int:
    """Read a size such as ``123456``, ``120kB`` or ``1.5MiB``.

    Raises:
        BadRequest: the text is no size, or the size is below one byte.
    """
    found = re.fullmatch(r"\s*([0-9]{1,18}(?:\.[0-9]{1,9})?)\s*([A-Za-z]*)\s*", text)
    unit = found[2].lower() if found else ""
    if found is None or (unit and unit not in _UNITS):
        raise BadRequest(f"--bytes {text!r}: write a number and a unit, such as 120kB or 1.5MiB")
    size = int(Decimal(found[1]) * _UNITS.get(unit, 1))
    if size < 1:
        raise BadRequest(f"--bytes {text!r}: at least one byte is needed")
    return size


def format_bytes(size: int) -> str:
    """Write a number of bytes for people: exact below 10 kB, else four digits and a unit."""
    if size < 10_000:
        return f"{size} B"
    for unit, scale in (("GB", 1000**3), ("MB", 1000**2), ("kB", 1000)):
        if size >= scale:
            return f"{size / scale:.4g} {unit}"
    raise AssertionError("unreachable: sizes of 10 kB and above have a unit")


@dataclass(frozen=True)
class Entry:
    """One stored tensor.

    Args:
        name: its name in the artefact.
        shape: its shape.
        dtype: its storage type, such as ``float32``.
        bytes: its size on disk.
        paper: whether it counts as the images or their factors do, which the papers count.
        why: what it is for.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int
    paper: bool
    why: str


@dataclass(frozen=True)
class Ledger:
    """Every tensor that a user must keep to make images and labels again."""

    entries: tuple[Entry, ...]

    @property
    def paper(self) -> int:
        """Bytes as the papers count: images or factors only, and a network in their place."""
        return sum(entry.bytes for entry in self.entries if entry.paper)

    @property
    def all(self) -> int:
        """Bytes of everything that must travel; equals the payload of the artefact."""
        return sum(entry.bytes for entry in self.entries)

    @property
    def labels(self) -> int:
        """Bytes of stored labels."""
        return sum(entry.bytes for entry in self.entries if entry.name.startswith(LABELS))

    @property
    def carried(self) -> int:
        """Bytes of a network that travels with the images and labels them."""
        return sum(entry.bytes for entry in self.entries if entry.name.startswith(CARRIED))

    def beside(self, count: Count) -> str:
        """What messages about too small a budget say of what is no image; empty for nothing."""
        whitening = sum(one.bytes for one in self.entries if one.name.startswith(WHITENING))
        found = {
            "the network that the set carries (--teacher names another, --teacher-storage none "
            "leaves it out)": self.carried,
            "the whitening (--count paper leaves it out of the count, --zca none out of the set)": (
                whitening if count == "all" else 0
            ),
        }
        return "".join(f", {size} of them for {what}" for what, size in found.items() if size)

    @property
    def values(self) -> int:
        """Stored numbers that the papers count."""
        counted = (one for one in self.entries if not one.name.startswith(CARRIED))
        return sum(math.prod(entry.shape) for entry in counted if entry.paper)

    def of(self, count: Count) -> int:
        """Return the bytes that a count of a budget limits."""
        return self.all if count == "all" else self.paper

    def as_rows(self) -> list[dict[str, object]]:
        """Return the entries as plain dictionaries."""
        return [asdict(entry) for entry in self.entries]


@fields(bytes="max_bytes", images_per_class="synthetic_per_class")
@dataclass(frozen=True)
class Budget:
    """An allowance for a whole synthetic set, said in one of three ways.

    Args:
        ipc: K full float32 images per class, the papers' measure of memory.
        max_bytes: for the whole set.
        synthetic_per_class: a plain count of images; no limit in bytes.
        count: whether the limit applies to the papers' count or to everything stored.

    Raises:
        BadRequest: not exactly one of the three is given, or it is not positive.
    """

    ipc: int | None = None
    max_bytes: int | None = None
    synthetic_per_class: int | None = None
    count: Count = "paper"

    def __post_init__(self) -> None:
        ways = {
            "--ipc": self.ipc,
            "--bytes": self.max_bytes,
            "--images-per-class": self.synthetic_per_class,
        }
        given = {name: value for name, value in ways.items() if value is not None}
        if len(given) != 1:
            said = " and ".join(given) if given else "none"
            raise BadRequest(f"give one of {', '.join(ways)} ({said} given)")
        (name, value), *_ = given.items()
        if value < 1:
            raise BadRequest(f"{name} {value}: at least 1 is needed")
        if self.count not in ("paper", "all"):
            raise BadRequest(f"--count {self.count!r}: 'paper' or 'all'")

    def limit(self, classes: int, shape: tuple[int, ...]) -> int | None:
        """Return the allowance in bytes for ``classes`` classes of images of ``shape``."""
        if self.ipc is not None:
            return self.ipc * classes * math.prod(shape) * FLOAT32_BYTES
        return self.max_bytes

    def images(
        self,
        classes: int,
        shape: tuple[int, ...],
        cost: Callable[[int], Ledger],
        less: str = LESS,
    ) -> int:
        """Return the most images per class whose ledger stays within the allowance.

        Args:
            classes: number of classes.
            shape: of one image (C, H, W).
            cost: the ledger of a set with that many images per class; must not fall.
            less: options that store each in less, for the message.

        Raises:
            BadRequest: not even one image per class fits; names the smallest that does.
        """
        limit = self.limit(classes, shape)
        if limit is None:
            return self.synthetic_per_class or 1

        return self._most(1, limit, cost, less)

    def rows(
        self,
        classes: int,
        shape: tuple[int, ...],
        cost: Callable[[int], Ledger],
        less: str = LESS,
    ) -> int:
        """Return the most images of all classes together whose ledger stays within the allowance.

        A plain count of images per class is taken as that many times the classes.

        Args:
            classes: number of classes.
            shape: of one image (C, H, W).
            cost: the ledger of a set of that many images; must not fall.
            less: options that store each in less, for the message.

        Raises:
            BadRequest: not even one image per class fits; names the smallest that does.
        """
        limit = self.limit(classes, shape)
        if limit is None:
            return (self.synthetic_per_class or 1) * classes
        return self._most(classes, limit, cost, less)

    def _most(self, least: int, limit: int, cost: Callable[[int], Ledger], less: str) -> int:
        """Return the largest number from ``least`` on whose ledger stays within ``limit``.

        Where only coding tells what images take, each ledger is dear, and costs are nearly those
        of a straight line: the search follows it, and halves what is left where it is none.
        """

        def taken(number: int) -> int:
            return cost(number).of(self.count)

        low, below = least, taken(least)
        if below > limit:
            beside = cost(least).beside(self.count)
            raise BadRequest(
                f"a budget of {limit} bytes ({self.count} count) holds no image per class; one "
                f"takes {taken(least)} bytes{beside}. Raise --ipc or --bytes, or store each in "
                f"less ({less})."
            )
        high, above = 2 * least, taken(2 * least)
        while above <= limit:
            slope = (above - below) / (high - low)
            low, below = high, above
            # a little beyond where the line meets the limit, once it is known well enough
            met = _met(low, below, limit, slope) if low >= _KNOWN_FROM * least else 0
            high = max(2 * low, met + 1 + met // 64) if met > 2 * low else 2 * low
            above = taken(high)
        for halving in range(2 * high.bit_length()):
            if high - low <= 1:
                break
            middle = (low + high) // 2
            if halving < _FOLLOWED and above <= _NEAR * limit:
                met = _met(low, below, limit, (above - below) / (high - low))
                middle = min(max(met, low + 1), high - 1)
            size = taken(middle)
            if size <= limit:
                low, below = middle, size
            else:
                high, above = middle, size
        return low

    def as_dict(self) -> dict[str, int | str | None]:
        """Return the request as a plain dictionary, by the names that files have."""
        return {
            "ipc": self.ipc,
            "bytes": self.max_bytes,
            "images_per_class": self.synthetic_per_class,
            "count": self.count,
        }


def _met(number: int, size: int, limit: int, slope: float) -> int:
    """Return the number at which a straight line from ``size`` at ``number`` meets a limit."""
    return number + (int((limit - size) / slope) if slope > 0 else 0)


def proportional(sizes: Sequence[int], rows: int) -> tuple[int, ...]:
    """Share ``rows`` images out among classes in proportion to ``sizes``, one each at least.

    By the method of Sainte-Laguë, so that no class loses an image when there are more to share.

    Args:
        sizes: images that each class has.
        rows: images to share out; at least one per class.

    Example:
        >>> proportional([90, 9, 1], 10)
        (8, 1, 1)
    """
    counts = [1] * len(sizes)
    waiting = [(-size / 3, label) for label, size in enumerate(sizes)]
    heapq.heapify(waiting)
    for _ in range(rows - len(sizes)):
        _, label = waiting[0]
        counts[label] += 1
        heapq.heapreplace(waiting, (-sizes[label] / (2 * counts[label] + 1), label))
    return tuple(counts)
