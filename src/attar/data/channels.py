"""Which axis of an array holds the channels."""

from __future__ import annotations

from collections.abc import Sequence

from attar.errors import BadRequest

# of grayscale and colour: an axis of such a length is taken before any other
USUAL = (1, 3)
# the longest axis that can be channels
MOST = 64


def channels_last(shape: Sequence[int], name: str, *, prefer_first: bool) -> bool:
    """Tell whether one image's 3 axes end with the channels.

    Channels are an axis of 1 or 3. Where neither end of the shape is one, they are an axis of up
    to 64 beside two equal sides, or one shorter than both sides.

    Args:
        shape: the three axes of one image.
        name: how messages call it.
        prefer_first: take C×H×W where both readings are possible, as PyTorch does; refuse
            otherwise.
    """
    fitting = [axis for axis in (0, 2) if shape[axis] in USUAL]
    fitting = fitting or [axis for axis in (0, 2) if _could_be_channels(axis, shape)]
    if len(fitting) == 1:
        return fitting == [2]
    if prefer_first and shape[0] <= MOST:
        return False
    if fitting or shape[0] <= MOST or shape[2] <= MOST:
        raise BadRequest(
            f"{name}: images of shape {tuple(shape)} can be read as C×H×W and as H×W×C; "
            "give a torch tensor (N×C×H×W), or grayscale as N×H×W"
        )
    raise BadRequest(
        f"{name}: images of shape {tuple(shape)} have no axis of 1 to {MOST} channels; "
        "give N×C×H×W or N×H×W×C, or grayscale as N×H×W"
    )


def _could_be_channels(axis: int, shape: Sequence[int]) -> bool:
    own = shape[axis]
    height, width = (shape[other] for other in range(3) if other != axis)
    return 0 < own <= MOST and (height == width or own < min(height, width))
