"""What the robust scores of a set need beside its own line, trained and put together.

Random real images get labels in the way of the set: class indices, or, beside learnt labels, what
a teacher says, one network of the same kind trained on all the real images: its softmax scores, or
under squared error its scores.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor

from attar.evaluation.measuring import Measurer
from attar.evaluation.ranking import Scores
from attar.evaluation.results import Result
from attar.evaluation.rows import Row, TrainingSet
from attar.networks import Network
from attar.training.cards import DSA
from attar.training.evaluation_card import EvaluationCard, renamed
from attar.training.predicting import trainer_of


@dataclasses.dataclass(frozen=True)
class Scoring:
    """The sets that robust scores are made of.

    Args:
        own: the condensed set as it is.
        random: random real images of as many bytes, with class indices.
        whole: all the real images.
        measurer: trains on them.
    """

    own: TrainingSet
    random: TrainingSet
    whole: TrainingSet
    measurer: Measurer

    def further(self, network: Network) -> list[TrainingSet]:
        """Return the sets that are trained on for the scores alone."""
        sets = [self.own, self.random]
        found = [one(each, network) for each in sets for one in (self.augmented, self.plain)]
        found = [each for each in found if each.card != self.own.card]
        return [self.random, *found] if self.has_learnt_labels else found

    def scores(self, rows: Mapping[str, Row]) -> tuple[Scores, ...]:
        """Return the scores, one per network.

        Args:
            rows: measured already: ``own``, ``hard``, ``random`` and ``whole``, each with the
                results of all networks.
        """
        return tuple(
            self._of(network, {name: _find(row, network) for name, row in rows.items()})
            for network in self.measurer.networks
        )

    def _of(self, network: Network, known: Mapping[str, Result]) -> Scores:
        measurer, own = self.measurer.only(network), known["own"]
        fair, random = self.random, known["random"]
        if self.has_learnt_labels:
            fair = dataclasses.replace(
                self.random,
                name=f"{self.random.name} with a teacher's labels",
                labels=self._taught(network),
            )
            (random,) = measurer.measure(fair)

        def measured(given: TrainingSet, already: Result) -> tuple[float, ...]:
            if given.card == self.own.card:
                return already.accuracies
            (result,) = measurer.measure(given)
            return result.accuracies

        return Scores(
            network.name,
            known["whole"].accuracies,
            known["hard"].accuracies,
            own.accuracies,
            random.accuracies,
            measured(self.augmented(self.own, network), own),
            measured(self.augmented(fair, network), random),
            measured(self.plain(self.own, network), own),
            measured(self.plain(fair, network), random),
            self.protocol(network),
        )

    def augmented(self, given: TrainingSet, network: Network) -> TrainingSet:
        """Return a set under its card, with DSA's augmentation where the card has none."""
        if self._augments(given.card, network):
            return given
        return _under(given, _renamed(given.card, "DSA augmentation", augment=DSA))

    def plain(self, given: TrainingSet, network: Network) -> TrainingSet:
        """Return a set under its card without any augmentation or mixing."""
        if not self._augments(given.card, network):
            return given
        return _under(given, _renamed(given.card, "no augmentation", augment="none", mixing="none"))

    def protocol(self, network: Network) -> str:
        """Say how the networks behind the scores were trained."""
        labels = "class indices"
        if self.has_learnt_labels:
            kind = "scores" if self.own.card.loss == "squared" else "softmax scores"
            labels = f"{kind} of one network trained on all real images"
        return (
            f"networks trained under {self.own.card.name} to the end, none selected; "
            f"all real images under {self.whole.card.name}; labels of random images: {labels}; "
            f"ARS from {self.augmented(self.own, network).card.name} and "
            f"{self.plain(self.own, network).card.name}"
        )

    @property
    def has_learnt_labels(self) -> bool:
        """Whether the set has learnt labels, so that a teacher is trained beside it."""
        return self.own.labels.ndim > 1

    def _augments(self, card: EvaluationCard, network: Network) -> bool:
        strategy = card.strategy(self.measurer.dataset, network.name)
        return strategy != "none" or card.mixing != "none"

    def _taught(self, network: Network) -> Tensor:
        """Return what a network trained on all the real images says of the random ones."""
        measurer, card = self.measurer, self.whole.card
        trainer = trainer_of(card, network, measurer.compute)
        key = measurer.key.fold("teacher", network.name)
        strategy = card.strategy(measurer.dataset, network.name)
        (tensors,) = trainer.fit(self.whole.images, self.whole.labels, card, strategy, [key])
        images = self.random.images
        assert isinstance(images, Tensor), "a small set is there as network inputs"
        scores = trainer.scores(tensors, images)
        # such scores are already label values of the size that the set's have
        return scores if card.loss == "squared" else torch.softmax(scores, dim=1)


def hard_labels(given: TrainingSet) -> TrainingSet:
    """Return a set whose learnt labels are replaced by the class of their largest value.

    One without these is the same, under another name: without the teacher that it carries.
    """
    learnt = given.labels.ndim > 1
    note = "argmax of each label" if learnt else ""
    return dataclasses.replace(
        given,
        name=f"{given.name}, hard labels",
        note="; ".join(filter(None, (given.note, note))),
        labels=given.labels.argmax(dim=1) if learnt else given.labels,
        own_labels=False,
    )


def _find(row: Row, network: Network) -> Result:
    return next(result for result in row.results if result.network == network.name)


def _renamed(card: EvaluationCard, said: str, **changes: str) -> EvaluationCard:
    return dataclasses.replace(card, name=renamed(card.name, said), **changes)


def _under(given: TrainingSet, card: EvaluationCard) -> TrainingSet:
    return dataclasses.replace(given, name=f"{given.name}, {card.name}", card=card)
