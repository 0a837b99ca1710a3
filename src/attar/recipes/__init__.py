"""Published methods by name, with their settings per dataset and budget."""

from attar.recipes import (
    coresets,
    distribution,
    factorized,
    gradient,
    kernel,
    subspace,
    trajectory,
)
from attar.recipes.base import Method, Recipe, Task

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        *gradient.METHODS,
        *distribution.METHODS,
        *factorized.METHODS,
        *kernel.METHODS,
        *subspace.METHODS,
        *trajectory.METHODS,
        *coresets.METHODS,
    )
}

__all__ = ["METHODS", "Method", "Recipe", "Task"]
