"""What is kept of a network on the way of its training, to go back through it.

Shape letters: P parameters, N steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from attar.capacity import available_memory, check_memory
from attar.errors import BadRequest, unknown
from attar.objectives.base import Problem
from attar.objectives.flat import FlatLoss
from attar.objectives.unrolling import Steps, cut

PLACES = ("device", "cpu")


@dataclass(frozen=True)
class Keeping:
    """How many vectors of P values are kept at a time, and where.

    Args:
        held: steps whose vectors are held at a time, as `unrolling.checkpointed` takes it; 0 for
            all.
        place: ``device``, where the steps are made, or ``cpu``.
        each: vectors that are kept of a step.
        first: that are kept of where a part begins.
    """

    held: int
    place: str
    each: int = 1
    first: int = 1

    def check(self) -> None:
        """Refuse settings out of range, by the names that objectives give them."""
        if self.held < 0:
            raise BadRequest(f"held {self.held}: 0 or more is needed")
        if self.place not in PLACES:
            raise unknown("weights_on", self.place, PLACES)

    @property
    def on(self) -> torch.device | None:
        """Where they are kept; None for where they are made."""
        return torch.device("cpu") if self.place == "cpu" else None

    def bytes(self, steps: int, size: int) -> int:
        """Return the bytes of what is kept at a time.

        Args:
            steps: N.
            size: P.
        """
        held, begun, left = min(self.held or steps, steps), 0, steps
        while left > held:
            parts = cut(range(left), held)
            begun, left = begun + len(parts), len(parts[0])
        return 4 * size * (self.each * held + self.first * begun)

    def graphs(self, problem: Problem, loss: FlatLoss, steps: Steps, first: Tensor) -> bool:
        """Whether the gradients of all steps may keep their graphs until they are gone back.

        They may where all steps are held where they are made, nothing is compiled, and their
        graphs, measured on the first of them once in a run, take at most a fourth of the memory
        that there is. The result is the same.
        """
        if self.held or self.on is not None or problem.compute.compile:
            return False
        name = "keeping: graphs"
        if name not in problem.cache:
            most = max(range(len(steps)), key=lambda step: len(steps.rows[step]))
            each = loss.graph_bytes(first, *steps.minibatch(most))
            problem.cache[name] = 4 * each * len(steps) <= self._there(problem)
        return problem.cache[name]

    def _there(self, problem: Problem) -> int:
        """Return the bytes of memory where it is kept."""
        device = problem.compute.device
        if device.type == "cuda" and self.on is None:
            return torch.cuda.mem_get_info(device)[0]
        return available_memory()

    def refuse_too_many(self, problem: Problem, steps: int, size: int, what: str) -> None:
        """Refuse more steps than memory holds, before any work.

        Args:
            problem: says on which device they are made.
            steps: N.
            size: P.
            what: is as many, as the message calls it, such as ``steps 150``.

        Raises:
            BadRequest: there is not that much memory.
        """
        there = self._there(problem)
        # least work among what takes little, and least memory
        fewer = (math.ceil(math.sqrt(steps)), min(4, steps))
        fitting = [n for n in fewer if replace(self, held=n).bytes(steps, size) <= there]
        check_memory(
            self.bytes(steps, size),
            f"{what}: the {size} parameters of every step",
            f"hold fewer at a time (--set held={fitting[0]})"
            if fitting
            else "take fewer steps, or a smaller network",
            there,
        )
