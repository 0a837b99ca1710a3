"""All pictures of a set that cannot be read, where one was met: so that one run tells them all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from attar.data.opening import open_picture, read_header
from attar.data.parallel import Counted, in_parallel
from attar.data.picture_files import Pictures, Unreadable, unreadable_as
from attar.data.reading import Watch
from attar.data.sampled import read_values
from attar.data.values import Look

# named at most; a set with more of them has another fault than a few files
_NAMED = 10


def every_unreadable(
    parts: Sequence[Pictures], first: Unreadable, look: Look, watch: Watch | None = None
) -> Unreadable:
    """Return what is to be said of all pictures that cannot be read.

    Args:
        parts: all pictures; each is opened and decoded once.
        first: the one that was met.
        look: what stored values come to.
        watch: told how it goes, which takes as long as reading the set does.
    """
    found: dict[str, Unreadable] = {first.name: first}
    for error in _refused(parts, look, watch):
        found[error.name] = error
        if len(found) > _NAMED:
            break
    # where all are of a kind that is refused, one tells it
    if len(found) == 1 or not any(error.broken for error in found.values()):
        return first
    named = list(found.values())[:_NAMED]
    told = ", ".join(f"{error.name} ({error.why})" for error in named)
    which = "them" if all(error.broken for error in named) else "those that are broken"
    more, count = len(found) > _NAMED, min(len(found), _NAMED)
    return Unreadable(
        first.name,
        first.why,
        f"{f'more than {count}' if more else count} images cannot be read: {told}"
        f"{', …' if more else ''}; replace or remove {which}",
    )


def _refused(parts: Sequence[Pictures], look: Look, watch: Watch | None) -> Iterator[Unreadable]:
    counted = Counted("looking for others that cannot be read", parts, watch)
    for pictures in parts:
        for chunk, refused in in_parallel(_reader(pictures, look), len(pictures)):
            counted.add(len(chunk))
            yield from refused


def _reader(pictures: Pictures, look: Look) -> Callable[[range], list[Unreadable]]:
    def read(chunk: range) -> list[Unreadable]:
        refused = []
        for index in chunk:
            try:
                with unreadable_as(pictures, index):
                    _decode(pictures, index, look)
            except Unreadable as error:
                refused.append(error)
        return refused

    return read


def _decode(pictures: Pictures, index: int, look: Look) -> None:
    name = f"image {pictures.name(index)}"
    with pictures.stream(index) as stream:
        header = read_header(stream, name, look)
        if header.reader != "plain":
            read_values(stream, header, name, look)
            return
        image = open_picture(stream)
        if image is not None:
            with image:
                image.load()
