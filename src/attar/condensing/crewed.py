"""A run that workers carry out, all at the same step.

It has the face of any other run. What the workers hold comes back where it is asked for: for a
checkpoint, a validation, a snapshot and the artefact. So these are the same as of one process, and
a checkpoint goes on with any number of workers.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch

from attar.compute import peak_memory
from attar.condensing.crew import Crew, Lost
from attar.condensing.engine import Run
from attar.condensing.worker import packed
from attar.synthetic import Synthetic


class Crewed(Run):
    """A run that workers carry out.

    Args:
        run: at its beginning, which is taken over.
        crew: the workers.
    """

    def __init__(self, run: Run, crew: Crew) -> None:
        vars(self).update(vars(run))
        self._crew = crew
        # the step of what this process holds, and whether the workers hold the same or later
        self._held = self.step
        self._sent = False
        self._memory = 0

    @abstractmethod
    def _parted(self, tree: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        """Return what each worker holds of a state of the whole."""

    @abstractmethod
    def _taken(self) -> None:
        """Bring what the workers hold here."""

    @staticmethod
    @abstractmethod
    def _loss(losses: list[float]) -> float:
        """Return the loss of a step from what each worker says."""

    def advance(self) -> float:
        """Do one step of every class; see `Run.advance`.

        Raises:
            Lost: a worker is gone; this run is then at the step of what is held here.
        """
        self._send()
        try:
            losses = self._ask("step", self.share)
        except Lost:
            self.step = self._held
            raise
        self.step += 1
        return self._loss(losses)

    def probe(self, *, usual: bool = False) -> None:
        """Let every worker do the arithmetic of a step and throw it away."""
        self._send()
        self._memory = sum(self._ask("probe", self.share, usual))

    def memory(self) -> int:
        """Return the most bytes that all processes have held."""
        if self._crew.inside:
            return self._memory
        return self._memory + peak_memory(self.problem.compute.device)

    def present(self) -> None:
        """Find out whether all workers are there.

        Raises:
            Lost: one is not.
        """
        self._ask("present")

    @property
    def iterate(self) -> Synthetic:
        """The set that counts, as the workers have it."""
        self._fetch()
        return super().iterate

    def finite(self) -> bool:
        """Whether every learnt value is a number."""
        self._fetch()
        return super().finite()

    def state_dict(self) -> dict[str, Any]:
        """Return what one process would."""
        self._fetch()
        return super().state_dict()

    def learned_kept(self) -> dict[str, Any]:
        """Return what is learnt beside the set as an artefact keeps it."""
        self._fetch()
        return super().learned_kept()

    def load_state_dict(self, tree: Mapping[str, Any]) -> None:
        """Continue from what one process, or any number of workers, came to."""
        super().load_state_dict(tree)
        self._held, self._sent = self.step, False

    def _ask(self, what: str, *arguments: Any) -> list[Any]:
        return self._crew.ask(what, [arguments] * len(self._crew.shares))

    def _send(self) -> None:
        """Give the workers their parts of what is held here, where they have nothing yet."""
        if self._sent:
            return
        trees = self._parted(super().state_dict())
        self._crew.ask("load", [(packed(tree),) for tree in trees])
        self._sent = True

    @torch.no_grad()
    def _fetch(self) -> None:
        """Bring what the workers hold here, where it is later than what is."""
        if self._held == self.step:
            return
        try:
            self._taken()
        except Lost:
            self.step = self._held
            raise
        self._held = self.step
