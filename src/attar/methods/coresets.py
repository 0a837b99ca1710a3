"""Coreset selection: real images that are chosen and not updated, as the papers' first columns.

Source: the DC paper's comparison, whose figures the later papers repeat: a network is trained on
all images, herding and k-center look at its features class by class in Euclidean distance, and
what is chosen is evaluated as DC's own sets are. How long the network is trained it does not
say.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from attar.coresets import SELECTORS
from attar.methods import gradient
from attar.methods.distribution import random
from attar.methods.recipe import Recipe
from attar.methods.task import Task


def _chosen_by(name: str) -> Callable[[Task], Recipe]:
    """Return the recipe of a selector in `SELECTORS`, with the card of DC."""

    def recipe(task: Task) -> Recipe:
        card = gradient.dc(task).card
        return dataclasses.replace(random(task), init=SELECTORS[name].name, card=card)

    return recipe


herding = _chosen_by("herding")
forgetting = _chosen_by("forgetting")
kcenter = _chosen_by("kcenter")
