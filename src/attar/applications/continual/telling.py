"""What a run tells of itself while it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attar.applications.continual.results import Step
    from attar.condensing.telling import Callback


class ContinualCallback:
    """Told how a run goes; this one keeps silent."""

    def reading(self, what: str, done: int, total: int) -> None:
        """While images are read: what is done, with how many, and of how many."""

    def said(self, line: str) -> None:
        """Lines before the work begins: the division of classes, and what the memory holds."""

    def step(self, order: int, step: int, classes: Sequence[str]) -> None:
        """When classes arrive; order and step count from 1."""

    def condensing(self) -> Callback | None:
        """When they are condensed, or a memory is shrunk: who is told how that goes."""

    def trained(self, repeat: int, accuracy: float | None) -> None:
        """When a network's training on the memory begins, accuracy None, and when it was tested."""

    def measured(self, step: Step) -> None:
        """When a step is at its end."""
