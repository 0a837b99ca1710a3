"""The keyword options of `attar.continual`, so that editors complete them; free of torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attar.applications.continual.memory import Rounding
from attar.condensing.keywords import CondenseOptions


class ContinualOptions(CondenseOptions, total=False):
    """The fields of `ContinualRequest` but steps and memory, and those of condensing."""

    orders: int
    rounding: Rounding
    slimming: str | None
    slim_iterations: int | None
    slim_lr: float | None
    slim_settings: str | Sequence[str] | Mapping[str, Any] | None
    repeats: int
    epochs: int | None
    updates: int | None
