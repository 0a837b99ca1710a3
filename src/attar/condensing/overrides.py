"""A recipe with the user's changes in place of its own settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from attar.artefact.carried import network_storage
from attar.condensing.composition import form_of, objective_of, roles_of
from attar.condensing.request import Request
from attar.coresets import Selector
from attar.coresets.spread import is_spread
from attar.errors import BadRequest, unknown
from attar.methods import Recipe, Task, usual
from attar.objectives import Nested, Objective, Penalty, WeightedSum
from attar.optimisers import Optimiser
from attar.options import with_settings
from attar.synthetic import Parametrization, with_rank
from attar.text import counted
from attar.training import CARDS

# of a request: how what is stored is updated
_OF_OPTIMISERS = ("lr", "momentum", "optimiser", "schedule")

# checks of a nested run: the authors' 2,000 iterations with one every 100
_CHECKS = 20


def refuse_updates(request: Request, classes: int, by: str = "") -> None:
    """Refuse what would update the set of a method that only chooses real images.

    Args:
        request: what is asked for.
        classes: K.
        by: the method that chose this one, where one did.

    Raises:
        BadRequest: it asks for updates, for ranks to share them, or for more workers than classes.
    """
    method = request.chosen
    if not method.coreset:
        return
    own = usual(method.name).init
    for name in ("iterations", "minutes", "init", *_OF_OPTIMISERS, "average", "objective"):
        value = getattr(request, name)
        if value not in (None, 0, own):
            raise BadRequest(
                f"--{name} {value}: method {method.name!r} chooses real images and never updates "
                "them; leave it out, or choose a method that updates such images, such as "
                f"--method dm --init {own}"
            )
    if request.workers > 1 and not is_spread():
        # here, since what is chosen may take minutes
        chosen = f" was chosen by {by!r} here:" if by else ""
        raise BadRequest(
            f"{request.workers} ranks: method {method.name!r}{chosen} makes no updates, and these "
            "are what ranks share; start one process with --workers, which choose together, and "
            "--ray for several machines, or choose a method that updates, such as --method dm"
        )
    refuse_idle(request.workers, classes)
    if request.bounded:
        raise BadRequest(
            f"--bounded: method {method.name!r} keeps real images, which lie between black and "
            "white already; leave it out"
        )
    if ":train=" in request.stored_as or ",train=" in request.stored_as:
        raise BadRequest(
            f"--storage {request.stored_as}: method {method.name!r} never updates images, so none "
            "are trained for it; leave train out"
        )
    if request.nested:
        raise BadRequest(
            f"--nested: method {method.name!r} chooses real images and never updates them; choose "
            "a method that does, such as --method dm"
        )


def refuse_idle(count: int, classes: int, said: str = "") -> None:
    """Refuse more workers than classes.

    Args:
        count: of workers.
        classes: K.
        said: what asks for them; left out, the option does.

    Raises:
        BadRequest: some would have nothing to do.
    """
    if count > classes:
        raise BadRequest(
            f"{said or f'--workers {count}'}: the set has {counted(classes, 'class')}, and a "
            f"worker needs one at least; ask for {classes} or fewer"
        )


def settle(recipe: Recipe, request: Request, task: Task) -> Recipe:
    """Return the recipe with the user's changes in place of its own settings.

    Raises:
        BadRequest: a part or a setting that there is not, or that the method cannot have.
    """
    recipe = _with_parts(recipe, request, task)
    changes: dict[str, Any] = {}
    for name in ("init", "iterations", "network", "card", "average"):
        if getattr(request, name) is not None:
            changes[name] = getattr(request, name)
    if request.init is not None:
        changes["init"] = str(request.init)
    if changes.get("init", recipe.init) != recipe.init:
        changes["selector"] = None
    if request.card is not None and request.card not in CARDS:
        raise unknown("card", request.card, CARDS)
    # what the method updates as it does the images, such as learnt labels, stays so
    leading = recipe.leading
    changes["optimisers"] = {
        role: _changed(optimiser, request)
        if optimiser is not None and optimiser == leading
        else optimiser
        for role, optimiser in recipe.optimisers.items()
    }
    start = dataclasses.replace(recipe, **changes).start
    form = recipe.parametrization
    parts: dict[str, Any] = {
        "selector": start if start is not None and settings_of(start) else None,
        "penalty": recipe.penalty,
        "parametrization": form if form.settings() else None,
        "objective": recipe.objective,
        # an objective that cannot is refused there
        "nested": Nested(recipe.objective) if request.nested else None,  # pyright: ignore[reportArgumentType]
    }
    given = {name: part for name, part in parts.items() if part is not None}
    if request.chosen.coreset:
        # nothing is matched
        given = {name: part for name, part in given.items() if name == "selector"}
    settled = _each_with_its_settings(list(given.values()), request.given_settings())
    settled = _with_teacher(settled, request)
    if request.teacher_storage is not None:
        changes["carried"] = _carried(recipe, request)
    changes |= {**parts, "parametrization": form} | dict(zip(given, settled, strict=True))
    nested = changes.pop("nested")
    recipe = dataclasses.replace(recipe, **changes)
    return recipe if nested is None else _with_subsets(recipe, nested, request)


def _with_teacher(parts: Sequence[Any], request: Request) -> list[Any]:
    """Return parts that look at images with a teacher with the one asked for, others as they are.

    Raises:
        BadRequest: none does.
    """
    if request.teacher is None:
        return list(parts)
    names = [_teacher_field(part) for part in parts]
    if not any(names):
        raise BadRequest(
            f"--teacher {request.teacher}: method {request.chosen.name!r} has no teacher; leave it "
            "out, or choose one that has, such as rded"
        )
    return [
        dataclasses.replace(part, **{name: request.teacher}) if name else part
        for part, name in zip(parts, names, strict=True)
    ]


def _carried(recipe: Recipe, request: Request) -> str:
    """Return the storage of the teacher that the set is to carry; empty for none.

    Raises:
        BadRequest: the method has no teacher, or updates its set, which is planned without one.
    """
    asked = request.teacher_storage
    assert asked is not None
    if asked == "none":
        return ""
    network_storage(asked)
    if not (request.chosen.coreset and takes_teacher(recipe)):
        raise BadRequest(
            f"--teacher-storage {asked}: method {request.chosen.name!r} chooses no real images by "
            "a teacher that its set could carry; leave it out, or choose one that does, such as "
            "kd, confident or rded"
        )
    return asked


def takes_teacher(recipe: Recipe) -> bool:
    """Whether sets of a method are made by looking at a teacher, which ``--teacher`` names."""
    parts = [recipe.selector] if recipe.iterations == 0 else [recipe.objective, recipe.selector]
    return any(_teacher_field(part) for part in parts if part is not None)


def _teacher_field(part: Any) -> str:
    """Return the setting of a part that names its teacher; empty where it has none."""
    # objectives learn from it, selectors choose and label by it
    name = "squeezed" if isinstance(part, Objective) else "teacher"
    return name if name in names_of(part) else ""


def _with_parts(recipe: Recipe, request: Request, task: Task) -> Recipe:
    """Return a recipe with the objective and the form that are asked for.

    What these learn beside images and labels is updated as in the method that they are known
    from; so is everything that is stored in a form with learnt tensors of its own, such as
    decoders, whose rates go together, where the method stores its own set in another.
    """
    changes: dict[str, Any] = {}
    optimisers = dict(recipe.optimisers)
    if request.objective is not None:
        objective = request.objective
        if isinstance(objective, str):
            objective = objective_of(objective, task, recipe.objective)
        changes["objective"] = objective
        optimisers = {**roles_of(objective), **optimisers}
    form = recipe.parametrization
    if request.form is not None:
        form = request.form
        if isinstance(form, str):
            form = form_of(form, task)
        if _innermost(form).name != _innermost(recipe.parametrization).name:
            optimisers |= form.own_optimisers()
    if request.rank is not None:
        form = with_rank(form, request.rank)
    if form != recipe.parametrization:
        changes["parametrization"] = form
    return dataclasses.replace(recipe, **changes, optimisers=optimisers) if changes else recipe


def _innermost(form: Parametrization) -> Parametrization:
    return form if form.inner is None else _innermost(form.inner)


def _changed(optimiser: Optimiser, request: Request) -> Optimiser:
    """Return an optimiser with the user's changes; what is of its kind alone goes with it."""
    chosen = {name: getattr(request, name) for name in _OF_OPTIMISERS}
    chosen["kind"] = chosen.pop("optimiser")
    chosen = {name: value for name, value in chosen.items() if value is not None}
    if chosen.get("kind", optimiser.kind) != "sgd":
        chosen.setdefault("momentum", 0.0)
    if chosen.get("kind", optimiser.kind) != optimiser.kind:
        chosen |= {"beta": Optimiser.beta, "beta2": Optimiser.beta2, "coast": Optimiser.coast}
    return dataclasses.replace(optimiser, **chosen)


