"""How far a mean over few networks may be from the mean over all of them."""

from __future__ import annotations

import functools
import math

CONFIDENCE = 0.95
_FEWEST = 3


def half_width(std: float, count: int) -> float | None:
    """Return the half width of the 95 % confidence interval of a mean; None for one value or two.

    Of two, Student's t is 12.7: an interval of ± 17 points says nothing but that two are too few.

    Args:
        std: population standard deviation of the values, in any unit.
        count: how many values there are.

    Source: Student's t with ``count − 1`` degrees of freedom; ``std / √(count − 1)`` is the
    sample standard deviation over the root of the count.
    """
    if count < _FEWEST:
        return None
    return quantile(count - 1) * std / math.sqrt(count - 1)


@functools.cache
def quantile(degrees: int, confidence: float = CONFIDENCE) -> float:
    """Return t such that ``confidence`` of Student's distribution lies within ±t.

    Args:
        degrees: of freedom, one or more.
        confidence: above 0 and below 1.
    """
    # importing it takes longer than all of `attar --help`
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + confidence) / 2))
