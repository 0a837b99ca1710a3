"""How learnt tensors are updated: optimisers by name, with the schedules of their rates."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from attar.adabelief import AdaBelief
from attar.errors import BadRequest, unknown
from attar.kinds import Settings
from attar.lamb import Lamb
from attar.sgd import SGD

# shares of the run after which `late_halving` halves the rate, as CAFE's authors do
HALVED = (0.6, 0.8, 0.9)
# share of the run that is done → factor of the learning rate
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda share: 1.0,
    "linear": lambda share: 1.0 - share,
    "cosine": lambda share: (1.0 + math.cos(math.pi * share)) / 2,
    "late_halving": lambda share: 0.5 ** sum(share >= one for one in HALVED),
    # a share of three tenths, say, is not quite 0.3
    "halving": lambda share: 0.5 ** int(10 * share + 1e-9),
}


OPTIMISERS = ("sgd", "adam", "lamb", "adabelief")


@dataclass(frozen=True)
class Optimiser(Settings):
    """How the learnt tensors of one role are updated.

    Args:
        lr: learning rate.
        momentum: of SGD; 0 for the others, whose first moment has ``beta``.
        kind: ``sgd``, ``adam``, ``lamb`` or ``adabelief``.
        clip: the greatest norm of the role's gradient; None for no limit.
        schedule: ``constant``; ``linear`` or ``cosine``, from ``lr`` at the first step down
            to ``floor`` times that after the last; ``late_halving``, by half after 0.6, 0.8 and
            0.9 of the steps; or ``halving``, by half after every tenth of them.
        floor: share of ``lr`` that is left after the last step of a schedule, from 0 to 1.
        coast: whether rows that a step does not read go on by their momentum, as they do where all
            are one tensor; of SGD.
        beta: how much of Adam's first moment is left at every step, from 0 to below 1.
        beta2: likewise of its second moment.
    """

    lr: float
    momentum: float = 0.0
    kind: str = "sgd"
    clip: float | None = None
    schedule: str = "constant"
    floor: float = 0.0
    coast: bool = True
    beta: float = 0.9
    beta2: float = 0.999

    def __post_init__(self) -> None:
        if self.kind not in OPTIMISERS:
            raise unknown("optimiser", self.kind, OPTIMISERS)
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise BadRequest(f"--lr {self.lr}: a positive number is needed")
        if not 0 <= self.momentum < 1:
            raise BadRequest(f"--momentum {self.momentum}: from 0 to below 1")
        if self.momentum and self.kind != "sgd":
            raise BadRequest(
                f"--momentum {self.momentum:g}: of SGD alone, and {self.kind} would ignore it; "
                "leave it out, or take --optimiser sgd"
            )
        if self.schedule not in SCHEDULES:
            raise unknown("schedule", self.schedule, SCHEDULES)
        if not 0 <= self.beta < 1 or (self.beta != 0.9 and self.kind != "adam"):
            raise BadRequest(f"beta {self.beta:g}: from 0 to below 1, and of Adam alone")
        if not 0 <= self.beta2 < 1 or (self.beta2 != 0.999 and self.kind != "adam"):
            raise BadRequest(f"beta2 {self.beta2:g}: from 0 to below 1, and of Adam alone")
        if not 0 <= self.floor <= 1:
            raise BadRequest(f"floor {self.floor}: a share of the learning rate, from 0 to 1")
        if not self.coast and (self.kind != "sgd" or self.clip is not None):
            raise BadRequest("coast False: rows rest one by one under SGD without clip alone")

    def rate(self, step: int, steps: int | None) -> float:
        """Return the learning rate of a step, counted from 0, of a run of ``steps``."""
        share = 0.0 if steps is None else min(1.0, step / max(1, steps))
        return self.lr * (self.floor + (1 - self.floor) * SCHEDULES[self.schedule](share))

    def build(self, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        """Return the optimiser of these parameters."""
        if self.kind == "adam":
            return torch.optim.Adam(parameters, lr=self.lr, betas=(self.beta, self.beta2))
        if self.kind == "lamb":
            return Lamb(parameters, lr=self.lr)
        if self.kind == "adabelief":
            return AdaBelief(parameters, lr=self.lr)
        return SGD(parameters, lr=self.lr, momentum=self.momentum, coast=self.coast)

    def describe(self) -> dict[str, Any]:
        """Return the settings as a plain dictionary, without what came later and is as it was."""
        later = {"floor": 0.0, "coast": True, "beta": 0.9, "beta2": 0.999}
        return {
            n: value for n, value in asdict(self).items() if n not in later or value != later[n]
        }
