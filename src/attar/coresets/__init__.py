"""Coreset selection: which real images to keep, as a set of their own or to start from."""

from attar.coresets.crops import Crops
from attar.coresets.forgetting import forgetting_counts, most_forgotten
from attar.coresets.geometry import herding, kcenter
from attar.coresets.selectors import (
    Chosen,
    Forgetting,
    Herding,
    KCenter,
    RandomImages,
    Selector,
    StudyingSelector,
)
from attar.coresets.taught import Confident, TaughtSelector
from attar.registry import Registry
from attar.teachers.study import Study, train

SELECTORS: Registry[type[Selector]] = Registry(
    "selector",
    lambda thing: isinstance(thing, type) and issubclass(thing, Selector),
    (RandomImages, Herding, Forgetting, KCenter, Confident, Crops),
)

__all__ = [
    "SELECTORS",
    "Chosen",
    "Confident",
    "Crops",
    "Forgetting",
    "Herding",
    "KCenter",
    "RandomImages",
    "Selector",
    "Study",
    "StudyingSelector",
    "TaughtSelector",
    "forgetting_counts",
    "herding",
    "kcenter",
    "most_forgotten",
    "train",
]
