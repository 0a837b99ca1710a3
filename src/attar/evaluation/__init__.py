"""Evaluation: train fresh networks on a set, test them on real images."""

from attar.evaluation.cards import CARDS, EvaluationCard, card
from attar.evaluation.results import Result, evaluate_images
from attar.evaluation.training import Trainer

__all__ = ["CARDS", "EvaluationCard", "Result", "Trainer", "card", "evaluate_images"]
