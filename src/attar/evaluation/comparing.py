"""One artefact beside everything that it is compared with: the sets, their order, their rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from attar.artefact.artefact import Artefact
from attar.data import LabelledImages
from attar.evaluation.baselines import RANDOM, WHOLE, coreset, images_that_fit, random_set
from attar.evaluation.ceiling import Ceilings, whole_set
from attar.evaluation.coded import coded_set
from attar.evaluation.forecast import Forecast, Work
from attar.evaluation.label_plan import LabelPlan
from attar.evaluation.measuring import Measurer
from attar.evaluation.rows import Row, TrainingSet, with_ceilings
from attar.evaluation.scoring import Scoring, hard_labels
from attar.methods import CODED
from attar.places import default_data_dir
from attar.teachers.teacher import Teacher
from attar.training.evaluation_card import EvaluationCard


@dataclass(frozen=True)
class Asked:
    """What is to be measured beside the artefact, and how.

    Args:
        baselines: names, in the order of the rows; the whole training set last.
        card: of all small sets.
        ceiling_epochs: of the whole training set; None for the rule of `whole_set`.
        seed: of the baselines.
        scores: whether robust scores are wanted.
        data_dir: folder of the data; None for the usual one.
        note: of the artefact's own row.
        teacher: labels batches of the set and of random images, beside rows without it.
        labels: of epochs, that are kept in its place; None for the teacher itself.
        inside: the teacher that the set carries, where the card learns from one.
    """

    baselines: tuple[str, ...]
    card: EvaluationCard
    ceiling_epochs: int | None = None
    seed: int = 0
    scores: bool = False
    data_dir: Path | None = None
    note: str = ""
    teacher: Teacher | None = None
    labels: LabelPlan | None = None
    inside: Teacher | None = None


@dataclass(frozen=True)
class Comparison:
    """One artefact with everything that it is set beside.

    Args:
        artefact: the condensed set.
        last: the last iterate, where another one was selected.
        train: all the real images, under the preprocessing of the artefact; None where no
            baseline is wanted.
        asked: what is to be measured.
        measurer: trains and tests.
        estimate: told how long it takes.
    """

    artefact: Artefact
    last: Artefact | None
    train: LabelledImages | None
    asked: Asked
    measurer: Measurer
    estimate: Callable[[float], None] | None = None

    def rows(self) -> list[Row]:
        """Train and test, one row after the other."""
        own, *others = self._small_sets()
        ceilings = self._ceilings()
        for given in (own, *others):
            self.measurer.check(given)
        if ceilings is not None:
            ceilings.check()
        scoring = None
        if self.asked.scores and ceilings is not None:
            random = next(one for one in others if one.kind == RANDOM)
            scoring = Scoring(own, random, ceilings.given, self.measurer)
        expected = self._tell_estimate(own, others, ceilings, scoring)
        first = self.measurer.row(own)
        self._correct_estimate(first, expected)
        rows = [first, *map(self.measurer.row, others)]
        if ceilings is not None:
            rows.append(ceilings.row())
        if scoring is not None:
            rows[0] = dataclasses.replace(first, scores=scoring.scores(_by_role(rows)))
        return list(with_ceilings(rows))

    def _ceilings(self) -> Ceilings | None:
        """Return what measures the whole training set, where that is wanted."""
        if WHOLE not in self.asked.baselines or self.train is None:
            return None
        small = self.train.drawn(images_that_fit(self.train, self.artefact.totals.paper))
        whole = whole_set(self.train, self.asked.card, small, self.asked.ceiling_epochs)
        folder = Path(self.asked.data_dir or default_data_dir()).expanduser()
        return Ceilings(folder, whole, self.measurer)

    def _small_sets(self) -> list[TrainingSet]:
        """Return the sets of the artefact's size, the artefact itself first."""
        asked, size = self.asked, self.artefact.totals.paper
        own = dataclasses.replace(condensed(self.artefact, asked.card), note=asked.note)
        sets = [own, self._hard(own)] if own.labels.ndim > 1 else [own]
        if asked.inside is not None:
            inside = without_labels(own, self.artefact).taught_from_inside(asked.inside)
            stored = dataclasses.replace(own, name=f"{own.name}, stored labels")
            rest = [stored, self._hard(own)] if own.labels.ndim > 1 else [hard_labels(own)]
            sets = [inside, *rest]
        if asked.teacher is not None or asked.labels is not None:
            sets.append(self._own_taught(without_labels(own, self.artefact)))
        if self.last is not None:
            sets.append(condensed(self.last, asked.card))
        if self.train is None:
            return sets
        for name in asked.baselines:
            if name == RANDOM:
                unequal = not self.artefact.header.layout.is_equal
                drawn = random_set(self.train, size, asked.card, asked.seed, unequal=unequal)
                sets.append(drawn)
                if asked.teacher is not None:
                    sets.append(self._taught(drawn, asked.teacher))
            elif name == CODED:
                network = self.measurer.networks[0]
                sets.append(coded_set(self.train, size, asked.card, network, asked.seed))
            elif name != WHOLE:
                sets.append(self._coreset(name, self.train, size))
        return sets

    def _hard(self, own: TrainingSet) -> TrainingSet:
        """Return the set under hard labels, with the bytes that these take.

        A class that follows from the place of a row takes none, another a byte, or two.
        """
        hard, kept = hard_labels(own), without_labels(own, self.artefact).bytes
        moved = not torch.equal(hard.labels.cpu(), self.artefact.header.layout.class_of_row())
        if kept is not None and moved:
            kept += len(hard.labels) * (1 if own.labels.shape[1] <= 256 else 2)
        return dataclasses.replace(hard, bytes=kept)

    def _taught(self, given: TrainingSet, teacher: Teacher) -> TrainingSet:
        """Return random images with the labels of the teacher, or with what is kept of these."""
        plan, classes = self.asked.labels, len(self.artefact.header.class_names)
        if plan is None:
            return given.taught(teacher)
        stored = plan.of_images(teacher, given.card, len(given.labels), classes)
        return given.with_labels(stored, teacher.network.name)

    def _own_taught(self, given: TrainingSet) -> TrainingSet:
        """Return the set with the labels of the teacher, or with those that are kept of these."""
        plan, teacher = self.asked.labels, self.asked.teacher
        if plan is None:
            assert teacher is not None
            return given.taught(teacher)
        strategy = given.card.strategy(self.measurer.dataset)
        stored = plan.of_set(self.artefact, teacher, given.card, strategy)
        by = plan.header.teacher.network if plan.header else ""
        return given.with_labels(stored, teacher.network.name if teacher else by)

    def _coreset(self, name: str, train: LabelledImages, size: int) -> TrainingSet:
        compute = self.measurer.compute
        return coreset(
            name,
            train,
            size,
            self.asked.card,
            self.artefact,
            seed=self.asked.seed,
            device=str(compute.device),
            precision=compute.precision,
        )

    def _tell_estimate(
        self,
        own: TrainingSet,
        others: Sequence[TrainingSet],
        ceilings: Ceilings | None,
        scoring: Scoring | None,
    ) -> tuple[float, float]:
        """Say how long everything will take; return that of the first row, and of the rest."""
        measurer = self.measurer
        if self.estimate is None:
            return 0.0, 0.0
        first, rest = [], []
        for network in measurer.networks:
            first.append(Work(own, network, measurer.repeats))
            sets = [*others, *(scoring.further(network) if scoring else [])]
            rest += [Work(one, network, measurer.repeats) for one in sets]
            if ceilings is not None:
                rest.append(Work(ceilings.given, network, ceilings.missing(network)))
            if scoring is not None and scoring.has_learnt_labels:
                # the teacher
                rest.append(Work(scoring.whole, network, 1))
        forecast = Forecast(measurer)
        parts = forecast.seconds(first), forecast.seconds(rest)
        self.estimate(sum(parts))
        return parts

    def _correct_estimate(self, first: Row, expected: tuple[float, float]) -> None:
        """Say what is left, by what the first row took."""
        own, rest = expected
        if self.estimate is not None and own > 0 and rest > 0:
            taken = sum(result.seconds for result in first.results)
            self.estimate(rest * taken / own)


