"""Published methods by name, with their settings per dataset and budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attar.errors import unknown
from attar.lazy import importer
from attar.methods.catalogue import METHODS
from attar.methods.method import Method
from attar.methods.task import Task

if TYPE_CHECKING:
    from attar.methods.recipe import Recipe

__all__ = ["METHODS", "Method", "Recipe", "Task", "usual"]


def usual(method: str) -> Recipe:
    """Return a method's settings for CIFAR-10 at 10 images per class.

    Raises:
        BadRequest: no such method.
    """
    if method not in METHODS:
        raise unknown("method", method, METHODS)
    return METHODS[method].recipe(Task("cifar10", 10, (3, 32, 32), 10))


# settings need torch, names do not
__getattr__ = importer(__name__, {"Recipe": "attar.methods.recipe"})
