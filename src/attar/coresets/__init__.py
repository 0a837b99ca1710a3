"""Coreset selection: which real images to keep, as a set of their own or to start from."""

from attar.coresets.forgetting import forgetting_counts, most_forgotten
from attar.coresets.geometry import herding, kcenter
from attar.coresets.selectors import (
    SELECTORS,
    Chosen,
    Confident,
    Forgetting,
    Herding,
    KCenter,
    RandomImages,
    Selector,
    StudyingSelector,
)
from attar.coresets.study import Study, train

__all__ = [
    "SELECTORS",
    "Chosen",
    "Confident",
    "Forgetting",
    "Herding",
    "KCenter",
    "RandomImages",
    "Selector",
    "Study",
    "StudyingSelector",
    "forgetting_counts",
    "herding",
    "kcenter",
    "most_forgotten",
    "train",
]
