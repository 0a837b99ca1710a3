"""Trajectory matching: MTT, and MTT in constant memory, as published.

Source: the MTT authors' commands, one per dataset and budget; for low-rank factors the plugin
authors' one recorded setting (CIFAR-10, one image per class), for every dataset and budget.
TESLA is MTT's table with the gradient of Cui et al. 2023. A dataset that the MTT authors did not
use gets the settings of CIFAR-10, without whitening; images of 128 pixels and more those of the
subsets of ImageNet. A budget that they did not use gets the settings of the nearest one below it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from attar.methods.recipe import Recipe, published_network
from attar.methods.task import Task
from attar.objectives import TrajectoryMatching
from attar.optimisers import Optimiser
from attar.shapes import is_picture, least_side
from attar.synthetic import Pixels
from attar.training.cards import DSA, NOT_MIRRORED

MOMENTUM = 0.5
ITERATIONS = 5000


@dataclass(frozen=True)
class Setting:
    """One row of the authors' table.

    Args:
        steps: inner steps.
        expert_epochs: epochs of the expert that they match.
        max_start: the epoch to start from is below this.
        lr: learning rate of the images.
        lr_lr: of the learnt step size.
        lr_teacher: what that starts from.
        batch: synthetic images per inner step; 0 for all.
        zca: whether images are whitened.
        depth: of the ConvNet, where it is not the usual one.
    """

    steps: int
    expert_epochs: int
    max_start: int
    lr: float
    lr_lr: float
    lr_teacher: float = 0.01
    batch: int = 0
    zca: bool = False
    depth: int | None = None

    def objective(self, task: Task, unroll: str) -> TrajectoryMatching:
        """Return what is matched."""
        return TrajectoryMatching(
            self.steps,
            self.expert_epochs,
            self.max_start,
            self.batch,
            DSA.replace("_flip", "") if task.dataset in NOT_MIRRORED else DSA,
            self.lr_teacher,
            unroll,
        )

    def recipe(self, task: Task, unroll: str) -> Recipe:
        """Return the recipe of pixels started from real images."""
        return Recipe(
            objective=self.objective(task, unroll),
            parametrization=Pixels(),
            optimisers={
                "images": Optimiser(self.lr, MOMENTUM),
                "learned_lr": Optimiser(self.lr_lr, MOMENTUM),
            },
            iterations=ITERATIONS,
            init="real",
            network=published_network(task)
            if self.depth is None or not is_picture(task.shape)
            else f"convnet{self.depth}",
            card="mtt",
        )


# by dataset and images per class
TABLE: dict[str, dict[int, Setting]] = {
    "cifar10": {
        1: Setting(50, 2, 2, 100, 1e-7, zca=True),
        10: Setting(30, 2, 20, 100, 1e-5, lr_teacher=0.001, zca=True),
        50: Setting(30, 2, 40, 1000, 1e-5, lr_teacher=0.001),
    },
    "cifar100": {
        1: Setting(20, 3, 20, 1000, 1e-5, zca=True),
        10: Setting(20, 2, 20, 1000, 1e-5),
        50: Setting(80, 2, 40, 1000, 1e-5, batch=125, zca=True),
    },
    "tiny_imagenet": {
        1: Setting(10, 2, 10, 10_000, 1e-4),
        10: Setting(20, 2, 40, 10_000, 1e-4, batch=200),
        50: Setting(20, 2, 40, 10_000, 1e-4, batch=300, depth=4),
    },
    # the authors' own command says a learning rate of 1000, their recorded setting 1e5
    "imagenet": {
        1: Setting(20, 2, 10, 1000, 1e-6),
        10: Setting(20, 2, 10, 1000, 1e-6, batch=20),
    },
}
LOW_RANK = Setting(50, 2, 5, 1000, 1e-7, batch=80)


def setting(dataset: str, ipc: int, size: int = 32) -> Setting:
    """Return the row for a dataset, a memory in images per class, and a side in pixels."""
    rows = TABLE.get(dataset, TABLE["imagenet" if size >= 128 else "cifar10"])
    return rows[max(known for known in rows if known <= max(1, ipc))]


def mtt(task: Task) -> Recipe:
    """Return MTT: pixels started from real images, by the exact gradient."""
    return setting(task.dataset, task.ipc, least_side(task.shape)).recipe(task, "checkpointed")


def tesla(task: Task) -> Recipe:
    """Return MTT with the student's parameters as constants at every step."""
    return setting(task.dataset, task.ipc, least_side(task.shape)).recipe(task, "detached")


def whitening(dataset: str, ipc: int) -> str:
    """Return the whitening for a dataset by its name, or by that of its folder or file."""
    name = Path(dataset.rpartition(":")[2]).stem
    return "mtt" if name in TABLE and setting(name, ipc).zca else "none"
