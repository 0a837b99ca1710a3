"""Gradient matching (DC, DSA) and its low-rank forms (LoDC, LoDSA), with the authors' settings.

Source: the DC and DSA authors' commands and loop table; the low-rank plugin authors' recorded
settings per dataset and budget. A dataset that they did not use gets those of CIFAR-10; a budget
that they did not use gets loops between those of its neighbours, and otherwise the settings of the
nearest one below it. One iteration of the papers is one network, that is
`GradientMatching.outer` updates of the set.
"""

from __future__ import annotations

from attar.methods.recipe import Recipe, published_network
from attar.methods.task import Task
from attar.objectives import GradientMatching
from attar.optimisers import Optimiser
from attar.synthetic import LowRank, Parametrization, Pixels
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


def _recipe(
    task: Task, augment: str, parametrization: Parametrization, init: str, card: str
) -> Recipe:
    outer, inner = loops(task.ipc)
    return Recipe(
        objective=GradientMatching(augment=augment, outer=outer, inner=inner),
        parametrization=parametrization,
        optimisers={"images": Optimiser(LR, MOMENTUM)},
        iterations=NETWORKS * outer,
        init=init,
        network=published_network(task),
        card=card,
    )


def _card(task: Task) -> str:
    """Return the authors' card for a set made without augmentation."""
    return "dc-1000" if task.dataset in ("mnist", "digits") else "dc-300"


def _rank(task: Task) -> int:
    return min(4 if task.dataset == "tiny_imagenet" else 2, *task.shape[1:])


def dc(task: Task) -> Recipe:
    """Return DC: pixels started from noise."""
    return _recipe(task, "none", Pixels(), "noise", _card(task))


def dsa(task: Task) -> Recipe:
    """Return DSA: pixels started from real images; no mirrored digits."""
    augment = DSA.replace("_flip", "") if task.dataset in NOT_MIRRORED else DSA
    return _recipe(task, augment, Pixels(), "real", "dsa-1000")


def lodc(task: Task) -> Recipe:
    """Return LoDC: factors started from noise.

    The card is that of the authors' code; their paper speaks of 1,000 updates (``dc-1000``).
    """
    return _recipe(task, "none", LowRank(_rank(task)), "noise", _card(task))


def lodsa(task: Task) -> Recipe:
    """Return LoDSA: factors started from noise, with the authors' exceptions.

    They mirror MNIST's digits, and at 50 images per class they use them unaugmented.
    """
    rank, augment, card = _rank(task), DSA, "dsa-1000"
    if task.dataset == "mnist" and task.ipc >= 50:
        rank, augment, card = 8, "none", "plain-1000"
    elif task.dataset in NOT_MIRRORED and task.dataset != "mnist":
        augment = DSA.replace("_flip", "")
    elif task.dataset == "cifar100" and task.ipc >= 10:
        rank = 8
    return _recipe(task, augment, LowRank(rank), "noise", card)
