"""A request whose method decides for itself, with what it decides in place."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from attar.coding import CODECS, codecs_there
from attar.condensing.codec_choice import ways
from attar.condensing.composition import form_text
from attar.condensing.overrides import refuse_updates, settle
from attar.condensing.request import Request
from attar.data import Splits
from attar.data.reading import Watch
from attar.methods import CODED, METHODS, Choice, Coding, Task, Wanted
from attar.networks import make_for
from attar.rng import Key
from attar.storage import storage_text

# options of updates, which no method that only chooses real images has
_OF_UPDATES = (
    *("objective", "iterations", "nested", "bounded", "average", "init"),
    *("lr", "momentum", "optimiser", "schedule", "rank"),
)


def decided(
    request: Request, splits: Splits, watch: Watch | None = None
) -> Iterator[tuple[Request, Choice | None]]:
    """Yield requests with every part named, and what the method decided, if it does; best first.

    Options that were given are kept: the method decides the others.

    Args:
        request: what is asked for.
        splits: the data; the test part is not looked at.
        watch: told how far the choosing is.
    """
    refuse_updates(request, splits.train.classes)
    method = request.chosen
    choices = method.chosen(wanted(request, splits, watch))
    for choice in choices:
        yield _with_choice(request, choice)
    if not choices:
        yield dataclasses.replace(request, method=request.method or method.name), None


def _with_choice(request: Request, choice: Choice) -> tuple[Request, Choice]:
    changes: dict[str, Any] = {
        name: value for name, value in choice.options.items() if not request.gives(name)
    }
    if METHODS[choice.method].coreset and not request.chosen.coreset:
        # they said what may be chosen: what is chosen has no updates to spend them on
        changes["minutes"] = None
    given = request.given_settings()
    settings = {**choice.settings, **given}
    made = dataclasses.replace(request, method=choice.method, settings=settings, **changes)
    told = {name: value for name, value in changes.items() if name in choice.options}
    own = {name: value for name, value in choice.settings.items() if name not in given}
    by = request.chosen.name
    return made, dataclasses.replace(choice, by=by, options=told, settings=own)


def _asks_for_training(request: Request) -> bool:
    """Whether something was asked for that coded real images have not: updates, other storage."""
    coded = request.storage is None or request.storage.partition(":")[0] in CODECS
    whitened = request.zca not in (None, "none")
    return whitened or not coded or any(request.gives(name) for name in _OF_UPDATES)


def wanted(request: Request, splits: Splits, watch: Watch | None = None) -> Wanted:
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
        frozenset(filter(request.gives, Request.__dataclass_fields__)),
        partial(_codings, request, splits, watch),
    )


def _codings(request: Request, splits: Splits, watch: Watch | None) -> Sequence[Coding]:
    """Return the ways to keep real images in a picture codec, best first."""
    train = splits.train
    size = request.budget().limit(train.classes, train.shape)
    if size is None:
        return ()
    task = Task(train.name, 1, train.shape, train.classes)
    name = settle(request.chosen.recipe(task), request, task).network
    network = make_for(name, train.shape, train.classes)
    what = f"--method {request.chosen.name}"
    choice = ways(train, size, network, Key(request.seed).fold(CODED), what, watch)
    return [
        Coding(form_text(one.form), storage_text(one.storage), choice.told(one))
        for one in choice.trials
    ]
