"""What is ranked, and how well sets keep the order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from attar.applications.ranking.correlation import INTERVAL, Correlation
from attar.networks import Network


@dataclass(frozen=True)
class Candidate:
    """What is to be ranked.

    Args:
        network: to be trained.
        lr: its learning rate; None for the card's.
    """

    network: Network
    lr: float | None = None

    @property
    def name(self) -> str:
        """The network's, and the learning rate where it is one of several."""
        return self.network.name + ("" if self.lr is None else f" at {self.lr:g}")


@dataclass(frozen=True)
class Proxy:
    """What candidates reach on one training set, beside the order on the whole.

    Args:
        name: of the set.
        bytes: that it takes; None where unknown.
        accuracies: of each candidate, the mean in percent.
        seconds: of training and testing all of them.
        kendall: τ-b between these accuracies and those on the whole; of the whole itself 1.
        spearman: ρ likewise.
        lost: points of accuracy on the whole training set between the best candidate and the one
            that comes first here.
    """

    name: str
    bytes: int | None
    accuracies: tuple[float, ...]
    seconds: float
    kendall: Correlation
    spearman: Correlation
    lost: float

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        coefficients = {"kendall": self.kendall.as_dict(), "spearman": self.spearman.as_dict()}
        return vars(self) | {"accuracies": list(self.accuracies)} | coefficients


@dataclass(frozen=True)
class Ranking:
    """How well sets keep the order of candidates.

    Args:
        candidates: their names.
        whole: on the whole training set.
        proxies: the condensed set first, then those beside it.
        repeats: networks behind each accuracy.
    """

    candidates: tuple[str, ...]
    whole: Proxy
    proxies: tuple[Proxy, ...]
    repeats: int

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, with the time saved."""
        return {
            "candidates": list(self.candidates),
            "repeats": self.repeats,
            "interval": INTERVAL,
            "whole": self.whole.as_dict(),
            "proxies": [
                {**one.as_dict(), "times_faster": self.faster(one)} for one in self.proxies
            ],
        }

    def faster(self, proxy: Proxy) -> float:
        """Return how many times as long all candidates take on the whole training set."""
        return self.whole.seconds / max(proxy.seconds, 1e-9)
