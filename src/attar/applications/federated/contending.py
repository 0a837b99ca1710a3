"""Who sends: the method that is asked for, and baselines of as many bytes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from attar.applications.continual.request import RANDOM, SLIMMING, Condensing
from attar.applications.federated.request import FEDAVG, FederatedRequest

# options of a baseline that are those of the method beside it
_KEPT = (
    *("network", "card", "validation", "zca", "seed", "device", "precision", "torch_compile"),
    *("chunk", "threads", "checkpoint_seconds"),
)


@dataclass(frozen=True)
class Contender:
    """One way to fill the bandwidth.

    Args:
        name: of it.
        request: the options, with the slimming that suits it.
        condensing: how clients make their sets.
    """

    name: str
    request: FederatedRequest
    condensing: Condensing

    @property
    def averages(self) -> bool:
        """Whether weights are sent, and not sets."""
        return self.name == FEDAVG


def contenders(request: FederatedRequest, condensing: Condensing) -> tuple[Contender, ...]:
    """Return the method that is asked for, then its baselines."""
    name = condensing.of(request.held, 1, 1, None).chosen.name
    found = [Contender(name, request, condensing)]
    usual = {name: FederatedRequest.__dataclass_fields__[name].default for name in SLIMMING}
    plain = dataclasses.replace(request, **{**usual, "slimming": RANDOM})
    kept = {name: getattr(condensing, name) for name in _KEPT}
    for beside in request.beside:
        if beside == FEDAVG:
            found.append(Contender(beside, request, condensing))
        elif beside != name:
            found.append(Contender(beside, plain, Condensing(method=beside, **kept)))
    return tuple(found)
