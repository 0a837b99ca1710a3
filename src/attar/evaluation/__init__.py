"""Evaluation: train fresh networks on a set, test them on real images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

# cards are plain data, which `attar cards` lists before torch could be imported
from attar.evaluation.cards import CARDS, EvaluationCard, card

if TYPE_CHECKING:
    from attar.evaluation.results import Result, evaluate_images
    from attar.evaluation.training import Trainer

__all__ = ["CARDS", "EvaluationCard", "Result", "Trainer", "card", "evaluate_images"]


def __getattr__(name: str) -> Any:
    if name == "Trainer":
        from attar.evaluation.training import Trainer

        return Trainer
    if name in ("Result", "evaluate_images"):
        from attar.evaluation import results

        return getattr(results, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
