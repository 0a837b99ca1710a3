"""A memory of several artefacts as one set to train on, its classes numbered in their order."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from attar.artefact.artefact import Artefact, preprocessing_tensors
from attar.evaluation.rows import TrainingSet
from attar.training import card as find_card
from attar.training.evaluation_card import EvaluationCard
from attar.training.fitting import fitted

# centred labels add up to nothing, others to 1
_CENTRED = 0.5


@dataclass(frozen=True)
class Replay:
    """The artefacts of a memory, in the order in which they arrived.

    Each holds its own classes; where several hold a class of one name, it is one class.
    """

    parts: tuple[Artefact, ...]

    @property
    def class_names(self) -> list[str]:
        """Of all classes seen."""
        return list(dict.fromkeys(name for one in self.parts for name in one.header.class_names))

    @property
    def paper_bytes(self) -> int:
        """Images or factors, as the papers count."""
        return sum(part.totals.paper for part in self.parts)

    @property
    def bytes(self) -> int:
        """Everything that is kept; what all parts share, such as a whitening, once."""
        shared = preprocessing_tensors(self.parts[0].preprocessing).values()
        once = sum(one.numel() * one.element_size() for one in shared)
        return sum(part.nbytes for part in self.parts) - once * (len(self.parts) - 1)

    @property
    def leading(self) -> Artefact:
        """The part that a card is fitted to: one with learnt labels, else the newest."""
        learnt = [part for part in self.parts if part.header.learned_labels]
        return (learnt or self.parts)[-1]

    def card(
        self, name: str | None, epochs: int | None, updates: int | None, dataset: str
    ) -> EvaluationCard:
        """Return how networks are trained on it.

        Args:
            name: of the card; None for that of the leading part.
            epochs: in place of the card's.
            updates: likewise.
            dataset: name of the data.
        """
        name = name or self.leading.header.card
        return fitted(find_card(name, epochs, updates), self.leading, dataset)

    def training_set(self, card: EvaluationCard, images_per_class: int | None) -> TrainingSet:
        """Return images and labels of all classes seen."""
        return TrainingSet(
            "memory",
            "condensed",
            torch.cat([part.images for part in self.parts]),
            self._labels(centred=card.loss == "squared"),
            card,
            images_per_class,
            self.paper_bytes,
            self.bytes,
        )

    def _labels(self, centred: bool) -> Tensor:
        """Return class indices; label values of all classes where a part has learnt ones."""
        names, found = self.class_names, []
        learnt = any(part.header.learned_labels for part in self.parts)
        for part in self.parts:
            places = torch.tensor([names.index(name) for name in part.header.class_names])
            if learnt:
                found.append(_widened(part.labels, places, len(names), centred))
            else:
                found.append(places[part.labels])
        return torch.cat(found)


def _widened(labels: Tensor, places: Tensor, total: int, centred: bool) -> Tensor:
    """Return label values of a part's classes as values of all: nothing is said of the others.

    Centred labels are one-hot minus 1/K over √(K/10) where nothing was learnt (Zhou et al. 2022):
    they are taken back from the K of the part, and made again with the K of all.

    Args:
        labels: N class indices or N×K label values of the part.
        places: of its K classes among all.
        total: number of all.
        centred: whether the network learns centred labels.
    """
    own = len(places)
    if labels.is_floating_point():
        values = labels
        if float(values.sum(dim=1).mean()) < _CENTRED:
            values = values * math.sqrt(own / 10) + 1 / own
    else:
        values = functional.one_hot(labels, own).float()
    wide = torch.zeros(len(values), total).index_copy_(1, places, values)
    return (wide - 1 / total) / math.sqrt(total / 10) if centred else wide
