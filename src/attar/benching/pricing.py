"""About how long a suite takes, from a few steps of every kind of work in it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from attar.benching.cells import Making, Measuring, Work
from attar.condensing.estimating import on_average
from attar.condensing.plan import Plan
from attar.condensing.validating import Validator
from attar.data import LabelledImages, Splits
from attar.evaluation.baselines import images_that_fit
from attar.evaluation.ceiling import whole_set
from attar.evaluation.forecast import Forecast
from attar.evaluation.forecast import Work as Training
from attar.evaluation.measuring import Measurer
from attar.evaluation.rows import TrainingSet
from attar.networks import make_for
from attar.rng import Key
from attar.training import card as find_card

# seconds that a process takes to begin: mostly PyTorch's
_BEGINNING = 4.0


@dataclass(frozen=True)
class Price:
    """What is taken.

    Args:
        seconds: of the work that is known of, done one after the other.
        unknown: pieces of work that are not in it.
    """

    seconds: float
    unknown: int

    def at_once(self, jobs: int) -> float:
        """Return the seconds with so many pieces of work at once."""
        return _BEGINNING + self.seconds / max(1, jobs)


@dataclass
class Prices:
    """What is seen of every cell while it is checked against its data."""

    _plans: dict[tuple[str, str, str], Plan] = field(default_factory=dict)
    _tests: dict[str, LabelledImages] = field(default_factory=dict)
    _names: dict[str, str] = field(default_factory=dict)
    _reading: dict[str, float] = field(default_factory=dict)

    def read(self, dataset: str, splits: Splits, seconds: float) -> None:
        """Note data and what reading them takes, which every piece of work does again."""
        self._tests[dataset] = splits.train if splits.test is None else splits.test
        # the test part may have another name, such as "cifar10 test"
        self._names[dataset] = splits.train.name
        self._reading[dataset] = seconds

    @property
    def names(self) -> dict[str, str]:
        """What the data of every dataset call themselves."""
        return dict(self._names)

    def planned(self, making: Making, plan: Plan) -> None:
        """Note the plan of a set."""
        self._plans[_cell(making)] = plan

    def of(self, works: Sequence[Work]) -> Price:
        """Return what some work takes, by doing a little of each kind."""
        found: dict[tuple[object, ...], float] = {}
        forecasts: dict[tuple[str, str], Forecast] = {}
        seconds, unknown = 0.0, 0
        for work in works:
            making = work if isinstance(work, Making) else work.making
            plan = self._plans.get(_cell(making))
            # steps that look at a suite's teacher can be tried when it is there
            looks = isinstance(work, Making) and work.teacher is not None
            if plan is None or (looks and plan.recipe.iterations):
                unknown += 1
                continue
            kind: tuple[object, ...] = _cell(making)
            if isinstance(work, Measuring):
                kind = (*kind, work.network, work.whole)
                if kind not in found:
                    found[kind] = self._measuring(work, plan, forecasts)
            elif kind not in found:
                found[kind] = _making(plan)
            seconds += found[kind] + self._reading[making.dataset]
        return Price(seconds, unknown)

    def _measuring(
        self, work: Measuring, plan: Plan, forecasts: dict[tuple[str, str], Forecast]
    ) -> float:
        test = self._tests[work.making.dataset]
        network = make_for(work.network, test.shape, test.classes)
        own = plan.recipe.card
        card = find_card(work.card or own, **work.lengths(own))
        at = (work.making.dataset, card.name)
        if at not in forecasts:
            compute = dataclasses.replace(plan.compute, compile=False)
            name = plan.train.name
            measurer = Measurer(test, (network,), work.repeats, name, compute, Key(0))
            forecasts[at] = Forecast(measurer)
        count = plan.layout.rows
        images = torch.zeros(count, *test.shape)
        labels = torch.zeros(count, dtype=torch.int64)
        own = TrainingSet("set", "condensed", images, labels, card, None, None, None)
        # another iterate that is kept beside the selected one is measured, too
        selects = plan.held_out is not None and plan.request.validations > 1
        sets = [own, own] if selects else [own]
        # so are the labels that a teacher gives it
        sets += [own] if work.teacher is not None else []
        if work.whole:
            small = images_that_fit(plan.train, plan.ledger.paper) * test.classes
            sets.append(whole_set(plan.train, card, small))
        return forecasts[at].seconds([Training(one, network, work.repeats) for one in sets])


def _making(plan: Plan) -> float:
    """Return the seconds of making a set."""
    if plan.request.minutes is not None:
        return 60 * plan.request.minutes
    if plan.recipe.iterations == 0:
        return 0.0
    run = plan.run(blank=True)
    run.probe()

    def probed(usual: bool) -> float:
        begin = time.perf_counter()
        run.probe(usual=usual)
        return time.perf_counter() - begin

    steps = plan.recipe.iterations
    seconds = steps * on_average(run, steps, probed)
    if plan.held_out is not None:
        validator = Validator(plan)
        one = validator.cost(run).seconds(validator.epochs(run))
        seconds += min(plan.request.validations, steps) * one
    return seconds


def _cell(making: Making) -> tuple[str, str, str]:
    return making.dataset, making.row, making.budget
