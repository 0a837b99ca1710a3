"""Distribution matching (DM) and its low-rank form (LoDM), with the authors' settings.

Source: the DM authors' commands; the low-rank plugin authors' recorded settings per dataset
and budget. A dataset that they did not use gets rank 2 and a learning rate of 1, as CIFAR-10 has
at 1 and 10 images per class; a budget that they did not use gets the settings of the nearest one
below it. A dataset is known by its name: that of the source, folder or file.
"""

from __future__ import annotations

from attar.methods.recipe import Recipe, published_network
from attar.methods.task import Task
from attar.objectives import DistributionMatching
from attar.optimisers import Optimiser
from attar.synthetic import LowRank, Pixels
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


def lodm(task: Task) -> Recipe:
    """Return LoDM: rank 2 factors started from noise, with the authors' exceptions."""
    rank, lr, augment, card = 2, 1.0, augmentation(task), "dsa-1000"
    if task.dataset == "mnist":
        if task.ipc >= 10:
            rank, augment, card = 8, "none", "dc-1000"
        else:
            augment = DSA
    elif task.dataset == "tiny_imagenet":
        rank, card = 4, "lodm-tiny-5000" if task.ipc >= 10 else card
    elif task.dataset == "cifar10" and task.ipc >= 50:
        rank, lr = 4, 1000.0
    return Recipe(
        objective=DistributionMatching(augment=augment),
        parametrization=LowRank(min(rank, *task.shape[1:])),
        optimisers={"images": Optimiser(lr, MOMENTUM)},
        iterations=ITERATIONS,
        init="noise",
        network=published_network(task),
        card=card,
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
