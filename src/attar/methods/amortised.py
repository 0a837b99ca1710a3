"""Methods of Attar's own: distribution matching whose real side is found once and used again.

Objective and form are those of DM, LoDM and KFS. What a drawn network makes of the real images is
kept in a pool (`DistributionMatching.pool`), so that most updates cost the synthetic side alone;
the set starts from real images, and its running average is what counts. `benchmarks/amortised.py`
measures pools; [benchmarks](docs/benchmarks.md) has the figures.
"""

from __future__ import annotations

import dataclasses
import math

from attar.methods import distribution, factorized, low_rank
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


def _amortised(recipe: Recipe) -> Recipe:
    """Return a method with a pool, started from real images and averaged, at constant rates."""
    settings = {"pool": POOL, "refresh": REFRESH, "batch": BATCH, "batch_real": REAL}
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


def _at_rate(recipe: Recipe, task: Task) -> Recipe:
    """Return a method at a rate that grows with the images of a class, whose gradients shrink."""
    rate = Optimiser(math.sqrt(task.ipc), distribution.MOMENTUM)
    return dataclasses.replace(recipe, optimisers={"images": rate})


def fastdm(task: Task) -> Recipe:
    """Return DM with a pool."""
    return _at_rate(_amortised(distribution.dm(task)), task)


def fastlodm(task: Task) -> Recipe:
    """Return LoDM with a pool."""
    return _at_rate(_amortised(low_rank.lodm(task)), task)


def fastkfs(task: Task) -> Recipe:
    """Return KFS with a pool."""
    return _amortised(factorized.kfs(task))
