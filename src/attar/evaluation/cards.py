"""Evaluation cards: frozen recipes for training a network on a condensed set.

Source: the evaluation loop of the DC authors' code, which every table of the field builds on.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from attar.errors import BadRequest, unknown

DSA = "color_crop_cutout_flip_scale_rotate"
# A mirrored digit is another sign, so the papers drop the flip there.
NOT_MIRRORED = ("mnist", "svhn", "digits")


@dataclass(frozen=True)
class EvaluationCard:
    """How a network is trained from scratch.

    SGD with one drop of the learning rate: after the epoch of index ``epochs // 2 + 1``, counted
    from 0, it is divided by ten and the momentum starts anew. As in the authors' loop, one more
    epoch is run than the card's name says. The loss is the mean cross-entropy.

    Args:
        name: as on the command line.
        summary: one line for people.
        epochs: passes over the condensed set.
        augment: siamese operations joined by ``_``; ``dc`` for the DC authors' own rule;
            ``none``.
        lr: learning rate before the drop.
        momentum: of SGD.
        weight_decay: of SGD.
        batch: images per update.
    """

    name: str
    summary: str
    epochs: int
    augment: str
    lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    batch: int = 256

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise BadRequest(f"--epochs {self.epochs}: at least 1 is needed")

    def strategy(self, dataset: str) -> str:
        """Return the augmentation for a dataset by name: no mirroring of digits."""
        if self.augment == "dc":
            return "dc" if dataset in ("mnist", "digits") else "none"
        if dataset in NOT_MIRRORED:
            return "_".join(part for part in self.augment.split("_") if part != "flip") or "none"
        return self.augment

    def describe(self) -> dict[str, Any]:
        """Return the card as a plain dictionary."""
        return dataclasses.asdict(self)


CARDS = {
    card.name: card
    for card in (
        EvaluationCard("dc-300", "DC: 300 epochs, no augmentation but on digits", 300, "dc"),
        EvaluationCard("dc-1000", "DC on digits; LoDC as its paper says: 1000 epochs", 1000, "dc"),
        EvaluationCard("plain-1000", "LoDSA on MNIST at 50: no augmentation", 1000, "none"),
        EvaluationCard("dsa-1000", "DSA, DM, LoDM: 1000 epochs with DSA augmentation", 1000, DSA),
        EvaluationCard("lodm-tiny-5000", "LoDM on Tiny-ImageNet at 10: 5000 epochs", 5000, DSA),
    )
}


def card(name: str, epochs: int | None = None) -> EvaluationCard:
    """Return a card by name, with another number of epochs where one is given.

    Raises:
        BadRequest: an unknown card, or fewer than one epoch.
    """
    if name not in CARDS:
        raise unknown("card", name, CARDS)
    chosen = CARDS[name]
    if epochs is None or epochs == chosen.epochs:
        return chosen
    return dataclasses.replace(chosen, name=f"{name} (epochs {epochs})", epochs=epochs)
