"""Evaluation: train fresh networks on a set, test them on real images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attar.lazy import importer

if TYPE_CHECKING:
    from attar.evaluation.results import Result, evaluate_images

__all__ = ["Result", "evaluate_images"]


_HOMES = {"Result": "attar.evaluation.results", "evaluate_images": "attar.evaluation.results"}
__getattr__ = importer(__name__, _HOMES)
