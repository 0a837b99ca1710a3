"""RDED: pictures of the crops of real images that a teacher is surest of, and its labels.

Source: Sun et al., On the Diversity and Realism of Distilled Dataset: An Efficient Dataset
Distillation Paradigm, 2024, with the settings of the authors' scripts. They have teachers of their
own; left out, one is trained here, in minutes.
"""

from __future__ import annotations

import dataclasses

from attar.coresets import Crops
from attar.methods.confident import taught, teacher_of
from attar.methods.recipe import Recipe
from attar.methods.task import Task


def rded(task: Task) -> Recipe:
    """Return RDED."""
    selector = Crops(teacher=teacher_of(task))
    return dataclasses.replace(taught(task), init=selector.name, selector=selector, card="rded")
