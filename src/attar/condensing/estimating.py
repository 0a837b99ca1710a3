"""What a run will take, from a few of its steps and a little of a validation."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from attar.condensing.engine import Run
from attar.condensing.pacing import Pace
from attar.condensing.plan import Plan
from attar.condensing.telling import Estimate
from attar.condensing.validating import Cost
from attar.tensors import flatten

# seconds that steps are measured for, or one step where that is longer
_MEASURED = 2.0
_MOST = 10
# seconds to write the artefact and to end
_ENDING = 1.0


def on_average(run: Run, steps: int, seconds: Callable[[bool], float]) -> float:
    """Return what a step takes on average over so many.

    Args:
        run: about to begin.
        steps: that it will make.
        seconds: of a step as most are, or of one that costs what the first does, as
            `Run.probe` takes them.
    """
    share = run.objective.unusual(steps)
    return share * seconds(False) + ((1 - share) * seconds(True) if share < 1 else 0.0)


class Estimator:
    """Measures what a run does, without changing it.

    Args:
        run: about to go on.
        plan: of it.
        kept: iterates that are kept on the way.
    """

    def __init__(self, run: Run, plan: Plan, kept: int) -> None:
        self.validation: Cost | None = None
        self._run = run
        self._plan = plan
        self._kept = kept
        self._first = 0.0
        self._step: float | None = 0.0

    def measure_steps(self) -> None:
        """Time the first step, which compiles, and where the clock does not end the run some more.

        A run that ends by the clock has better to do than steps that are thrown away.
        """
        self._first = self._probed()
        if self._plan.request.minutes is not None:
            self._step = None
        elif self._run_left() < 2:
            self._step = self._first
        else:
            self._step = on_average(self._run, self._run_left(), self._mean)

    def _mean(self, usual: bool) -> float:
        """Return the seconds of a step, on average over some."""
        found: list[float] = []
        while not found or (sum(found) < _MEASURED and len(found) < _MOST):
            found.append(self._probed(usual=usual))
        return sum(found) / len(found)

    def nothing(self) -> Estimate:
        """Return the estimate of a run without further updates."""
        return Estimate(0.0, 0.0, 0.0, self._run.memory(), 0)

    def whole(self, pace: Pace, validations: int, epochs: int, notes: tuple[str, ...]) -> Estimate:
        """Return the estimate of the whole command.

        Args:
            pace: of the run.
            validations: that are left.
            epochs: of each.
            notes: what else should be known.
        """
        validating = 0.0
        if self.validation is not None:
            validating = validations * self.validation.seconds(epochs)
        step = self._first if self._step is None else self._step
        total = pace.here() + step * self._run_left() + validating + _ENDING
        if pace.limit is not None:
            total = max(pace.here() + step, pace.limit - pace.seconds() + pace.here())
        tensors, _ = flatten(self._run.state_dict())
        copies = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        return Estimate(
            self._first,
            self._step,
            total,
            self._run.memory(),
            2 * (1 + self._kept) * self._plan.ledger.all + 4 * copies,
            validating,
            notes,
        )

    def _run_left(self) -> int:
        return self._plan.recipe.iterations - self._run.step

    def _probed(self, *, usual: bool = False) -> float:
        begin = time.perf_counter()
        self._run.probe(usual=usual)
        if self._plan.compute.device.type == "cuda":
            torch.cuda.synchronize(self._plan.compute.device)
        return time.perf_counter() - begin
