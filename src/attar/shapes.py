"""The shape of one row of a data set: a picture, a vector, or anything else."""

from __future__ import annotations

import math

# C, H, W of a picture; D of a vector; the sides of any other array
Shape = tuple[int, ...]


def is_picture(shape: Shape) -> bool:
    """Tell whether rows of this shape have channels, a height and a width."""
    return len(shape) == 3


def sides(shape: Shape) -> Shape:
    """Return the lengths behind the first axis: height and width of a picture, none of a vector."""
    return tuple(shape[1:])


def least_side(shape: Shape) -> int:
    """Return the smaller side of a picture in pixels; 1 of a vector, which has none."""
    return min(shape[1:], default=1)


def shape_text(shape: Shape) -> str:
    """Return a shape as messages write it.

    Example:
        >>> shape_text((3, 32, 32)), shape_text((64,))
        ('3×32×32', '64')
    """
    return "×".join(map(str, shape))


def places(shape: Shape) -> int:
    """Return the pixels of one channel; 1 of a vector."""
    return math.prod(shape[1:])
