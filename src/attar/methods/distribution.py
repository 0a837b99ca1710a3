"""Distribution matching (DM), with the authors' settings.

Source: the DM authors' commands. A dataset that they did not use gets the settings of CIFAR-10; a
budget that they did not use those of the nearest one below it. A dataset is known by its name: that
of the source, folder or file.
"""

from __future__ import annotations

from attar.methods.recipe import Recipe, published_network
from attar.methods.task import Task
from attar.objectives import DistributionMatching
from attar.optimisers import Optimiser
from attar.synthetic import Pixels
from attar.training.cards import DSA, NOT_MIRRORED

MOMENTUM = 0.5
ITERATIONS = 20_000


def augmentation(task: Task) -> str:
    """Return the operations of DSA, without mirror images where these are other signs."""
    return DSA.replace("_flip", "") if task.dataset in NOT_MIRRORED else DSA


def dm(task: Task) -> Recipe:
    """Return DM: pixels started from real images, SGD at 1 (10 for CIFAR-10 from 100 on)."""
    lr = 10.0 if task.ipc >= 100 and task.dataset != "cifar100" else 1.0
    return Recipe(
        objective=DistributionMatching(augment=augmentation(task)),
        parametrization=Pixels(),
        optimisers={"images": Optimiser(lr, MOMENTUM)},
        iterations=ITERATIONS,
        init="real",
        network=published_network(task),
        card="dsa-1000",
    )


def random(task: Task) -> Recipe:
    """Return real images drawn at random, without any update: the baseline of every table."""
    recipe = dm(task)
    return Recipe(
        objective=recipe.objective,
        parametrization=recipe.parametrization,
        optimisers=recipe.optimisers,
        iterations=0,
        init="real",
        network=recipe.network,
        card=recipe.card,
    )
