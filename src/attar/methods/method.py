"""A method by name; free of torch, so that listings appear at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from attar.lazy import named
from attar.methods.task import Task

if TYPE_CHECKING:
    from attar.methods.recipe import Recipe


@dataclass(frozen=True)
class Method:
    """A method by name.

    Args:
        name: as on the command line.
        summary: one line for people.
        paper: who published it.
        home: of the function from a task to its settings, as ``module.function`` in this package;
            imported when it is first asked for.
        whitened: the same for the function from a dataset by name and a memory in images per
            class to the whitening that the method fixes; empty for none.
        coreset: whether it chooses real images and never updates them.
    """

    name: str
    summary: str
    paper: str
    home: str
    whitened: str = ""
    coreset: bool = False

    def recipe(self, task: Task) -> Recipe:
        """Return its settings for a task."""
        return named("attar.methods", self.home)(task)

    def zca(self, dataset: str, ipc: int) -> str:
        """Return the whitening that it fixes."""
        return named("attar.methods", self.whitened)(dataset, ipc) if self.whitened else "none"
