"""Several images of one size in one picture, line by line.

Shape letters: N images, H height, W width, C channels, R lines and Q columns of images.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def grid_of(count: int) -> tuple[int, int]:
    """Return R and Q of a picture of ``count`` images: few places empty, and nearly square.

    Example:
        >>> grid_of(214), grid_of(10)
        ((12, 18), (3, 4))
    """
    least = math.isqrt(count - 1) + 1 if count > 1 else 1
    columns = range(least, max(least + 1, math.isqrt(2 * count) + 1))
    best = min(columns, key=lambda wide: (wide * -(-count // wide) - count, wide))
    return -(-count // best), best


def joined(images: Pixels) -> Pixels:
    """Return one picture of N×H×W×C images, (R·H)×(Q·W)×C.

    Places left over have the mean colour of all images, which costs next to nothing.
    """
    count, height, width, channels = images.shape
    lines, columns = grid_of(count)
    mean = images.reshape(-1, channels).mean(axis=0).round().astype(np.uint8)
    every = np.broadcast_to(mean, (lines * columns, height, width, channels)).copy()
    every[:count] = images
    placed = every.reshape(lines, columns, height, width, channels).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(placed.reshape(lines * height, columns * width, channels))


def parted(picture: Pixels, count: int) -> Pixels:
    """Return the N×H×W×C images of a picture that `joined` made of ``count`` of them."""
    lines, columns = grid_of(count)
    height, width = picture.shape[0] // lines, picture.shape[1] // columns
    placed = picture.reshape(lines, height, columns, width, -1).transpose(0, 2, 1, 3, 4)
    return placed.reshape(lines * columns, height, width, -1)[:count]
