"""A card as its authors use it on one artefact: exceptions, and the learnt learning rate."""

from __future__ import annotations

from attar.artefact.artefact import Artefact
from attar.errors import BadRequest
from attar.training.evaluation_card import EvaluationCard

# where an artefact's provenance says what it was trained with, and how its images were made
LEARNT_LR = "learned_lr"
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
        BadRequest: the artefact's learning rate is not a positive number, or the card's loss is
            cross-entropy and the artefact's labels are centred values.
    """
    _refuse_centred(card, artefact)
    tiled = artefact.synthetic.parametrization.per_stored > 1 or _above_one(
        artefact.header.provenance.get(FACTOR)
    )
    card = card.suited(artefact.modality).fitted(
        dataset, tiled=tiled, per_class=artefact.totals.images_per_class
    )
    learnt = _learnt_lr(artefact)
    if card.learnt_lr and isinstance(learnt, float | int):
        return card.with_lr(float(learnt))
    return card


def _learnt_lr(artefact: Artefact) -> object:
    """Return the learnt learning rate; in files of earlier versions the provenance has it."""
    found = artefact.learned.get(LEARNT_LR)
    if found is None:
        return artefact.header.provenance.get(LEARNT_LR)
    # one for each step is none for a training of any length
    return found.item() if found.numel() == 1 else None


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
