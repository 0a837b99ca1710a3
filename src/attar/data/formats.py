"""The one format that all pictures of a set are brought to, told from their headers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attar.data.opening import Header, read_header
from attar.data.parallel import Counted, in_parallel
from attar.data.picture_files import Pictures, unreadable_as
from attar.data.reading import Watch
from attar.data.sampled import needs_range, observed
from attar.data.values import PLAIN, Look
from attar.errors import BadRequest

_GRAY_OR_COLOUR = {1, 3}


@dataclass(frozen=True)
class Format:
    """What all pictures are made.

    Args:
        channels: of every one.
        size: height and width.
        floats: whether they are float32 and not uint8.
        plain: whether all are pictures of 8 bits, gray or in colours.
    """

    channels: int
    size: tuple[int, int]
    floats: bool = False
    plain: bool = True


@dataclass
class Seen:
    """How many pictures there are of each kind, and the first of each."""

    counts: Counter[Hashable] = field(default_factory=Counter)
    first: dict[Any, tuple[Pictures, int]] = field(default_factory=dict)

    def add(self, kind: Hashable, pictures: Pictures, index: int) -> None:
        """Count one picture."""
        self.counts[kind] += 1
        self.first.setdefault(kind, (pictures, index))

    def example(self, kind: Hashable) -> str:
        """Return the file name of the first picture of a kind."""
        pictures, index = self.first[kind]
        return Path(pictures.name(index)).name

    def listed(self, words: Callable[[Any], str]) -> str:
        """Return the most frequent three kinds in words, each with its number and an example."""
        return ", ".join(
            f"{words(kind)} ({count}, such as {self.example(kind)})"
            for kind, count in self.counts.most_common(3)
        )


def settle_format(
    parts: Sequence[Pictures],
    size: tuple[int, int] | None,
    mode: str | None = None,
    watch: Watch | None = None,
    look: Look = PLAIN,
) -> Format:
    """Return the one format of all pictures, reading their headers only.

    Raises:
        BadRequest: a picture cannot be used, or they have no format in common.
    """
    sizes, kinds = Seen(), Seen()
    counted = Counted("reading image sizes", parts, watch)
    for pictures in parts:
        for chunk, headers in in_parallel(header_reader(pictures, look), len(pictures)):
            for index, header in zip(chunk, headers, strict=True):
                sizes.add(header.size, pictures, index)
                kinds.add((header.channels, header.depth, header.reader), pictures, index)
            counted.add(len(chunk))
    channels = settle_channels(kinds, mode)
    if size is None and len(sizes.counts) > 1:
        raise BadRequest(
            f"images of {len(sizes.counts)} sizes (height×width): "
            f"{sizes.listed(lambda own: f'{own[0]}×{own[1]}')}; choose one with --resize, "
            "such as --resize 32"
        )
    deep = settle_depth(kinds, look)
    floats = deep or look.value_range not in (None, (0, 255))
    plain = all(reader == "plain" for _, _, reader in kinds.first)
    return Format(channels, size or next(iter(sizes.first)), floats, plain)


def settle_channels(kinds: Seen, mode: str | None) -> int:
    """Return the number of channels of all pictures: three where some are gray, some coloured."""
    found = {channels for channels, _, _ in kinds.first}
    if found <= _GRAY_OR_COLOUR:
        return len(mode) if mode else max(found)
    if len(found) > 1 or mode is not None:
        raise BadRequest(
            f"images of different numbers of channels: {kinds.listed(lambda own: str(own[0]))}; "
            f"bring all to one{f', {len(mode)}' if mode else ''}"
        )
    return found.pop()


def settle_depth(kinds: Seen, look: Look) -> bool:
    """Tell whether the pictures have more than 8 bits a channel, or floats.

    Raises:
        BadRequest: some have and some have not, or nothing says what their values mean.
    """
    depths = {depth for _, depth, _ in kinds.first}
    if depths == {""}:
        return False
    if "" in depths:
        raise BadRequest(
            f"images of 8 bits a channel and of more: {kinds.listed(_in_words)}; bring all to one "
            "depth"
        )
    for kind, (pictures, index) in kinds.first.items():
        if look.value_range is None and "float" not in kind[1]:
            name = f"image {pictures.name(index)}"
            with unreadable_as(pictures, index), pictures.stream(index) as stream:
                low, high = observed(stream, read_header(stream, name, look), name, look)
            raise needs_range(name, kind[1], low, high)
    return True


def _in_words(kind: tuple[int, str, str]) -> str:
    return kind[1] or "8 bits"


def header_reader(pictures: Pictures, look: Look) -> Callable[[range], list[Header]]:
    """Return what reads the headers of a chunk."""

    def read(chunk: range) -> list[Header]:
        found = []
        for index in chunk:
            with unreadable_as(pictures, index), pictures.stream(index) as stream:
                found.append(read_header(stream, f"image {pictures.name(index)}", look))
        return found

    return read
