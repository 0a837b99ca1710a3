"""One step: what is there shrinks, what arrives is condensed, and new networks learn from both."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attar.applications.continual.checking import arriving, common_card, usual_slimming
from attar.applications.continual.replay import Replay
from attar.applications.continual.request import Condensing, ContinualRequest
from attar.applications.continual.results import Step
from attar.applications.continual.telling import ContinualCallback
from attar.applications.sets import by_group, condensed, measured, shrunk
from attar.artefact.loading import load
from attar.data import LabelledImages, Splits
from attar.errors import Interrupted
from attar.evaluation.results import Result
from attar.rng import Key


@dataclass(frozen=True)
class Stepping:
    """What the steps of a run share.

    Args:
        request: the options.
        condensing: how classes are condensed.
        splits: the real images of all classes; a step reads those of its own.
        test: of all classes.
        reading: how they were read.
        folder: of the run.
        callback: told how it goes.
    """

    request: ContinualRequest
    condensing: Condensing
    splits: Splits
    test: LabelledImages
    reading: Mapping[str, Any]
    folder: Path
    callback: ContinualCallback

    def step(
        self, order: int, number: int, groups: Sequence[Sequence[str]], memory: tuple[str, ...]
    ) -> Step:
        """Return what a step came to, done now or before.

        Args:
            order: of the classes.
            number: of the step.
            groups: classes of the steps so far; the last ones arrive.
            memory: the artefacts of the step before.
        """
        kept = self.folder / f"order-{order}" / f"step-{number}.json"
        if kept.exists():
            return Step.load(kept)
        classes, seen = groups[-1], sum(map(len, groups))
        self.callback.step(order, number, classes)
        train, request = self.splits.train, self.request
        ipc = request.held.per_class(seen, train.shape, request.rounding)
        clock = _Clock()
        try:
            before = [self._shrunk(Path(one), order, number, ipc) for one in memory]
            clock.lap("slimming")
            arrived = self._arrived(classes, order, number, ipc)
        except Interrupted as error:
            # what continues is this command, and not one of the set that it was at
            on = "the same command goes on from there" if request.output else "nothing is kept"
            raise Interrupted(f"interrupted at order {order}, step {number}; {on}.") from error
        clock.lap("condensing")
        parts = (*before, arrived)
        replay = Replay(tuple(load(self.folder / part) for part in parts))
        result = self._measured(replay, order, number, ipc)
        clock.lap("training")
        limit = request.held.limit(train.shape)
        one = Step(
            order,
            number,
            tuple(classes),
            seen,
            ipc,
            replay.paper_bytes,
            replay.bytes,
            0 if limit is None else max(0, replay.paper_bytes - limit),
            tuple(map(str, parts)),
            result.accuracies,
            tuple(by_group(result, [len(group) for group in groups])),
            result.network,
            result.card,
            clock.seconds,
        )
        one.save(kept)
        return one

    def _arrived(self, classes: Sequence[str], order: int, number: int, ipc: int | None) -> Path:
        """Condense the classes that arrived, from their own images alone."""
        path = Path(f"order-{order}") / f"step-{number}.safetensors"
        seeded = dataclasses.replace(self.condensing, seed=self.seed(order))
        own = seeded.of(self.request.held, len(classes), ipc, self.folder / path)
        reading = {**self.reading, "classes": list(classes)}
        condensed(own, arriving(self.splits, classes), reading, self.callback.condensing())
        return path

    def _shrunk(self, part: Path, order: int, number: int, ipc: int | None) -> Path:
        """Return an artefact of the memory at its new size, slimmed without real images."""
        if not self.request.held.fixed or ipc is None:
            return part
        first = part.name.partition("-at-")[0].removesuffix(".safetensors")
        path = part.parent / f"{first}-at-{number}.safetensors"
        found = shrunk(
            self.folder / part,
            self.folder / path,
            ipc,
            usual_slimming(self.request, self.condensing),
            self.seed(order),
            self.request,
            self.condensing,
            self.callback.condensing,
        )
        return found.relative_to(self.folder)

    def _measured(self, replay: Replay, order: int, number: int, ipc: int | None) -> Result:
        """Train new networks on the memory, and test them on the classes seen."""
        return measured(
            replay,
            self.test,
            self.splits.train.name,
            ipc,
            common_card(self.request, self.condensing, self.splits),
            self.request,
            self.condensing,
            Key(self.seed(order)).fold("continual", number),
            self.callback.trained,
        )

    def seed(self, order: int) -> int:
        """Return the seed of an order of the classes."""
        return self.condensing.seed + order - 1


class _Clock:
    """Seconds of one part of a step after another."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.perf_counter()

    def lap(self, name: str) -> None:
        """Note that a part is at its end."""
        now = time.perf_counter()
        self.seconds[name], self._since = round(now - self._since, 3), now
