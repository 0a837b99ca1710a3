"""Real images that a trained network is sure of: Attar's own, without any update.

A network is trained on all real images. Where few images are kept, or coded until little is left of
them, those that it is sure of say more of their class. Its probabilities may be kept as labels,
too: a network learns more from these than from classes (Hinton et al., Distilling the Knowledge in
a Neural Network, 2015; chosen and labelled by such a network also Sun et al., On the Diversity and
Realism of Distilled Dataset, 2024).
"""

from __future__ import annotations

import dataclasses
import math

from attar.coresets import Confident
from attar.methods.distribution import random
from attar.methods.recipe import Recipe, published_network
from attar.methods.task import Task
from attar.methods.travelling import WIDTHS, travelling

# channels of the teacher: half of the network's own are trained three times as fast
WIDTH = 64


def teacher_of(task: Task) -> str:
    """Return the network that is trained to choose and to label; empty for the method's own."""
    network = published_network(task)
    return f"{network}:width={WIDTH}" if network.startswith("convnet") else ""


def confident(task: Task) -> Recipe:
    """Return real images that a teacher is sure of."""
    selector = Confident(teacher=teacher_of(task))
    return dataclasses.replace(random(task), init=selector.name, selector=selector)


def taught(task: Task) -> Recipe:
    """Return the same, with the probabilities that the teacher gives them as labels."""
    recipe = confident(task)
    optimisers = {**recipe.optimisers, "labels": recipe.leading}
    return dataclasses.replace(recipe, optimisers=optimisers, learned_labels=True)


def kd(task: Task) -> Recipe:
    """Return real images that a small teacher is sure of, with the teacher itself.

    It stands in the bytes of further images, so it is the narrower the fewer of these there are.
    """
    size = task.ipc * task.classes * math.prod(task.shape) * 4
    network = published_network(task)
    least = f"{network}:norm=batch,width={WIDTHS[-1]}" if network.startswith("convnet") else ""
    teacher = travelling(task.shape, task.classes, size) or least
    recipe = confident(task)
    selector = dataclasses.replace(recipe.start, teacher=teacher)  # pyright: ignore[reportArgumentType]
    return dataclasses.replace(recipe, selector=selector, carried="int8", card="kd")
