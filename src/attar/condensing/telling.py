"""What a run tells of itself while it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from attar.artefact.artefact import Artefact
from attar.condensing.plan import Plan


@dataclass(frozen=True)
class Estimate:
    """What a run will take, from a few measured steps.

    Args:
        first_seconds: the first step, compilation included.
        step_seconds: each later step; None where the clock ends the run, which measures none.
        total_seconds: the whole command, what it has taken already included: reading, compiling,
            the updates that are left, validations, writing. 0 where no update is left.
        validating_seconds: of these, the validations.
        memory: bytes held at the peak so far.
        disk: bytes of artefact, checkpoint and snapshots, with their temporary copies.
        notes: what else should be known.
    """

    first_seconds: float
    step_seconds: float | None
    total_seconds: float
    memory: int
    disk: int
    validating_seconds: float = 0.0
    notes: tuple[str, ...] = ()


class Callback:
    """Told how a run goes; this one keeps silent."""

    def reading(self, what: str, done: int, total: int) -> None:
        """While images are read, or chosen: what is done, with how many, and of how many."""

    def planned(self, plan: Plan, step: int) -> None:
        """Once everything is settled, before the first arithmetic: the plan, and the steps done."""

    def phase(self, name: str) -> None:
        """When something else begins: compiling, condensing, validating or writing."""

    def stopping(self, after: str) -> None:
        """When Ctrl-C or SIGTERM asks the run to stop: what it still ends, in words.

        Called inside a signal handler.
        """

    def started(self, plan: Plan, estimate: Estimate, step: int) -> None:
        """Before the first step of this process."""

    def stepped(self, step: int, loss: float, share: float, seconds: float) -> None:
        """After every step: loss, share of the run done in 0…1, seconds since the run began."""

    def formed(self, step: int, artefact: Callable[[], Artefact]) -> None:
        """Before the first step and after every one: ``artefact()`` makes one of the set as it is.

        Made for those alone who call it.
        """

    def validated(self, step: int, accuracy: float) -> None:
        """After a validation: accuracy in percent."""

    def finished(self, artefact: Artefact) -> None:
        """At the end."""


class Start(Callback):
    """Keeps the set as it is before the first step of this process.

    Attributes:
        artefact: the set; None before there is one, and where no step is made.
    """

    artefact: Artefact | None = None

    def formed(self, step: int, artefact: Callable[[], Artefact]) -> None:
        """Keep the first one."""
        if self.artefact is None:
            self.artefact = artefact()


class Several(Callback):
    """Tells each of several.

    Args:
        *callbacks: told in this order.
    """

    def __init__(self, *callbacks: Callback) -> None:
        self._callbacks = callbacks


def _told_each(name: str) -> Callable[..., None]:
    def tell(self: Several, *facts: Any) -> None:
        for one in self._callbacks:
            getattr(one, name)(*facts)

    return tell


for _name in vars(Callback):
    if not _name.startswith("_"):
        setattr(Several, _name, _told_each(_name))
