"""A card as its authors use it on one artefact: exceptions, and the learnt learning rate."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from attar.artefact.artefact import Artefact
from attar.errors import BadRequest
from attar.training.evaluation_card import EvaluationCard

# where an artefact's provenance says what it was trained with, and how its images were made
LEARNT_LR = "learned_lr"
LEARNT_UPDATES = "learned_updates"
FACTOR = "factor"
# what the values of a learnt label add up to at least where they are taken for probabilities
_LEAST_SUM = 0.5


def fitted(card: EvaluationCard, artefact: Artefact, dataset: str) -> EvaluationCard:
    """Return a card with what an artefact decides.

    The authors' exceptions for its dataset and form are applied, and rows that are no pictures are
    not augmented, which the name then says. A card that trains at the
    learnt learning rate takes that of the artefact (``learned_lr``), which its name then says, and
    keeps its own where the artefact has none, or one for each step.

    Args:
        card: as it stands in the list.
        artefact: what is evaluated.
        dataset: name of its data.

    Raises:
        BadRequest: the artefact's learning rate is not a positive number, the card trains by
            learnt steps and the artefact has none, or the card's loss is cross-entropy and the
            artefact's labels are centred values.
    """
    _refuse_centred(card, artefact)
    tiled = artefact.synthetic.parametrization.per_stored > 1 or _above_one(
        artefact.header.provenance.get(FACTOR)
    )
    card = card.suited(artefact.modality).fitted(
        dataset, tiled=tiled, per_class=artefact.totals.images_per_class
    )
    return with_learnt(card, _learnt(artefact))


def with_learnt(card: EvaluationCard, learned: Mapping[str, Tensor]) -> EvaluationCard:
    """Return a card with the step sizes or the updates that were learnt with a set.

    Args:
        card: takes them where it trains at a learnt learning rate, by learnt steps or for learnt
            updates.
        learned: what was learnt; ``learned_lr`` is one for all steps, N for a training of N, or
            E×N for E epochs of N.

    Raises:
        BadRequest: the card trains by learnt steps, and there are none; or one is not positive.
    """
    learnt, updates = learned.get(LEARNT_LR), learned.get(LEARNT_UPDATES)
    if card.learnt_updates and updates is not None:
        return card.with_updates(max(1, round(updates.item())))
    if card.learnt_steps:
        if learnt is None or learnt.ndim != 2 or learnt.numel() == 0:
            raise BadRequest(
                f"--card {card.name} trains by the steps that were learnt with a set, and this one "
                "has none; take another card, such as --card dsa-1000, or a set of --method dd"
            )
        return card.with_rates(learnt.tolist())
    # one for each step is none for a training of any length
    if card.learnt_lr and learnt is not None and learnt.numel() == 1:
        return card.with_lr(learnt.item())
    return card


def _learnt(artefact: Artefact) -> Mapping[str, Tensor]:
    """Return what was learnt; in files of earlier versions the provenance has the step size."""
    before = artefact.header.provenance.get(LEARNT_LR)
    if LEARNT_LR not in artefact.learned and isinstance(before, int | float):
        return {LEARNT_LR: torch.tensor(float(before), dtype=torch.float64)}
    return artefact.learned


def _refuse_centred(card: EvaluationCard, artefact: Artefact) -> None:
    """Refuse cross-entropy against centred labels, which has no least value."""
    if card.loss != "cross_entropy" or artefact.labels.ndim == 1:
        return
    least = float(artefact.labels.sum(dim=1).min())
    if least < _LEAST_SUM:
        raise BadRequest(
            f"--card {card.name} trains by cross-entropy, and the learnt labels of this set are no "
            f"probabilities (the values of one add up to {least:.2g}, not to 1); take a card of "
            "squared error: --card frepo"
        )


def _above_one(value: object) -> bool:
    return isinstance(value, int | float) and value > 1
