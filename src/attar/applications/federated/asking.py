"""What a server asks of a client, and what comes back: plain values that any line can carry."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from attar.errors import BadRequest


@dataclass(frozen=True)
class Ask:
    """What one client is asked for; as text it goes over any line.

    Args:
        contender: whose set or weights: a method, a baseline.
        participants: how many clients take part in the round.
        share: full float32 images of all its classes that its set may take; 0 for weights.
        classes: of the weights; empty for a set.
        network: of the weights, by name.
        epochs: for which the weights are trained.
        repeat: number of the network.
        turn: how often weights were averaged before.
    """

    contender: str
    participants: int
    share: int = 0
    classes: tuple[str, ...] = ()
    network: str = ""
    epochs: int = 0
    repeat: int = 0
    turn: int = 0

    def text(self) -> str:
        """Return it as JSON."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def read(cls, text: str) -> Ask:
        """Return what a text says.

        Raises:
            BadRequest: it says something else.
        """
        try:
            told: dict[str, Any] = json.loads(text)
            return cls(**{**told, "classes": tuple(told["classes"])})
        except (ValueError, TypeError, KeyError) as error:
            raise BadRequest("what the server asks for is not understood") from error


@dataclass(frozen=True)
class Answer:
    """What came of a question.

    Args:
        data: the message, as it was carried; None where there is none.
        missing: why there is none, in words that name neither a path nor an address.
        counted: bytes of the reply as a framework counts them; None where there is no framework.
    """

    data: bytes | None = None
    missing: str = ""
    counted: int | None = None


class Courier(Protocol):
    """Carries questions to clients and their answers back."""

    def send(self, asked: Mapping[int, Ask], payload: bytes = b"") -> Mapping[int, Answer]:
        """Return an answer for every client that was asked, within a time.

        Args:
            asked: by the numbers of the clients, from 1.
            payload: what goes to all of them beside the question: weights.
        """
        ...
