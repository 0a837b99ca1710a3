"""A recipe with the user's changes in place of its own settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from attar.condensing.request import Request
from attar.coresets import Selector
from attar.errors import BadRequest, unknown
from attar.methods import METHODS, Recipe
from attar.objectives import Nested, Objective, Penalty
from attar.optimisers import Optimiser
from attar.synthetic import Decoded, LowRank, OrderedSVD, Parametrization, Pixels
from attar.training import CARDS

Part = TypeVar("Part", Objective, Selector, Penalty)

# of a request: how what is stored is updated
_OF_OPTIMISERS = ("lr", "momentum", "optimiser", "schedule")

# checks of a nested run: the authors' 2,000 iterations with one every 100
_CHECKS = 20


def refuse_updates(request: Request) -> None:
    """Refuse what would update the set of a method that only chooses real images."""
    method = METHODS[request.method]
    if not method.coreset:
        return
    own = "real" if method.name == "random" else method.name
    for name in ("iterations", "minutes", "init", *_OF_OPTIMISERS, "average"):
        value = getattr(request, name)
        if value not in (None, 0, own):
            raise BadRequest(
                f"--{name} {value}: method {method.name!r} chooses real images and never updates "
                "them; leave it out, or choose a method that updates such images, such as "
                f"--method dm --init {own}"
            )
    if request.nested:
        raise BadRequest(
            f"--nested: method {method.name!r} chooses real images and never updates them; choose "
            "a method that does, such as --method dm"
        )


def whitening_kind(request: Request, source: str) -> str:
    """Return the form of whitening for a source: what is asked for, or what the method fixes."""
    return request.zca or METHODS[request.method].zca(source, request.ipc or 1)


def settle(recipe: Recipe, request: Request) -> Recipe:
    """Return the recipe with the user's changes in place of its own settings."""
    changes: dict[str, Any] = {"parametrization": _with_rank(recipe.parametrization, request)}
    for name in ("init", "iterations", "network", "card"):
        if getattr(request, name) is not None:
            changes[name] = getattr(request, name)
    if request.init is not None:
        changes["init"] = str(request.init)
    if changes.get("init", recipe.init) != recipe.init:
        changes["selector"] = None
    if request.card is not None and request.card not in CARDS:
        raise unknown("card", request.card, CARDS)
    # what the method updates as it does the images, such as learnt labels, stays so
    images = recipe.optimisers["images"]
    changes["optimisers"] = {
        role: _changed(optimiser, request) if optimiser == images else optimiser
        for role, optimiser in recipe.optimisers.items()
    }
    start = dataclasses.replace(recipe, **changes).start
    form = changes["parametrization"]
    parts: dict[str, Any] = {
        "selector": start if start is not None and settings_of(start) else None,
        "penalty": recipe.penalty,
        "parametrization": form if isinstance(form, Decoded | OrderedSVD) else None,
        "objective": recipe.objective,
        # an objective that cannot is refused there
        "nested": Nested(recipe.objective) if request.nested else None,  # pyright: ignore[reportArgumentType]
    }
    given = {name: part for name, part in parts.items() if part is not None}
    if METHODS[request.method].coreset:
        # nothing is matched
        given = {name: part for name, part in given.items() if name == "selector"}
    settled = _each_with_its_settings(list(given.values()), request.settings())
    changes |= {**parts, "parametrization": form} | dict(zip(given, settled, strict=True))
    _refuse_other_counts(form, changes["parametrization"])
    nested = changes.pop("nested")
    recipe = dataclasses.replace(recipe, **changes)
    return recipe if nested is None else _with_subsets(recipe, nested, request)


def _changed(optimiser: Optimiser, request: Request) -> Optimiser:
    """Return an optimiser with the user's changes; the momentum of SGD goes with it."""
    chosen = {name: getattr(request, name) for name in _OF_OPTIMISERS}
    chosen["kind"] = chosen.pop("optimiser")
    chosen = {name: value for name, value in chosen.items() if value is not None}
    if chosen.get("kind", optimiser.kind) != "sgd":
        chosen.setdefault("momentum", 0.0)
    return dataclasses.replace(optimiser, **chosen)


def _refuse_other_counts(before: Parametrization, after: Parametrization) -> None:
    """Refuse another number of components than the method's: the budget fixes it."""
    if isinstance(after, OrderedSVD) and after.components != getattr(before, "components", 0):
        raise BadRequest(
            f"--set components={after.components}: a budget holds as many components as images; "
            "to keep more images than components, use attar slim --expand"
        )


def _with_subsets(recipe: Recipe, nested: Nested, request: Request) -> Recipe:
    """Return the recipe whose objective also matches subsets of the set.

    Left out, the time from one check to the next is a twentieth of the run.
    """
    form = recipe.parametrization
    inner = form.base if isinstance(form, LowRank) else form
    if not isinstance(inner, Pixels):
        raise BadRequest(
            f"--nested: in the form {inner.name!r} the first images cannot be stored without the "
            "others; choose a method that stores each image by itself, such as --method dm"
        )
    if recipe.learned_labels:
        raise BadRequest(
            f"--nested: method {request.method!r} learns labels, and these would have to serve "
            "every size; choose a method that does not, such as --method dm"
        )
    changes: dict[str, Any] = {"base": recipe.objective}
    if "every" not in request.settings() and request.minutes is None:
        changes["every"] = max(1, recipe.iterations // _CHECKS)
    return dataclasses.replace(recipe, objective=dataclasses.replace(nested, **changes))


def _each_with_its_settings(parts: Sequence[Any], given: Mapping[str, str]) -> list[Any]:
    """Return the parts of a method, each with those of the settings that are its own."""
    owner = {name: part for part in parts for name in settings_of(part)}
    for name in given:
        if not parts:
            raise BadRequest(
                f"--set {name}={given[name]}: the method has no settings; leave it out"
            )
        if name not in owner:
            names = " and ".join(part.name for part in parts)
            raise unknown(f"setting (--set) of {names}", name, owner)
    return [
        with_settings(part, {name: text for name, text in given.items() if owner[name] is part})
        for part in parts
    ]


def with_settings(objective: Part, given: Mapping[str, str]) -> Part:
    """Return an objective, a penalty or a selector with settings read from text.

    Raises:
        BadRequest: an unknown setting, or a value of the wrong kind.
    """
    known = {item.name: item for item in dataclasses.fields(objective)}  # pyright: ignore[reportArgumentType]
    values: dict[str, Any] = {}
    for name, text in given.items():
        if name not in known:
            raise unknown(f"setting (--set) of {objective.name}", name, known)
        kind = type(getattr(objective, name))
        try:
            values[name] = _TRUTH[text.lower()] if kind is bool else kind(text)
        except (ValueError, KeyError):
            raise BadRequest(f"--set {name}={text}: {_KINDS[kind]} is needed") from None
    return dataclasses.replace(objective, **values)  # pyright: ignore[reportArgumentType]


_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def _with_rank(parametrization: Parametrization, request: Request) -> Parametrization:
    if request.rank is None:
        return parametrization
    if not isinstance(parametrization, LowRank):
        raise BadRequest(
            f"--rank {request.rank}: method {request.method!r} stores no factors; choose a "
            "low-rank method such as lodm"
        )
    return dataclasses.replace(parametrization, rank=request.rank)


def settings_of(part: Objective | Selector | Penalty) -> dict[str, Any]:
    """Return the settings of a part, without those of an objective inside it."""
    own = dataclasses.asdict(part)  # pyright: ignore[reportArgumentType]
    return {name: own[name] for name in own if not isinstance(getattr(part, name), Objective)}
