"""What stored values mean: the range that is black to white, and what lies behind the picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

from attar.errors import BadRequest

# as they are given: a pair of numbers or the text of one, the name or code of a colour
ValueRange = str | tuple[float, float] | None
Background = str | None

Colour = tuple[int, int, int]
WHITE: Colour = (255, 255, 255)


@dataclass(frozen=True)
class Look:
    """What stored values come to, where they say so less than plainly.

    Args:
        value_range: the stored values that become 0 and 1; None for the 0…255 of 8 bits and the
            0…1 of floats.
        background: behind what is transparent.
    """

    value_range: tuple[float, float] | None = None
    background: Colour = WHITE


PLAIN = Look()


def wanted_look(value_range: object = None, background: object = None) -> Look:
    """Return what the options ask for; see `wanted_range` and `wanted_background`."""
    return Look(wanted_range(value_range), wanted_background(background))


def wanted_range(given: object) -> tuple[float, float] | None:
    """Return the values that become 0 and 1, in this order; None where nothing is said.

    Args:
        given: a pair of numbers, or a text such as ``0:4095``.

    Raises:
        BadRequest: no two finite numbers, or the first is not below the second.
    """
    if given is None:
        return None
    found = tuple(given) if isinstance(given, tuple | list) else _numbers(str(given))
    match found:
        case (int() | float(), int() | float()) if bool not in map(type, found):
            low, high = map(float, found)
            if math.isfinite(low) and math.isfinite(high) and low < high:
                return low, high
    raise BadRequest(
        f"--range {range_text(given)}: give the lowest and the highest value that an image can "
        "have, such as 0:4095 (from Python value_range=(0, 4095))"
    )


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(map(float, text.split(":")))
    except ValueError:
        return ()


def range_text(given: object) -> str:
    """Return a range as the command line takes it."""
    if isinstance(given, tuple | list):
        # of floats that are whole, the digits alone
        return ":".join(f"{one:.17g}" if isinstance(one, float) else str(one) for one in given)
    return str(given)


def range_advice(low: float, high: float) -> str:
    """Return how to say what values mean that run so far, as the end of a sentence."""
    least, most = min(math.floor(low), 0), math.ceil(high)
    # of whole bits, where nothing is negative
    tops = (2**bits - 1 for bits in (1, 8, 10, 12, 14, 16, 24, 32))
    top = most if least < 0 else next((one for one in tops if one >= most), most)
    return f"say which are black and white with --range, such as --range {least}:{top}"


def wanted_background(given: object) -> Colour:
    """Return red, green and blue (0…255) of a colour; white where nothing is said.

    Args:
        given: a name of CSS or a code such as ``#ff8800``.

    Raises:
        BadRequest: no opaque colour.
    """
    from PIL import ImageColor

    if given is None:
        return WHITE
    try:
        found = ImageColor.getrgb(given) if isinstance(given, str) else ()
    except ValueError:
        found = ()
    match found:
        case (red, green, blue) | (red, green, blue, 255):
            return red, green, blue
    raise BadRequest(
        f"--background {given}: give the name of a colour, such as white or black, or #rrggbb"
    )