def condensed(artefact: Artefact, card: EvaluationCard) -> TrainingSet:
    """Return an artefact as a line of a comparison."""
    totals = artefact.totals
    return TrainingSet(
        f"{artefact.header.method} ({artefact.header.iterate} iterate)",
        "condensed",
        artefact.images,
        artefact.labels,
        card.drawing(artefact.synthetic.parametrization.variants(artefact.header.layout)),
        totals.images_per_class,
        totals.paper,
        totals.all,
    )


def without_labels(own: TrainingSet, artefact: Artefact) -> TrainingSet:
    """Return the set without labels that are stored: those of batches take their place."""
    if own.labels.ndim == 1 or own.bytes is None:
        return own
    kept = own.bytes - artefact.ledger.labels
    return dataclasses.replace(own, labels=own.labels.argmax(dim=1), bytes=kept)


def as_carried(artefact: Artefact, card: EvaluationCard, inside: Teacher | None) -> TrainingSet:
    """Return an artefact as a line whose labels are those of the teacher that it carries, if any.

    Args:
        artefact: the set.
        card: how networks are trained on it.
        inside: the teacher; None where there is none, or the card does not learn from one.
    """
    own = condensed(artefact, card)
    return own if inside is None else without_labels(own, artefact).taught_from_inside(inside)


def _by_role(rows: Sequence[Row]) -> dict[str, Row]:
    """Return the rows that robust scores are made of."""
    own = rows[0]
    hard = next((row for row in rows if row.labels == "hard"), own)
    return {"own": own, "hard": hard} | {
        row.kind: row for row in rows if row.kind in (RANDOM, WHOLE) and row.labels != "taught"
    }
