"""Gradient matching (DC, DSA), with the authors' settings.

Source: the DC and DSA authors' commands and loop table. A dataset that they did not use gets those
of CIFAR-10; a budget that they did not use gets loops between those of its neighbours. One
iteration of the papers is one network, that is `GradientMatching.outer` updates of the set.
"""

from __future__ import annotations

from attar.methods.recipe import Recipe, published_network
from attar.methods.task import Task
from attar.objectives import GradientMatching
from attar.optimisers import Optimiser
from attar.synthetic import Pixels
from attar.training.cards import DSA, NOT_MIRRORED

MOMENTUM = 0.5
LR = 0.1
NETWORKS = 1000
# outer and inner loops by images per class: the DC authors' table and, for 100, their advice
LOOPS = {1: (1, 1), 10: (10, 50), 20: (20, 25), 30: (30, 20), 40: (40, 15), 50: (50, 10)}
LOOPS |= {100: (100, 2)}


def loops(ipc: int) -> tuple[int, int]:
    """Return outer updates and inner epochs for a memory in full images per class.

    Between two entries of the published table both are interpolated linearly and rounded; above
    its last entry that one holds.
    """
    if ipc >= max(LOOPS):
        return LOOPS[max(LOOPS)]
    below = max(known for known in LOOPS if known <= ipc)
    above = min(known for known in LOOPS if known > ipc)
    share = (ipc - below) / (above - below)
    outer, inner = (
        round(low + share * (high - low))
        for low, high in zip(LOOPS[below], LOOPS[above], strict=True)
    )
    return outer, inner


def _recipe(task: Task, augment: str, init: str, card: str) -> Recipe:
    outer, inner = loops(task.ipc)
    return Recipe(
        objective=GradientMatching(augment=augment, outer=outer, inner=inner),
        parametrization=Pixels(),
        optimisers={"images": Optimiser(LR, MOMENTUM)},
        iterations=NETWORKS * outer,
        init=init,
        network=published_network(task),
        card=card,
    )


def _card(task: Task) -> str:
    """Return the authors' card for a set made without augmentation."""
    return "dc-1000" if task.dataset in ("mnist", "digits") else "dc-300"


def dc(task: Task) -> Recipe:
    """Return DC: pixels started from noise."""
    return _recipe(task, "none", "noise", _card(task))


def dsa(task: Task) -> Recipe:
    """Return DSA: pixels started from real images; no mirrored digits."""
    augment = DSA.replace("_flip", "") if task.dataset in NOT_MIRRORED else DSA
    return _recipe(task, augment, "real", "dsa-1000")
