"""The baseline of real images in a good picture codec, as many as fit into the bytes of a set.

How they are kept is chosen on held-out training images (`attar.condensing.codec_choice`).
"""

from __future__ import annotations

from attar.condensing.codec_choice import Trial, ways
from attar.condensing.condense import condense
from attar.data import LabelledImages, Splits
from attar.errors import BadRequest
from attar.evaluation.rows import TrainingSet
from attar.methods import CODED
from attar.networks import Network
from attar.rng import Key
from attar.storage import storage_text
from attar.training.cards import EvaluationCard

# what its row is called
NAME = "coded real images"


def coded_set(
    train: LabelledImages, size: int, card: EvaluationCard, network: Network, seed: int
) -> TrainingSet:
    """Return random real images in a picture codec, as many as ``size`` bytes hold.

    Args:
        train: the real images, with the preprocessing of the artefact.
        size: bytes of all images together.
        card: how networks are trained on them.
        network: whose features the proxy uses, drawn at random.
        seed: of the images and the proxy.

    Raises:
        BadRequest: rows that no picture codec keeps, or a size below one coded image of each class.
    """
    choice = ways(train, size, network, Key(seed).fold(CODED), f"--baselines {CODED}")
    refused = ""
    for trial in choice.trials:
        try:
            return _filled(trial, choice.told(trial), train, size, card, seed)
        except BadRequest as error:
            # what a picture takes beside its images was too little in the estimate
            refused = refused or error.text
    raise BadRequest(
        f"--baselines {CODED}: {size} bytes hold no coded image of each class "
        f"({refused or 'not one way fits'}); leave it out, or make a larger set"
    )


def _filled(
    best: Trial, note: str, train: LabelledImages, size: int, card: EvaluationCard, seed: int
) -> TrainingSet:
    """Return as many of all training images as fit, kept in the best way."""
    made = condense(
        Splits(train, None, source=train.name),
        method="random",
        form=best.form,
        storage=storage_text(best.storage),
        max_bytes=size,
        count="paper",
        validation=0.0,
        seed=seed,
    )
    totals = made.totals
    return TrainingSet(
        NAME,
        "coreset",
        made.images,
        made.labels,
        card,
        totals.images_per_class,
        totals.paper,
        totals.all,
        note,
    )
