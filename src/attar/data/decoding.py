"""Pictures in files or columns, decoded in parallel straight into one uint8 tensor."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

import numpy as np
import torch
from torch import Tensor

from attar.data.reading import Watch
from attar.data.resizing import decode_image, fit_image, plain_mode
from attar.errors import BadRequest

if TYPE_CHECKING:
    from PIL import Image

T = TypeVar("T")

# pictures per task: enough that handing tasks out costs nothing beside decoding
CHUNK = 32
# tasks handed out at once: the pool never waits, and a failure leaves few to finish
WAITING = 128


class Pictures(Protocol):
    """Pictures that can be opened one by one, from several threads."""

    def __len__(self) -> int: ...

    def at(self, index: Tensor) -> Self:
        """Return the pictures at ``index``, in that order."""
        ...

    def open(self, index: int) -> Image.Image:
        """Return one picture, opened by Pillow but not decoded."""
        ...

    def name(self, index: int) -> str:
        """Return how messages call one picture."""
        ...


@dataclass(frozen=True)
class Files:
    """Pictures that are files."""

    paths: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def at(self, index: Tensor) -> Files:
        """Return the files at ``index``."""
        return Files(tuple(self.paths[i] for i in index.tolist()))

    def open(self, index: int) -> Image.Image:
        """Return one file, opened by Pillow."""
        from PIL import Image

        return Image.open(self.paths[index])

    def name(self, index: int) -> str:
        """Return the path of one file."""
        return str(self.paths[index])


@dataclass(frozen=True)
class Format:
    """What all pictures are made: Pillow's mode (``L`` or ``RGB``), height and width."""

    mode: str
    size: tuple[int, int]


def decode_parts(
    parts: Sequence[Pictures],
    size: tuple[int, int] | None,
    mode: str | None = None,
    watch: Watch | None = None,
) -> list[Tensor]:
    """Return the N×C×H×W uint8 images of every part, all of one format.

    Args:
        parts: such as training and test pictures.
        size: height and width; None takes the one size that all have.
        mode: ``L`` or ``RGB``; None is grayscale where every picture is.
        watch: told how it goes.

    Raises:
        BadRequest: an unreadable or 16-bit picture; several sizes while ``size`` is None.
    """
    from PIL import Image

    # Pillow loads its rarer formats on first need, and while one thread does, another is told
    # that its file is no image
    Image.init()
    wanted = settle_format(parts, size, mode, watch)
    counted = Counted("decoding images", parts, watch)
    return [decode(pictures, wanted, counted) for pictures in parts]


class Counted:
    """Counts pictures over all parts, and tells."""

    def __init__(self, what: str, parts: Sequence[Pictures], watch: Watch | None) -> None:
        self._what, self._watch = what, watch
        self._done, self._total = 0, sum(map(len, parts))

    def add(self, count: int) -> None:
        """Count this many more."""
        self._done += count
        if self._watch is not None:
            self._watch(self._what, self._done, self._total)


def in_parallel(work: Callable[[range], T], count: int) -> Iterator[tuple[range, T]]:
    """Call ``work`` on chunks of 0…count−1 in threads, and yield its results in order.

    Pillow lets other threads run while it decodes. The first failure, in order, is raised, and
    nothing is begun after it.
    """
    pool = ThreadPoolExecutor(thread_name_prefix="attar-images")
    waiting: deque[tuple[range, Future[T]]] = deque()
    try:
        for start in range(0, count, CHUNK):
            chunk = range(start, min(start + CHUNK, count))
            waiting.append((chunk, pool.submit(work, chunk)))
            if len(waiting) >= WAITING:
                done, future = waiting.popleft()
                yield done, future.result()
        while waiting:
            done, future = waiting.popleft()
            yield done, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def settle_format(
    parts: Sequence[Pictures],
    size: tuple[int, int] | None,
    mode: str | None = None,
    watch: Watch | None = None,
) -> Format:
    """Return the one format of all pictures, reading their headers only."""
    examples: dict[tuple[int, int], str] = {}
    counts: Counter[tuple[int, int]] = Counter()
    gray = True
    counted = Counted("reading image sizes", parts, watch)
    for pictures in parts:
        for chunk, headers in in_parallel(header_reader(pictures), len(pictures)):
            for index, (plain, own) in zip(chunk, headers, strict=True):
                gray = gray and plain == "L"
                counts[own] += 1
                if own not in examples:
                    examples[own] = Path(pictures.name(index)).name
            counted.add(len(chunk))
    if size is None and len(examples) > 1:
        listed = ", ".join(
            f"{height}×{width} ({count}, such as {examples[height, width]})"
            for (height, width), count in counts.most_common(3)
        )
        raise BadRequest(
            f"images of {len(examples)} sizes (height×width): {listed}; choose one with --resize, "
            "such as --resize 32"
        )
    return Format(mode or ("L" if gray else "RGB"), size or next(iter(examples)))


def header_reader(
    pictures: Pictures,
) -> Callable[[range], list[tuple[str, tuple[int, int]]]]:
    """Return what reads the plain modes and the sizes (height, width) of a chunk."""
    from PIL import Image

    def read(chunk: range) -> list[tuple[str, tuple[int, int]]]:
        found = []
        for index in chunk:
            try:
                with pictures.open(index) as image:
                    mode = plain_mode(image, f"image {pictures.name(index)}")
                    found.append((mode, (image.height, image.width)))
            except BadRequest:
                raise
            except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
                raise unreadable(pictures.name(index), error) from error
        return found

    return read


def decode(pictures: Pictures, wanted: Format, counted: Counted) -> Tensor:
    """Return N×C×H×W uint8 images, each decoded into its place."""
    channels = len(wanted.mode)
    images = torch.empty(len(pictures), channels, *wanted.size, dtype=torch.uint8)
    places = images.numpy()

    def work(chunk: range) -> None:
        for index in chunk:
            try:
                with pictures.open(index) as image:
                    fitted = fit_image(decode_image(image, wanted.mode), wanted.size)
                    pixels = np.asarray(fitted).reshape(*wanted.size, channels)
            except (OSError, SyntaxError, ValueError) as error:
                if isinstance(error, BadRequest):
                    raise
                raise unreadable(pictures.name(index), error) from error
            places[index] = pixels.transpose(2, 0, 1)

    for chunk, _ in in_parallel(work, len(pictures)):
        counted.add(len(chunk))
    return images


def unreadable(name: str, error: Exception) -> BadRequest:
    """Return the refusal of what is no picture that Pillow can read."""
    reason = str(error).removesuffix(f" {name!r}")
    return BadRequest(f"image {name} cannot be read ({reason}); replace or remove it")
