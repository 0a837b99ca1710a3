"""Methods of Attar's own: matching whose real side is found once and used again.

Objective and form are those of DM, LoDM and KFS, or of DC and LoDC. What a drawn network makes of
the real images is kept in a pool (`DistributionMatching.pool`, `GradientMatching.pool`), so that
most updates cost the synthetic side alone; the set starts from real images, and its running average
is what counts. `benchmarks/amortised.py` measures pools; [benchmarks](docs/benchmarks.md) has the
figures.
"""

from __future__ import annotations

import dataclasses
import math

from attar.methods import distribution, factorized, gradient, low_rank
from attar.methods.recipe import Recipe
from attar.methods.task import Task
from attar.optimisers import Optimiser
from attar.options import with_settings

# a pool pays once it is full: in two minutes on one core 50 networks with 256 images of each class
# are not drawn once, these several times
POOL, REFRESH, REAL = 16, 10, 64
AVERAGE = 0.95
ITERATIONS = 2_000
# images of a class that a step reads: more cost more than they tell
BATCH = 16


# rate of low-rank factors, at any number of images
FACTORS = 0.3
# of gradients, which take as much memory for each class as a network
GRADIENTS = 8


def _amortised(recipe: Recipe) -> Recipe:
    """Return a method that matches distributions with a pool."""
    return _pooled(recipe, pool=POOL, batch=BATCH)


def _of_gradients(recipe: Recipe) -> Recipe:
    """Return a method that matches gradients with a pool, in networks that are not trained."""
    return _pooled(recipe, pool=GRADIENTS, outer=1)


def _pooled(recipe: Recipe, **settings: int) -> Recipe:
    """Return a method with a pool, started from real images and averaged, at constant rates."""
    settings |= {"refresh": REFRESH, "batch_real": REAL}
    objective = with_settings(recipe.objective, settings)
    optimisers = {
        role: None if one is None else dataclasses.replace(one, schedule="constant")
        for role, one in recipe.optimisers.items()
    }
    return dataclasses.replace(
        recipe,
        objective=objective,
        optimisers=optimisers,
        iterations=ITERATIONS,
        init="real",
        average=AVERAGE,
    )


def _at_rate(recipe: Recipe, lr: float) -> Recipe:
    """Return a method at another rate."""
    rate = Optimiser(lr, distribution.MOMENTUM)
    return dataclasses.replace(recipe, optimisers={"images": rate})


def fastdm(task: Task) -> Recipe:
    """Return DM with a pool, at a rate that grows with the images, whose gradients shrink."""
    return _at_rate(_amortised(distribution.dm(task)), math.sqrt(task.ipc))


def fastlodm(task: Task) -> Recipe:
    """Return LoDM with a pool, at a rate that leaves factors of real images near these."""
    return _at_rate(_amortised(low_rank.lodm(task)), FACTORS)


def fastkfs(task: Task) -> Recipe:
    """Return KFS with a pool."""
    return _amortised(factorized.kfs(task))


def fastdc(task: Task) -> Recipe:
    """Return DC with a pool."""
    return _of_gradients(gradient.dc(task))


def fastlodc(task: Task) -> Recipe:
    """Return LoDC with a pool."""
    return _of_gradients(low_rank.lodc(task))
