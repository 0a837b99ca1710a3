"""Published methods by name, with their settings per dataset and budget."""

from attar.errors import unknown
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


def usual(method: str) -> Recipe:
    """Return a method's settings for CIFAR-10 at 10 images per class.

    Raises:
        BadRequest: no such method.
    """
    if method not in METHODS:
        raise unknown("method", method, METHODS)
    return METHODS[method].recipe(Task("cifar10", 10, (3, 32, 32), 10))


__all__ = ["METHODS", "Method", "Recipe", "Task", "usual"]
