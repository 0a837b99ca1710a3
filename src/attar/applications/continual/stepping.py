"""One step: what is there shrinks, what arrives is condensed, and new networks learn from both."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attar import compute as computing
from attar.applications.continual.checking import arriving, common_card, usual_slimming
from attar.applications.continual.replay import Replay
from attar.applications.continual.request import Condensing, ContinualRequest
from attar.applications.continual.results import Step
from attar.applications.continual.telling import ContinualCallback
from attar.artefact.artefact import Artefact
from attar.artefact.loading import load
from attar.budget import Budget
from attar.condensing.condense import complete, writing
from attar.condensing.planning import make_plan
from attar.condensing.telling import Callback
from attar.data import LabelledImages, Splits
from attar.evaluation.given import asked_networks
from attar.evaluation.measuring import Measurer
from attar.evaluation.results import Result, training_pixels
from attar.networks import make_for
from attar.rng import Key
from attar.slimming.slimming import carry_out as slim


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
        shrunk = [self._shrunk(Path(one), order, number, ipc) for one in memory]
        clock.lap("slimming")
        arrived = self._arrived(classes, order, number, ipc)
        clock.lap("condensing")
        parts = (*shrunk, arrived)
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
            tuple(_by_group(result, [len(group) for group in groups])),
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
        with writing(own):
            plan = make_plan(own, arriving(self.splits, classes), reading)
            complete(plan, self.callback.condensing() or Callback())
        return path

    def _shrunk(self, part: Path, order: int, number: int, ipc: int | None) -> Path:
        """Return an artefact of the memory at its new size, slimmed without real images."""
        artefact = load(self.folder / part)
        if not self.request.held.fixed or ipc is None or not _larger(artefact, ipc):
            return part
        first = part.name.partition("-at-")[0].removesuffix(".safetensors")
        path = part.parent / f"{first}-at-{number}.safetensors"
        how = usual_slimming(self.request, self.condensing)
        condensing = self.condensing
        own = self.request.slim(
            ipc,
            how,
            self.seed(order),
            condensing.network,
            output=self.folder / path,
            resume=True,
            device=condensing.device,
            precision=condensing.precision,
            torch_compile=condensing.torch_compile,
            chunk=condensing.chunk,
            card=condensing.card,
            checkpoint_seconds=condensing.checkpoint_seconds,
        )
        slim(self.folder / part, own, lambda size: self.callback.condensing() or Callback())
        return path

    def _measured(self, replay: Replay, order: int, number: int, ipc: int | None) -> Result:
        """Train new networks on the memory, and test them on the classes seen."""
        request, condensing, train = self.request, self.condensing, self.splits.train
        common = common_card(request, condensing, self.splits)
        card = replay.card(common, request.epochs, request.updates, train.name)
        test = self.test.of_classes(replay.class_names)
        # not that of a slimmed part, which may have been matched in another
        named = asked_networks(
            replay.parts[-1], condensing.network or card.network_for(train.shape[1:])
        )
        given = replay.training_set(card, ipc)
        compute = computing.choose(
            condensing.device,
            condensing.precision,
            condensing.torch_compile,
            pixels=training_pixels(len(given.labels), train.shape, card, request.repeats),
        )
        measurer = Measurer(
            test,
            [make_for(named[0], train.shape, test.classes)],
            request.repeats,
            train.name,
            compute,
            Key(self.seed(order)).fold("continual", number),
            progress=lambda row, network, repeat, accuracy: self.callback.trained(repeat, accuracy),
        )
        return measurer.measure(given)[0]

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


def _larger(artefact: Artefact, ipc: int) -> bool:
    """Tell whether an artefact takes more than so many full images of each class."""
    header = artefact.header
    full = Budget(ipc=ipc).limit(len(header.class_names), header.shape)
    return full is not None and artefact.totals.paper > full


def _by_group(result: Result, sizes: Sequence[int]) -> Iterator[float]:
    """Yield the accuracy in percent on the classes of each step, mean over networks."""
    start = 0
    for size in sizes:
        own = slice(start, start + size)
        tested = sum(result.tested[own]) * len(result.right)
        yield 100 * sum(sum(right[own]) for right in result.right) / tested
        start += size
