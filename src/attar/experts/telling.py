"""What the training of experts tells of itself while it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attar.renaming import old_names

if TYPE_CHECKING:
    from attar.experts.plan import Plan


__getattr__ = old_names(__name__, {"ExpertListener": f"{__name__}.ExpertCallback"})


class ExpertCallback:
    """Told how the training of experts goes; this one keeps silent."""

    def reading(self, what: str, done: int, total: int) -> None:
        """While images are read: what is done, with how many, and of how many."""

    def started(self, plan: Plan, missing: Sequence[int], workers: int) -> None:
        """Before the first epoch: what is to be done, by how many processes or tasks."""

    def passed(self, experts: Sequence[int], epochs: int) -> None:
        """After every epoch of experts that train in one step, and where they go on."""

    def made(self, expert: int, accuracy: float) -> None:
        """When an expert's file is written: its accuracy on training images in percent."""

    def waiting(self, experts: Sequence[int]) -> None:
        """When all experts that are left are trained by other processes."""
