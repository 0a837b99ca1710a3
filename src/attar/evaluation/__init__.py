"""Evaluation: train fresh networks on a set, test them on real images."""

from __future__ import annotations

from typing import TYPE_CHECKING

# cards are plain data, which `attar cards` lists before torch could be imported
from attar.evaluation.cards import CARDS, EvaluationCard, card
from attar.lazy import importer

if TYPE_CHECKING:
    from attar.evaluation.results import Result, evaluate_images
    from attar.evaluation.training import Trainer

__all__ = ["CARDS", "EvaluationCard", "Result", "Trainer", "card", "evaluate_images"]


_HOMES = {
    "Result": "attar.evaluation.results",
    "Trainer": "attar.evaluation.training",
    "evaluate_images": "attar.evaluation.results",
}
__getattr__ = importer(__name__, _HOMES)
