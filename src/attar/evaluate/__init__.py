"""Evaluation: train fresh networks on a set, test them on real images."""

from attar.evaluate.cards import CARDS, EvaluationCard, card
from attar.evaluate.evaluation import Result, evaluate_images
from attar.evaluate.training import Trainer

__all__ = ["CARDS", "EvaluationCard", "Result", "Trainer", "card", "evaluate_images"]
