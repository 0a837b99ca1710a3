"""How well a score tells members from others: AUC, and hits at few false alarms.

Shape letters: M members, N others.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

# of the standard normal, for 95 %
_Z = 1.959964
# shares of the others that may be taken for members
FALSE_ALARMS = (0.01, 0.001)
INTERVAL = "95 %, Newcombe 2006, method 5: the variance of Hanley and McNeil, inverted as Wilson's"


@dataclass(frozen=True)
class Hits:
    """The share of members found where few others are taken for one.

    Args:
        false_alarms: the share of others that may be.
        share: of members above the threshold.
        low: end of its 95 % interval (Wilson 1927).
        high: the other end.
    """

    false_alarms: float
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Attack:
    """How well members are told from others.

    Args:
        what: who is told from whom by what, in words.
        members: how many.
        others: how many.
        auc: 0.5 where nothing tells them apart, 1 where everything does; ties count half.
        low: end of its interval (`INTERVAL`).
        high: the other end.
        hits: at those `FALSE_ALARMS` that so many others can measure.
    """

    what: str
    members: int
    others: int
    auc: float
    low: float
    high: float
    hits: tuple[Hits, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {
            "what": self.what,
            "members": self.members,
            "others": self.others,
            "auc": self.auc,
            "interval": [self.low, self.high],
            "true_positive_rates": [vars(one) for one in self.hits],
        }


def attack(what: str, members: Tensor, others: Tensor) -> Attack:
    """Return how well a score tells members from others.

    Args:
        what: in words.
        members: M scores, higher where membership is more likely.
        others: N scores.
    """
    value = auc(members, others)
    few = [share for share in FALSE_ALARMS if share * len(others) >= 1]
    return Attack(
        what,
        len(members),
        len(others),
        value,
        *auc_interval(value, len(members), len(others)),
        tuple(_hits(members, others, share) for share in few),
    )


def auc(members: Tensor, others: Tensor) -> float:
    """Return the share of pairs in which the member scores higher; ties count half.

    Example:
        >>> auc(torch.tensor([2.0, 1.0]), torch.tensor([1.0, 0.0]))
        0.875
    """
    ordered = others.double().sort().values
    below = torch.searchsorted(ordered, members.double())
    not_above = torch.searchsorted(ordered, members.double(), right=True)
    return float((below + not_above).double().mean()) / (2 * len(others))


def auc_interval(value: float, members: int, others: int) -> tuple[float, float]:
    """Return the 95 % interval of an AUC, which is not empty at 0 and 1 either.

    Source: Newcombe, Confidence intervals for an effect size measure based on the Mann-Whitney
    statistic, part 2, Statistics in Medicine 2006, method 5.
    """
    mean = (members + others) / 2 - 1

    def distance(true: float) -> float:
        spread = 1 + mean * ((1 - true) / (2 - true) + true / (1 + true))
        return _Z * math.sqrt(true * (1 - true) * spread / (members * others))

    def end(outer: float) -> float:
        near, far = value, outer
        for _ in range(60):
            middle = (near + far) / 2
            inside = abs(middle - value) <= distance(middle)
            near, far = (middle, far) if inside else (near, middle)
        return near

    return end(0.0), end(1.0)


def share_interval(share: float, count: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share of so many."""
    around = share + _Z**2 / (2 * count)
    spread = _Z * math.sqrt(share * (1 - share) / count + (_Z / (2 * count)) ** 2)
    scale = 1 + _Z**2 / count
    return max(0.0, (around - spread) / scale), min(1.0, (around + spread) / scale)


def threshold(others: Tensor, false_alarms: float) -> Tensor:
    """Return the score above which no more than that share of the others are."""
    return others.sort(descending=True).values[int(false_alarms * len(others) + 1e-9)]


def _hits(members: Tensor, others: Tensor, false_alarms: float) -> Hits:
    found = float((members > threshold(others, false_alarms)).double().mean())
    return Hits(false_alarms, found, *share_interval(found, len(members)))
