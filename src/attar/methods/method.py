"""A method by name; free of torch, so that listings appear at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from attar.lazy import named
from attar.methods.choice import Choice, Wanted
from attar.methods.task import Task

if TYPE_CHECKING:
    from attar.methods.recipe import Recipe


@dataclass(frozen=True)
class Method:
    """A method by name.

    Args:
        name: as on the command line: letters, digits, ``_`` and ``-``.
        summary: one line for people.
        paper: who published it.
        make: the function from a task to its settings; or where it lies, as ``module.function``
            in this package, to be imported when it is first asked for.
        whitened: likewise the function from a dataset by name and a memory in images per class to
            the whitening that the method fixes; empty for none.
        coreset: whether it chooses real images and never updates them.
        choose: likewise the function from what is wanted to the method, the form and the other
            options that serve it best, or to several such choices, the best first, of which the
            first that the budget holds is taken; empty where the settings are its own.

    Example:
        >>> from attar.methods import METHODS, Task
        >>> METHODS["dm"].recipe(Task("cifar10", 10, (3, 32, 32), 10)).iterations
        20000
    """

    name: str
    summary: str
    paper: str
    make: str | Callable[[Task], Recipe]
    whitened: str | Callable[[str, int], str] = ""
    coreset: bool = False
    choose: str | Callable[[Wanted], Choice | Sequence[Choice]] = ""

    def chosen(self, wanted: Wanted) -> Sequence[Choice]:
        """Return what it decides for a set, best first; nothing where its settings are its own."""
        if not self.choose:
            return ()
        found = _function(self.choose)(wanted)
        return (found,) if isinstance(found, Choice) else found

    def recipe(self, task: Task) -> Recipe:
        """Return its settings for a task."""
        return _function(self.make)(task)

    def zca(self, dataset: str, ipc: int) -> str:
        """Return the whitening that it fixes."""
        if not self.whitened:
            return "none"
        return _function(self.whitened)(dataset, ipc)


def _function(given: str | Callable[..., Any]) -> Callable[..., Any]:
    """Return a function, or that which lies where a text says."""
    return named("attar.methods", given) if isinstance(given, str) else given
