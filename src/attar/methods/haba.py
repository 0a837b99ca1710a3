"""HaBa: trajectory matching on bases that shared hallucinators turn into images.

Source: Liu et al. 2022, Dataset Distillation via Factorization, and the authors' commands, all of
them of CIFAR-10. For another dataset the settings of the trajectories are those of MTT, which their
README says most of theirs follow.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from attar.methods import trajectory
from attar.methods.recipe import Recipe
from attar.methods.task import Task
from attar.methods.trajectory import Setting
from attar.objectives import Contrast, WeightedSum
from attar.optimisers import Optimiser
from attar.shapes import least_side
from attar.synthetic import Hallucinated

ITERATIONS = 15_000
# learning rate and momentum of bases and hallucinators, momentum of the step size and its least
LR, MOMENTUM, MOMENTUM_LR, LEAST_LR = 100, 0.95, 0.9, 0.001
# weight of the likeness of two images of one base
APART = 0.1
# by images per class, of CIFAR-10
TABLE: dict[int, Setting] = {
    1: Setting(50, 2, 2, LR, 1e-7, zca=True),
    10: Setting(30, 2, 20, LR, 1e-5, lr_teacher=0.001, zca=True),
    50: Setting(30, 2, 20, LR, 1e-5, zca=True),
}


def setting(dataset: str, ipc: int, size: int = 32) -> Setting:
    """Return the settings of the trajectories for a dataset, a memory and a side in pixels."""
    if dataset != "cifar10":
        return dataclasses.replace(trajectory.setting(dataset, ipc, size), lr=LR)
    return TABLE[max(known for known in TABLE if known <= max(1, ipc))]


def haba(task: Task) -> Recipe:
    """Return HaBa: five hallucinators, drawn; bases started from real images."""
    side = least_side(task.shape)
    own = setting(task.dataset, task.ipc, side)
    matching = own.objective(task, "checkpointed")
    matching = dataclasses.replace(matching, one_variant=True, lr_least=LEAST_LR)
    apart = Contrast(augment=matching.augment)
    stored = Optimiser(LR, MOMENTUM)
    return dataclasses.replace(
        own.recipe(task, "checkpointed"),
        objective=WeightedSum((matching, apart), (1.0, APART)),
        # kernels of the published size, or what fits into smaller images
        parametrization=Hallucinated(kernel=min(3, side)),
        optimisers={
            "images": stored,
            "hallucinators": stored,
            "learned_lr": Optimiser(own.lr_lr, MOMENTUM_LR),
        },
        iterations=ITERATIONS,
        card="haba",
    )


def whitening(dataset: str, ipc: int) -> str:
    """Return the whitening for a dataset by its name, or by that of its folder or file."""
    name = Path(dataset.rpartition(":")[2]).stem
    return "mtt" if name == "cifar10" else trajectory.whitening(dataset, ipc)
