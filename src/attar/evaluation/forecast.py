"""How long an evaluation will take, from training every network in brief."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from attar.evaluation.measuring import Measurer
from attar.evaluation.rows import TrainingSet
from attar.networks import Network
from attar.paying import COMPILING, GAIN, slowdown
from attar.rng import Key
from attar.teachers.teacher import Teacher
from attar.training.evaluation_card import EvaluationCard
from attar.training.predicting import trainer_of
from attar.training.trainer import Tensors

# images of the first steps that are timed, and how many more each time: a large network may take
# seconds for a batch on a CPU, so none is tried that would take longer than so many seconds
_SMALL, _TIMES, _LONGEST = 4, 4, 1.5
# epochs of the longer training
_EPOCHS = 4
# seconds that anything takes at least, whatever a noisy clock says
_LEAST = 1e-7


@dataclass(frozen=True)
class Work:
    """Networks to be trained on a set.

    Args:
        given: the set.
        network: to be trained.
        repeats: how many times.
    """

    given: TrainingSet
    network: Network
    repeats: int


@dataclass(frozen=True)
class Cost:
    """What training a network takes.

    Args:
        step: seconds of an update, however few images it has.
        image: further seconds for each of its images.
        test: seconds of each image that is tested on.
        first: seconds that only the first network takes.
    """

    step: float
    image: float
    test: float
    first: float = 0.0


class Forecast:
    """Says how long training and testing takes.

    With networks trained one by one; several in one step make it less on a GPU.

    Args:
        measurer: trains and tests.
    """

    def __init__(self, measurer: Measurer) -> None:
        self._measurer = measurer
        self._costs: dict[str, Cost] = {}
        # seconds that each teacher takes for an image
        self._said: dict[str, float] = {}

    def seconds(self, works: Sequence[Work]) -> float:
        """Return about how many seconds some work will take."""
        return sum(map(self._seconds, works))

    def _seconds(self, work: Work) -> float:
        if not work.repeats:
            return 0.0
        name = work.network.name
        once = 0.0
        if name not in self._costs:
            self._costs[name] = timed(work.network, work.given.card, self._measurer)
            once = self._costs[name].first
        cost, count = self._costs[name], len(work.given.labels)
        training = work.given.card.steps(count) * cost.step
        each = cost.image + self._said_in(work.given)
        training += work.given.card.passes(count) * count * each
        return once + work.repeats * (training + len(self._measurer.test) * cost.test)

    def _said_in(self, given: TrainingSet) -> float:
        """Return the seconds that a teacher takes for each image of each batch; 0 without one."""
        teacher = given.teacher
        if teacher is None:
            return 0.0
        if teacher.digest not in self._said:
            batch = min(given.card.batch, len(given.labels))
            self._said[teacher.digest] = timed_teacher(teacher, batch, self._measurer)
        return self._said[teacher.digest]


def timed_teacher(teacher: Teacher, batch: int, measurer: Measurer) -> float:
    """Return the seconds that a teacher takes for an image of a batch.

    What is to be compiled is timed without, as in `timed`.
    """
    compute = dataclasses.replace(teacher.compute, compile=False)
    plain = dataclasses.replace(teacher, compute=compute)
    images = torch.zeros(batch, *measurer.test.shape)
    # the first call takes longer
    plain.scores(images[:1])
    start = time.perf_counter()
    plain.scores(images)
    _wait(measurer)
    seconds = (time.perf_counter() - start) / batch
    return seconds / GAIN if teacher.compute.compile else seconds


def timed(network: Network, card: EvaluationCard, measurer: Measurer) -> Cost:
    """Return what training a network takes, by training it in brief a few times.

    With few steps of few images, with more steps, and with more images, up to a batch. What is
    to be compiled is timed without, and made so much less by what compilation gains.
    """
    card = card.unlearnt()
    # uncompiled, since compiling takes longer than what is to be timed
    trainer = trainer_of(card, network, dataclasses.replace(measurer.compute, compile=False))
    strategy = card.strategy(measurer.dataset, network.name)

    trained: list[Tensors] = []

    def seconds(count: int, epochs: int) -> float:
        images = torch.zeros(count, *measurer.test.shape)
        labels = torch.zeros(count, dtype=torch.int64)
        start = time.perf_counter()
        trained[:] = trainer.fit(images, labels, card.with_epochs(epochs), strategy, [Key(0)])
        _wait(measurer)
        return time.perf_counter() - start

    def steps(count: int, epochs: int) -> int:
        return card.with_epochs(epochs).steps(count)

    # the first step of a process takes longer
    seconds(_SMALL, 1)
    brief = seconds(_SMALL, 1)
    more = (seconds(_SMALL, _EPOCHS) - brief) / (steps(_SMALL, _EPOCHS) - steps(_SMALL, 1))
    size, took = _SMALL, brief
    while size < card.batch and (size == _SMALL or _TIMES * took < _LONGEST):
        size = min(_TIMES * size, card.batch)
        took = seconds(size, 1)
    image = max((took / steps(size, 1) - brief / steps(_SMALL, 1)) / (size - _SMALL), _LEAST)
    step = max(more - _SMALL * image, _LEAST)
    chunk = measurer.test.take(torch.arange(min(measurer.compute.chunk, len(measurer.test))))
    start = time.perf_counter()
    trainer.scores(trained[0], chunk)
    _wait(measurer)
    test = (time.perf_counter() - start) / measurer.compute.chunk
    if not measurer.compute.compile:
        return Cost(step, image, test)
    return Cost(step / GAIN, image / GAIN, test / GAIN, COMPILING * slowdown())


def _wait(measurer: Measurer) -> None:
    if measurer.compute.device.type == "cuda":
        torch.cuda.synchronize(measurer.compute.device)
