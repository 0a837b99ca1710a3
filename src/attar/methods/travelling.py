"""How wide a teacher is that travels with a set: free of torch."""

from __future__ import annotations

import math

from attar.networks.paper_names import published_network
from attar.shapes import Shape, is_picture

# channels of such a teacher, and the largest share of a set's bytes that it may take
WIDTHS = (128, 64, 32)
SHARE = 0.25


def convnet_bytes(shape: Shape, classes: int, width: int) -> int:
    """Return about what the papers' ConvNet takes in int8, with batch normalization.

    Args:
        shape: of an image: C, H, W.
        classes: K.
        width: channels of each of its layers.
    """
    # as the network pads digits
    grey = 4 if shape[0] == 1 else 0
    depth = int(published_network(shape).removeprefix("convnet"))
    kernels = 9 * width * (shape[0] + (depth - 1) * width)
    # vectors and scales in float16
    others = 2 * (6 * depth * width + 2 * classes)
    return (
        kernels + width * classes * math.prod((side + grey) >> depth for side in shape[1:]) + others
    )


def travelling(shape: Shape, classes: int, size: int) -> str:
    """Return the name of the widest teacher that a set of ``size`` bytes has room for.

    Empty where none takes a quarter of the bytes or less, or the papers have no ConvNet for
    such rows.
    """
    width = travelling_width(shape, classes, size)
    return f"{published_network(shape)}:norm=batch,width={width}" if width else ""


def travelling_width(shape: Shape, classes: int, size: int) -> int:
    """Return the channels of each layer of that teacher; 0 where there is none."""
    if not is_picture(shape) or not published_network(shape).startswith("convnet"):
        return 0
    fitting = (one for one in WIDTHS if convnet_bytes(shape, classes, one) <= SHARE * size)
    return next(fitting, 0)
