"""SRe2L and CDA, with their authors' settings.

Source: their scripts for ImageNet-1K, Tiny-ImageNet and CIFAR-100. They have a ResNet-18; here it
is the ConvNet of the other methods with batch normalization, from 96 pixels on a ResNet-18. CDA has
settings for Tiny-ImageNet and ImageNet alone.
"""

from __future__ import annotations

import dataclasses

from attar.augmentation.patches import LARGE
from attar.methods.recipe import Recipe, published_network
from attar.methods.task import Task
from attar.objectives import StatisticsMatching
from attar.optimisers import Optimiser
from attar.shapes import is_picture
from attar.synthetic import Pixels

# height and width up to which images are those of CIFAR, which are not cropped
SMALL = 32


def _network(task: Task) -> str:
    if is_picture(task.shape) and min(task.shape[1:]) >= LARGE:
        return "timm:resnet18"
    return f"{published_network(task)}:norm=batch"


def sre2l(task: Task) -> Recipe:
    """Return SRe2L: pixels from noise, kept between black and white, by Adam along a cosine."""
    side = min(task.shape[1:], default=1)
    small, tiny = side <= SMALL, SMALL < side < LARGE
    objective = StatisticsMatching(bn=1.0 if tiny else 0.01, roll=32)
    if small:
        objective = dataclasses.replace(objective, least_area=1.0, flip=False, roll=4)
    rate = 0.1 if tiny else 0.25
    adam = Optimiser(rate, kind="adam", schedule="cosine", beta=0.5, beta2=0.9)
    return Recipe(
        objective=objective,
        parametrization=Pixels(),
        optimisers={"images": adam},
        iterations=1000 if small else 4000,
        init="noise",
        network=_network(task),
        card="sre2l",
        bounded=True,
    )


def cda(task: Task) -> Recipe:
    """Return CDA: the same, on crops that are whole images first and smaller from step to step."""
    recipe = sre2l(task)
    side = min(task.shape[1:], default=1)
    changes = {"ease": 1.0, "least_area": 0.08, "flip": True}
    if side < LARGE:
        changes["bn"] = 0.05
    objective = dataclasses.replace(recipe.objective, **changes)  # pyright: ignore[reportArgumentType]
    adam = recipe.leading
    assert adam is not None
    rate = 0.4 if side < LARGE else adam.lr
    optimisers = {"images": dataclasses.replace(adam, lr=rate)}
    return dataclasses.replace(recipe, objective=objective, optimisers=optimisers, iterations=4000)
