"""Published methods by name, with their settings per dataset and budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attar.errors import BadRequest, unknown
from attar.lazy import importer
from attar.methods.catalogue import CODED, METHODS
from attar.methods.choice import Choice, Coding, Wanted
from attar.methods.method import Method
from attar.methods.task import Task

if TYPE_CHECKING:
    from attar.methods.recipe import Recipe

__all__ = [
    "CODED",
    "METHODS",
    "Choice",
    "Coding",
    "Method",
    "Recipe",
    "Task",
    "Wanted",
    "method_of",
    "usual",
]

# what cards call a recipe that was given as a value
OWN = "own"


def method_of(given: object) -> Method:
    """Return the method that a name, a `Method` or a `Recipe` stands for.

    Raises:
        BadRequest: no such method, a method that has another's name, or something else.
    """
    if isinstance(given, str):
        if given not in METHODS:
            raise unknown("method", given, METHODS)
        return METHODS[given]
    if isinstance(given, Method):
        if METHODS.get(given.name, given) != given:
            raise BadRequest(
                f"method={given.name!r}: another method has this name already, and cards would "
                "not say which made a set; choose another name"
            )
        return given
    from attar.methods.recipe import Recipe

    if isinstance(given, Recipe):
        return Method(OWN, "a recipe given as a value", "", lambda task: given)
    raise BadRequest(
        f"method={given!r}: a name such as 'lodm', an attar.Method, or an attar.Recipe is needed"
    )


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
