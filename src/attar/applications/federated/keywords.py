"""The keyword options of `attar.federated`, so that editors complete them; free of torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attar.applications.continual.memory import Rounding
from attar.condensing.keywords import CondenseOptions


class FederatedOptions(CondenseOptions, total=False):
    """The fields of `FederatedRequest` but clients and bandwidth, and those of condensing."""

    dirichlet: float | None
    rounding: Rounding
    slimming: str | None
    slim_iterations: int | None
    slim_lr: float | None
    slim_settings: str | Sequence[str] | Mapping[str, Any] | None
    baselines: str | None
    local_epochs: int
    repeats: int
    epochs: int | None
    updates: int | None
    timeout: float
