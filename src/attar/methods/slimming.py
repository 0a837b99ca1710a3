"""Slimming by parameter matching, with the settings of its paper.

Source: Slimmable Dataset Condensation, algorithm 1 and section 4.1. Size and age of the pool,
and the optimisers, are not published: those of FRePo are taken, on whose code it is built. The
gradients of equation 6 are of the mean over images, as the networks are trained: sums over sets
of different sizes drown the other terms (see the benchmarks page).
"""

from __future__ import annotations

from attar.methods.kernel import frepo_network, lamb, mirrors
from attar.methods.method import Method
from attar.methods.recipe import Recipe
from attar.methods.task import Task
from attar.objectives import ParameterMatching, SignificancePenalty
from attar.synthetic import OrderedSVD

ITERATIONS = 30_000


def matched(task: Task) -> Recipe:
    """Return the matching of first-order and infinity-order parameters on ordered components."""
    return Recipe(
        objective=ParameterMatching(averaged=True, mirror=mirrors(task)),
        parametrization=OrderedSVD(),
        optimisers={"images": lamb(), "labels": lamb()},
        iterations=ITERATIONS,
        init="significance",
        network=frepo_network(task),
        card="frepo",
        learned_labels=True,
        centred_labels=True,
        penalty=SignificancePenalty(),
    )


SLIMMER = Method(
    "slimmable",
    "parameters matched with those that the larger set gives",
    "Liu et al. 2023",
    "slimming.matched",
)
