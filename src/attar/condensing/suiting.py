"""A recipe as it suits the rows of the data: what is no picture is not augmented."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

from attar.condensing.request import Request
from attar.data.modality import Modality
from attar.errors import BadRequest
from attar.methods import Recipe
from attar.objectives import Objective
from attar.text import printable

# the settings of objectives that say how pictures are changed, and what leaves rows as they are
_OF_PICTURES: dict[str, Any] = {
    "augment": "none",
    "augment_train": "none",
    "mirror": False,
}
_AUGMENTS = re.compile(r"\b(augment|mirror)\s*=\s*([^,+]+)")


def suited(recipe: Recipe, request: Request, modality: Modality) -> Recipe:
    """Return a recipe whose objective does nothing that is for pictures where there are none.

    Raises:
        BadRequest: an augmentation is asked for by name, and rows of this kind have none.
    """
    if modality.augments:
        return recipe
    _refuse_asked_for(request, modality)
    return dataclasses.replace(recipe, objective=plain(recipe.objective))


def plain(objective: Objective) -> Objective:
    """Return an objective, and those that it is made of, without augmentation."""
    changes: dict[str, Any] = {}
    for item in dataclasses.fields(objective):  # pyright: ignore[reportArgumentType]
        value = getattr(objective, item.name)
        if item.name in _OF_PICTURES:
            changes[item.name] = _OF_PICTURES[item.name]
        elif isinstance(value, Objective):
            changes[item.name] = plain(value)
        elif isinstance(value, tuple) and value and isinstance(value[0], Objective):
            changes[item.name] = tuple(map(plain, value))
    return dataclasses.replace(objective, **changes) if changes else objective  # pyright: ignore[reportArgumentType]


def _refuse_asked_for(request: Request, modality: Modality) -> None:
    asked = {f"--set {name}": value for name, value in request.given_settings().items()}
    asked = {name: value for name, value in asked.items() if name.split()[-1] in _OF_PICTURES}
    if isinstance(request.objective, str):
        asked |= {f"--objective {n}": v for n, v in _AUGMENTS.findall(request.objective)}
    for option, value in asked.items():
        if str(value).strip().lower() not in ("none", "false"):
            raise BadRequest(
                f"{option}={value}: there is no augmentation of {modality.name}; leave it out"
            )


def refuse_single(recipe: Recipe, class_names: Sequence[str]) -> None:
    """Refuse what learns by telling classes apart where there is one class.

    Raises:
        BadRequest: the recipe's objective or start does.
    """
    if len(class_names) > 1:
        return
    start = recipe.start
    parts = {
        f"--init {recipe.init}": start is not None and start.tells_apart,
        f"the objective {recipe.objective.name!r}": recipe.objective.tells_apart
        and recipe.iterations > 0,
    }
    for part, tells_apart in parts.items():
        if tells_apart:
            raise BadRequest(
                f"{part} learns by telling classes apart, and there is one class, "
                f"{printable(class_names[0])}; take --method dm, lodm or random, which look at "
                "each class by itself, or give further classes"
            )
