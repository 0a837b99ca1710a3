"""Pictures in files or columns, decoded in parallel straight into one tensor, or on demand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from attar.data.broken import every_unreadable
from attar.data.formats import Format, settle_format
from attar.data.keeping import holds
from attar.data.on_demand import on_demand
from attar.data.parallel import Counted, in_parallel
from attar.data.picture_files import Pictures, Unreadable, unreadable_as
from attar.data.pixels import pixels_of
from attar.data.reading import Watch
from attar.data.resizing import check_images
from attar.data.rows import Rows
from attar.data.values import PLAIN, Look
from attar.options import Auto


def decode_parts(
    parts: Sequence[Pictures],
    size: tuple[int, int] | None,
    mode: str | None = None,
    watch: Watch | None = None,
    look: Look = PLAIN,
    keep: Auto = "on",
) -> Sequence[Rows]:
    """Return the N×C×H×W images of every part, all of one format.

    Pictures are turned as their EXIF orientation says, and transparent ones put on a background.
    They are uint8; float32 in [0, 1] where they have more than 8 bits, or a range is given.

    Args:
        parts: such as training and test pictures.
        size: height and width; None takes the one size that all have.
        mode: ``L`` or ``RGB``; None is grayscale where every picture is.
        watch: told how it goes.
        look: what stored values come to.
        keep: whether all are decoded now and held in memory; see `attar.data.keeping.holds`.

    Raises:
        BadRequest: unreadable pictures, all of them named, or one of several pages; integers of
            more than 8 bits while nothing says their range; several sizes while ``size`` is None;
            more images than there is memory for.
    """
    try:
        return _decode_parts(parts, size, mode, watch, look, keep)
    except Unreadable as error:
        raise every_unreadable(parts, error, look, watch) from error


def _decode_parts(
    parts: Sequence[Pictures],
    size: tuple[int, int] | None,
    mode: str | None,
    watch: Watch | None,
    look: Look,
    keep: Auto,
) -> Sequence[Rows]:
    from PIL import Image

    # Pillow loads its rarer formats on first need, and while one thread does, another is told
    # that its file is no image
    Image.init()
    wanted = settle_format(parts, size, mode, watch, look)
    shape, each = (wanted.channels, *wanted.size), 4 if wanted.floats else 1
    if not holds(sum(map(len, parts)) * math.prod(shape) * each, keep):
        return on_demand(parts, wanted, look)
    check_images(sum(map(len, parts)), shape, each)
    counted = Counted("decoding images", parts, watch)
    return [decode(pictures, wanted, counted, look) for pictures in parts]


def decode(pictures: Pictures, wanted: Format, counted: Counted, look: Look) -> Tensor:
    """Return N×C×H×W images, each decoded into its place."""
    dtype = torch.float32 if wanted.floats else torch.uint8
    images = torch.empty(len(pictures), wanted.channels, *wanted.size, dtype=dtype)
    places = images.numpy()
    one = pixels_of(wanted)

    def work(chunk: range) -> None:
        for index in chunk:
            with unreadable_as(pictures, index):
                places[index] = one(pictures, index, wanted, look)

    for chunk, _ in in_parallel(work, len(pictures)):
        counted.add(len(chunk))
    return images
