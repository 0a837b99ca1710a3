"""How well one order keeps another: Kendall's and Spearman's coefficients, with intervals."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# of the standard normal, for 95 %
_Z = 1.959964
INTERVAL = (
    "95 %, by Fisher's transformation with the variances of Bonett and Wright (2000), from 5 "
    "candidates on; they are over candidates"
)


@dataclass(frozen=True)
class Correlation:
    """A coefficient of rank correlation.

    Args:
        value: from −1 to 1; None where one side ranks nothing, all its values being the same.
        low: end of its interval; None where there is none.
        high: the other end.
    """

    value: float | None
    low: float | None
    high: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        interval = None if self.low is None else [self.low, self.high]
        return {"value": self.value, "interval": interval}


def kendall(one: Sequence[float], other: Sequence[float]) -> Correlation:
    """Return Kendall's τ-b.

    Example:
        >>> kendall([1, 2, 3, 4], [1, 2, 4, 3]).value
        0.666666666667
    """
    from scipy.stats import kendalltau

    count = len(one)
    # half a step below a perfect order, where the transformation has no end
    return _with_interval(kendalltau, one, other, 2 / (count * (count - 1)), lambda r: 0.437, 4)


def spearman(one: Sequence[float], other: Sequence[float]) -> Correlation:
    """Return Spearman's ρ.

    Example:
        >>> spearman([1, 2, 3, 4], [1, 2, 4, 3]).value
        0.8
    """
    from scipy.stats import spearmanr

    count = len(one)
    step = 6 / (count * (count**2 - 1))
    return _with_interval(spearmanr, one, other, step, lambda r: 1 + r * r / 2, 3)


def _with_interval(
    measure: Any,
    one: Sequence[float],
    other: Sequence[float],
    step: float,
    variance: Any,
    less: int,
) -> Correlation:
    """Return a coefficient with the interval tanh(artanh r ± z·√(variance / (n − less)))."""
    if len(set(one)) < 2 or len(set(other)) < 2:
        return Correlation(None, None, None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = float(measure(one, other).statistic)
    found = round(found, 12)
    if len(one) < 5:
        return Correlation(found, None, None)
    inner = max(step - 1, min(1 - step, found))
    width = _Z * math.sqrt(variance(inner) / (len(one) - less))
    low, high = (math.tanh(math.atanh(inner) + sign * width) for sign in (-1, 1))
    return Correlation(found, -1.0 if found <= -1 else low, 1.0 if found >= 1 else high)
