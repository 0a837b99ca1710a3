"""What came of a run: accuracies step by step, forgetting, bytes; and their file."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attar.applications.folders import keep, kept
from attar.evaluation.intervals import half_width


@dataclass(frozen=True)
class Step:
    """What a memory is worth once some classes have arrived.

    Args:
        order: number of the order of classes, from 1.
        step: number of the step, from 1.
        classes: those that arrived.
        seen: how many have arrived so far.
        images_per_class: full images' memory of each class; None where bytes say it.
        paper_bytes: of the memory, as the papers count.
        bytes: of everything kept.
        overrun: bytes, as the papers count, beyond a memory for all classes together.
        memory: the artefacts of the memory, by their paths in the folder of the run.
        accuracies: of each network on the test images of all classes seen, in percent.
        by_step: the mean over networks on the classes of each step so far, in percent.
        network: name of the network.
        card: how it was trained.
        seconds: of condensing, slimming and training.
    """

    order: int
    step: int
    classes: tuple[str, ...]
    seen: int
    images_per_class: int | None
    paper_bytes: int
    bytes: int
    overrun: int
    memory: tuple[str, ...]
    accuracies: tuple[float, ...]
    by_step: tuple[float, ...]
    network: str
    card: str
    seconds: Mapping[str, float]

    @property
    def mean(self) -> float:
        """Mean accuracy over networks in percent."""
        return statistics.fmean(self.accuracies)

    def save(self, path: Path) -> None:
        """Write it, atomically."""
        keep(path, dataclasses.asdict(self))

    @classmethod
    def load(cls, path: Path) -> Step:
        """Read it again.

        Raises:
            BadRequest: the file is damaged.
        """
        return kept(path, cls.of, "this step is measured again")

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Step:
        """Return what a plain dictionary tells."""
        lists = ("classes", "memory", "accuracies", "by_step")
        own: dict[str, Any] = {n: tuple(v) if n in lists else v for n, v in told.items()}
        return cls(**own)


@dataclass(frozen=True)
class Point:
    """One step over all orders that have come to it.

    Args:
        step: its number, from 1.
        seen: classes seen.
        images_per_class: full images' memory of each class; None where bytes say it.
        mean: accuracy in percent: mean over orders of the means over networks.
        std: population standard deviation over orders; over networks where there is one order.
        interval: half width of the 95 % confidence interval of the mean; None below three values.
        forgetting: mean over earlier steps of the best accuracy on their classes before, less that
            now, in percentage points; None at the first step.
        paper_bytes: the most that a memory took, as the papers count.
        bytes: the most that it took of everything.
        overrun: the most beyond the memory allowed.
    """

    step: int
    seen: int
    images_per_class: int | None
    mean: float
    std: float
    interval: float | None
    forgetting: float | None
    paper_bytes: int
    bytes: int
    overrun: int


@dataclass(frozen=True)
class ContinualResult:
    """A run, as far as it is.

    Args:
        title: method and data.
        command: that makes it.
        division: classes that arrive at each step.
        orders: orders of classes asked for.
        limit: bytes of a memory for all classes together, as the papers count; None where it grows.
        steps: what was measured, order by order.
    """

    title: str
    command: str
    division: tuple[int, ...]
    orders: int
    limit: int | None
    steps: tuple[Step, ...]

    @property
    def points(self) -> tuple[Point, ...]:
        """One for every step that an order has come to."""
        found = []
        for number in range(1, len(self.division) + 1):
            own = [one for one in self.steps if one.step == number]
            if own:
                found.append(self._point(own))
        return tuple(found)

    @property
    def average(self) -> float:
        """Average incremental accuracy: the mean over steps, in percent."""
        return statistics.fmean(point.mean for point in self.points)

    def _point(self, own: Sequence[Step]) -> Point:
        values = [one.mean for one in own] if self.orders > 1 else list(own[0].accuracies)
        std = statistics.pstdev(values)
        forgotten = [self._forgetting(one) for one in own]
        return Point(
            own[0].step,
            own[0].seen,
            own[0].images_per_class,
            statistics.fmean(values),
            std,
            half_width(std, len(values)),
            None if own[0].step == 1 else statistics.fmean(forgotten),
            max(one.paper_bytes for one in own),
            max(one.bytes for one in own),
            max(one.overrun for one in own),
        )

    def _forgetting(self, now: Step) -> float:
        """Return it as Chaudhry et al. (2018) define it; 0 at the first step."""
        before = [one for one in self.steps if one.order == now.order and one.step < now.step]
        lost = [
            max(one.by_step[index] for one in before if one.step > index) - now.by_step[index]
            for index in range(now.step - 1)
        ]
        return statistics.fmean(lost) if lost else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return it as a plain dictionary with everything that follows from it."""
        own = dataclasses.asdict(self)
        own |= {"average": self.average, "points": [dataclasses.asdict(p) for p in self.points]}
        return own

    def save(self, path: Path) -> None:
        """Write it, atomically."""
        keep(path, self.as_dict())

    @classmethod
    def load(cls, path: Path) -> ContinualResult:
        """Read ``results.json`` again."""
        told = json.loads(Path(path).read_text(encoding="utf-8"))
        own = {item.name: told[item.name] for item in dataclasses.fields(cls)}
        own |= {"division": tuple(told["division"]), "steps": tuple(map(Step.of, told["steps"]))}
        return cls(**own)
