"""In which order classes arrive, and how many at a time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from attar.errors import BadRequest
from attar.text import counted


def division(classes: int, steps: int, groups: str = "step") -> list[int]:
    """Return how many classes arrive at each step, the larger groups first; none is left out.

    Args:
        classes: there are.
        steps: or other groups, into which they are divided.
        groups: what one is called.

    Raises:
        BadRequest: there are more steps than classes.

    Example:
        >>> division(10, 4)
        [3, 3, 2, 2]
    """
    if steps > classes:
        raise BadRequest(
            f"--{groups}s {steps}: there are {counted(classes, 'class')}, and each {groups} needs "
            f"one; {classes} is the most"
        )
    each, more = divmod(classes, steps)
    return [each + (step < more) for step in range(steps)]


def class_order(names: Sequence[str], sizes: Sequence[int], seed: int) -> list[list[str]]:
    """Return the classes of every step, by name.

    The order is that of the DM authors' script, who permute the classes with numpy's generator of
    that seed; their runs are those of seeds 0 to 4.

    Args:
        names: of all classes.
        sizes: how many arrive at each step.
        seed: of the order.
    """
    order = np.random.RandomState(seed).permutation(len(names)).tolist()
    found, start = [], 0
    for size in sizes:
        found.append([names[index] for index in order[start : start + size]])
        start += size
    return found
