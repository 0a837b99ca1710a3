"""Training networks on a set of images, as the cards of the authors say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attar.lazy import importer

# cards are plain data, which `attar cards` lists before torch could be imported
from attar.training.cards import CARDS, EvaluationCard, card

if TYPE_CHECKING:
    from attar.training.trainer import Trainer

__all__ = ["CARDS", "EvaluationCard", "Trainer", "card"]

__getattr__ = importer(__name__, {"Trainer": "attar.training.trainer"})
