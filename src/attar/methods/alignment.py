"""CAFE, by itself and with siamese augmentation, with the authors' settings.

Source: Wang et al., CAFE: Learning to Condense Dataset by Aligning Features, 2022, and their code.
They count networks, 2,000 of them, and how many updates one serves is found on the way; ten is the
least, so that there are 20,000 updates here. Their learning rate halves at networks 1,200, 1,600
and 1,800; here after the same shares of the updates.
"""

from __future__ import annotations

from attar.methods.distribution import augmentation
from attar.methods.recipe import Recipe, published_network
from attar.methods.task import Task
from attar.objectives import FeatureAlignment
from attar.objectives.alignment import WATCHED
from attar.optimisers import Optimiser
from attar.synthetic import Pixels
from attar.training.evaluation_card import MNIST

MOMENTUM = 0.5
LR = 0.1
NETWORKS = 2000


def _recipe(task: Task, augment: str, card: str) -> Recipe:
    return Recipe(
        objective=FeatureAlignment(augment=augment),
        parametrization=Pixels(),
        optimisers={"images": Optimiser(LR, MOMENTUM, schedule="late_halving")},
        iterations=NETWORKS * WATCHED,
        init="noise",
        network=published_network(task),
        card=card,
    )


def cafe(task: Task) -> Recipe:
    """Return CAFE: pixels started from noise, evaluated as DC's, for 600 epochs."""
    return _recipe(task, "none", "dc-1000" if task.dataset in MNIST else "cafe-600")


def cafe_dsa(task: Task) -> Recipe:
    """Return CAFE with siamese augmentation; no mirrored digits."""
    return _recipe(task, augmentation(task), "dsa-1000")