def _with_subsets(recipe: Recipe, nested: Nested, request: Request) -> Recipe:
    """Return the recipe whose objective also matches subsets of the set.

    Left out, the time from one check to the next is a twentieth of the run.
    """
    form = recipe.parametrization
    if not form.by_row:
        name = (form.inner or form).name
        raise BadRequest(
            f"--nested: in the form {name!r} the first images cannot be stored without the "
            "others; choose a method that stores each image by itself, such as --method dm"
        )
    if recipe.learned_labels:
        raise BadRequest(
            f"--nested: method {request.chosen.name!r} learns labels, and these would have to "
            "serve every size; choose a method that does not, such as --method dm"
        )
    changes: dict[str, Any] = {"base": recipe.objective}
    if "every" not in request.given_settings() and request.minutes is None:
        changes["every"] = max(1, recipe.iterations // _CHECKS)
    return dataclasses.replace(recipe, objective=dataclasses.replace(nested, **changes))


def _each_with_its_settings(parts: Sequence[Any], given: Mapping[str, Any]) -> list[Any]:
    """Return the parts of a method, each with those of the settings that are its own.

    Of a sum of objectives, each has those that it knows.
    """
    owner = {name: part for part in parts for name in names_of(part)}
    for name in given:
        if not parts:
            raise BadRequest(
                f"--set {name}={given[name]}: the method has no settings; leave it out"
            )
        if name not in owner:
            names = " and ".join(part.name for part in parts)
            raise unknown(f"setting (--set) of {names}", name, owner)
    return [
        _with_known(part, {name: value for name, value in given.items() if owner[name] is part})
        for part in parts
    ]


def names_of(part: Any) -> list[str]:
    """Return the names of the settings of a part, those of all terms of a sum."""
    if isinstance(part, WeightedSum):
        return [name for term in part.terms for name in settings_of(term)]
    return list(part.settings() if isinstance(part, Parametrization) else settings_of(part))


def _with_known(part: Any, given: Mapping[str, Any]) -> Any:
    if isinstance(part, Parametrization):
        return part.changed(given)
    if not isinstance(part, WeightedSum):
        return with_settings(part, given)
    terms = (
        with_settings(term, {n: given[n] for n in settings_of(term) if n in given})
        for term in part.terms
    )
    return dataclasses.replace(part, terms=tuple(terms))


def settings_of(part: Objective | Selector | Penalty) -> dict[str, Any]:
    """Return the settings of a part, without those of an objective inside it."""
    own = dataclasses.asdict(part)  # pyright: ignore[reportArgumentType]
    return {name: own[name] for name in own if not isinstance(getattr(part, name), Objective)}
