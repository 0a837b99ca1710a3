"""What a run tells of itself while it goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attar.applications.federated.results import Refusal, Round
    from attar.condensing.telling import Callback


class FederatedCallback:
    """Told how a run goes; this one keeps silent."""

    def reading(self, what: str, done: int, total: int) -> None:
        """While images are read: what is done, with how many, and of how many."""

    def said(self, line: str) -> None:
        """Lines before the work begins: who has which classes, and what each may send."""

    def round(self, contender: str, participants: int) -> None:
        """When a round begins."""

    def condensing(self) -> Callback | None:
        """When a client condenses or slims in this process: who is told how that goes."""

    def failed(self, client: int, error: Exception) -> None:
        """When a client in this process could not answer, with what only its owner should see."""

    def refused(self, refusal: Refusal) -> None:
        """When a client is left out of a round."""

    def trained(self, repeat: int, accuracy: float | None) -> None:
        """When a network's training begins, accuracy None, and when it was tested."""

    def measured(self, one: Round) -> None:
        """When a round is at its end."""
