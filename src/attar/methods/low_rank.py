"""The low-rank plugin: published methods on factors of every channel, with its authors' settings.

Each is the method that it is named after with its images stored as `LowRank`; what the authors
recorded otherwise for a dataset and a budget stands in a table. Rank 2 (4 for Tiny ImageNet) and
the method's own settings hold where nothing is recorded, and a budget between two takes the lower.
Any other method is stored so by ``--rank``.

Source: the low-rank plugin for dataset condensation and its authors' recorded settings. They did
not use FRePo, whose factors start from those of real images, and recorded nothing of IDC, whose
factors do, too, since IDC starts from real images; the others start from noise.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from attar.methods import distribution, gradient, haba, kernel, multiformation, trajectory
from attar.methods.recipe import Recipe
from attar.methods.task import Task
from attar.shapes import sides
from attar.synthetic import LowRank
from attar.training.cards import DSA


@dataclass(frozen=True)
class Recorded:
    """What the authors recorded; None for the method's own.

    Args:
        rank: r.
        augment: operations of the objective.
        card: of the evaluation.
        lr: of the factors.
    """

    rank: int = 2
    augment: str | None = None
    card: str | None = None
    lr: float | None = None


# by method, dataset and images per class from which on it holds
TABLE: Mapping[str, Mapping[str, Mapping[int, Recorded]]] = {
    "dc": {"tiny_imagenet": {1: Recorded(4)}},
    "dsa": {
        # digits are mirrored, and at 50 images per class used as they are
        "mnist": {1: Recorded(2, DSA), 50: Recorded(8, "none", "plain-1000")},
        "cifar100": {10: Recorded(8)},
        "tiny_imagenet": {1: Recorded(4)},
    },
    "dm": {
        "mnist": {1: Recorded(2, DSA), 10: Recorded(8, "none", "dc-1000")},
        "cifar10": {50: Recorded(4, lr=1000.0)},
        "tiny_imagenet": {1: Recorded(4), 10: Recorded(4, card="lodm-tiny-5000")},
    },
    # ranks of HaBa's bases are not recorded
    "haba": {"tiny_imagenet": {1: Recorded(4)}},
    "mtt": {"tiny_imagenet": {1: Recorded(4)}},
}


# ranks of IDC's factors, and by what its rate is multiplied, are not recorded; see docs/condensing
IDC_RANKS, IDC_RATES = {"idc-i": 2, "idc": 2}, {"idc-i": 64.0, "idc": 8.0}


def recorded(method: str, task: Task) -> Recorded:
    """Return what is recorded for a method and a task."""
    rows = TABLE[method].get(task.dataset, {})
    below = [ipc for ipc in rows if ipc <= task.ipc]
    return rows[max(below)] if below else Recorded()


def _stored_low_rank(recipe: Recipe, task: Task, rank: int) -> Recipe:
    form = LowRank(min((rank, *sides(task.shape))), recipe.parametrization)
    return dataclasses.replace(recipe, parametrization=form)


def _from_noise(recipe: Recipe, task: Task, own: Recorded) -> Recipe:
    """Return a method on factors that start from noise, with what is recorded."""
    objective, optimisers = recipe.objective, recipe.optimisers
    if own.augment is not None:
        objective = dataclasses.replace(objective, augment=own.augment)  # pyright: ignore[reportCallIssue, reportArgumentType, reportUnknownVariableType]
    if own.lr is not None:
        images = optimisers["images"]
        assert images is not None
        images = dataclasses.replace(images, lr=own.lr)
        optimisers = {**optimisers, "images": images}
    recipe = dataclasses.replace(
        recipe,
        objective=objective,
        optimisers=optimisers,
        init="noise",
        card=own.card or recipe.card,
    )
    return _stored_low_rank(recipe, task, own.rank)


def lodc(task: Task) -> Recipe:
    """Return LoDC.

    The card is that of the authors' code; their paper speaks of 1,000 updates (``dc-1000``).
    """
    return _from_noise(gradient.dc(task), task, recorded("dc", task))


def lodsa(task: Task) -> Recipe:
    """Return LoDSA."""
    return _from_noise(gradient.dsa(task), task, recorded("dsa", task))


def lodm(task: Task) -> Recipe:
    """Return LoDM, at a learning rate of 1 where nothing else is recorded."""
    own = recorded("dm", task)
    own = dataclasses.replace(own, lr=own.lr or 1.0)
    return _from_noise(distribution.dm(task), task, own)


def lomtt(task: Task) -> Recipe:
    """Return LoMTT, with the one setting that is recorded."""
    recipe = trajectory.LOW_RANK.recipe(task, "checkpointed")
    return _from_noise(recipe, task, recorded("mtt", task))


def lohaba(task: Task) -> Recipe:
    """Return HaBa on bases that are factors."""
    return _from_noise(haba.haba(task), task, recorded("haba", task))


def lofrepo(task: Task) -> Recipe:
    """Return FRePo on factors, started from those of real images."""
    return _stored_low_rank(kernel.frepo(task), task, Recorded().rank)


def _of_idc(recipe: Recipe, task: Task, method: str) -> Recipe:
    """Return IDC on factors of the images that it starts from, at a higher rate."""
    images = recipe.optimisers["images"]
    assert images is not None
    faster = dataclasses.replace(images, lr=IDC_RATES[method] * images.lr)
    recipe = dataclasses.replace(recipe, optimisers={**recipe.optimisers, "images": faster})
    return _stored_low_rank(recipe, task, IDC_RANKS[method])


def loidc_i(task: Task) -> Recipe:
    """Return IDC-I on factors, started from those of real images."""
    return _of_idc(multiformation.idc_i(task), task, "idc-i")


def loidc(task: Task) -> Recipe:
    """Return IDC on factors of every stored image of tiles, started from those of real tiles."""
    return _of_idc(multiformation.idc(task), task, "idc")
