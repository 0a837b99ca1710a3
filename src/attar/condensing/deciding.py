"""A request whose method decides for itself, with what it decides in place."""

from __future__ import annotations

import dataclasses
from typing import Any

from attar.coding import CODECS, codecs_there
from attar.condensing.request import Request
from attar.data import Splits
from attar.methods import METHODS, Choice, Wanted

# options of updates, which no method that only chooses real images has
_OF_UPDATES = (
    *("objective", "iterations", "nested", "bounded", "average", "init"),
    *("lr", "momentum", "optimiser", "schedule", "rank"),
)


def decided(request: Request, splits: Splits) -> tuple[Request, Choice | None]:
    """Return a request with every part named, and what its method decided, if it does.

    Options that were given are kept: the method decides the others.

    Args:
        request: what is asked for.
        splits: the data; the test part is not looked at.
    """
    method = request.chosen
    choice = method.chosen(wanted(request, splits))
    if choice is None:
        return dataclasses.replace(request, method=request.method or method.name), None
    changes: dict[str, Any] = {
        name: value for name, value in choice.options.items() if not request.gives(name)
    }
    if METHODS[choice.method].coreset:
        # they said what may be chosen: what is chosen has no updates to spend them on
        changes["minutes"] = None
    given = request.given_settings()
    settings = {**choice.settings, **given}
    made = dataclasses.replace(request, method=choice.method, settings=settings, **changes)
    told = {name: value for name, value in changes.items() if name in choice.options}
    own = {name: value for name, value in choice.settings.items() if name not in given}
    return made, dataclasses.replace(choice, by=method.name, options=told, settings=own)


def _asks_for_training(request: Request) -> bool:
    """Whether something was asked for that coded real images have not: updates, other storage."""
    coded = request.storage is None or request.storage.partition(":")[0] in CODECS
    whitened = request.zca not in (None, "none")
    return whitened or not coded or any(request.gives(name) for name in _OF_UPDATES)


def wanted(request: Request, splits: Splits) -> Wanted:
    """Return what a method may decide by."""
    train = splits.train
    return Wanted(
        train.name,
        train.shape,
        train.classes,
        min(map(len, train.indices_of_class)),
        len(train),
        request.budget().limit(train.classes, train.shape),
        request.minutes,
        _asks_for_training(request),
        tuple(codecs_there()),
    )
