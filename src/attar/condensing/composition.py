"""Forms and objectives as text: ``low_rank:rank=2,base=tiled``, ``distribution+0.1*subspace``.

A form is a name with settings behind a colon; what follows ``base=`` is the form inside it. An
objective is such a name, too, or a sum of several with a number before each that has a weight.
Settings that are not given are those of the method that the part is known from: of the first in
the list of methods that uses it, for the same data and budget.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar

from attar.errors import BadRequest, unknown
from attar.methods import METHODS, Method, Recipe, Task, usual
from attar.objectives import OBJECTIVES, Nested, Objective, WeightedSum
from attar.options import changed_settings, named_settings, with_settings
from attar.registry import Registry
from attar.synthetic import PARAMETRIZATIONS, Parametrization

_BASE = "base"
# a plus sign that a term follows, and is not that of an exponent
_BETWEEN = re.compile(r"\+(?=\s*(?:[\d.]+(?:e-?\d+)?\s*\*\s*)?[A-Za-z_])")
_TERM = re.compile(r"\s*(?:([\d.]+(?:e-?\d+)?)\s*\*)?\s*([A-Za-z_]\w*)\s*(?::(.*))?", re.S)
# parts that only Attar itself puts together
_NO_TERMS = (Nested.name, WeightedSum.name)

P = TypeVar("P", Objective, Parametrization)


def form_of(text: str, task: Task, whole: str | None = None) -> Parametrization:
    """Return the form that a text names.

    Args:
        text: such as ``low_rank:rank=2,base=tiled:factor=2``.
        task: data and budget.
        whole: the text that it is a part of, for messages; None where it is all.

    Raises:
        BadRequest: an unknown name or setting, or a value that it refuses.
    """
    name, _, rest = text.partition(":")
    name = name.strip()
    own, inner = _split_base(rest)
    whole = whole or text
    first = _known(PARAMETRIZATIONS, name, task, _form_in, "--form")
    given = named_settings(own, "--form", whole)
    if inner:
        if _BASE not in {item.name for item in dataclasses.fields(first)}:  # pyright: ignore[reportArgumentType]
            raise BadRequest(
                f"--form {whole}: the form {name!r} has no form inside it; leave base out"
            )
        first = dataclasses.replace(first, base=form_of(inner, task, whole))  # pyright: ignore[reportCallIssue, reportArgumentType]
    return with_settings(first, first.spelt(given), "--form", whole)


def objective_of(text: str, task: Task, own: Objective) -> Objective:
    """Return the objective that a text names.

    Args:
        text: such as ``distribution:batch_real=64+0.1*subspace``.
        task: data and budget.
        own: that of the method, whose settings hold where it is named.

    Raises:
        BadRequest: an unknown name or setting, or a value that it refuses.
    """
    terms: list[Objective] = []
    weights: list[float] = []
    for part in _BETWEEN.split(text):
        match = _TERM.fullmatch(part)
        if match is None:
            raise BadRequest(
                f"--objective {text}: {part.strip()!r} is no objective; write a name, or names "
                "with weights, such as distribution+0.1*subspace"
            )
        weight, name, rest = match.groups()
        if name in _NO_TERMS:
            raise BadRequest(
                f"--objective {text}: {name!r} is made of others; write their names with + between "
                "them, and --nested for subsets"
            )
        first = own
        if own.name != name:
            first = _known(OBJECTIVES, name, task, _objective_in, "--objective")
        given = named_settings(rest or "", "--objective", text)
        terms.append(with_settings(first, given, "--objective", text))
        weights.append(float(weight or 1))
    if len(terms) == 1:
        if weights != [1.0]:
            raise BadRequest(
                f"--objective {text}: the weight of a single objective is its learning rate; "
                "leave it out, or give --lr"
            )
        return terms[0]
    return WeightedSum(tuple(terms), tuple(weights))


def roles_of(part: Objective | Parametrization) -> Mapping[str, Any]:
    """Return how the method that a part is known from updates what it learns, by role."""
    found: dict[str, Any] = {}
    for one in part.terms if isinstance(part, WeightedSum) else (part,):
        get = _form_in if isinstance(one, Parametrization) else _objective_in
        home = _home(one.name, get)
        if home is not None:
            found |= usual(home.name).optimisers
    return found


def form_text(form: Parametrization) -> str:
    """Return the text of a form, with the settings that are not the defaults of its class."""
    base = form.inner
    own = changed_settings(form, skipped=(_BASE,))
    if base is not None and form_text(base) != "pixels":
        own.append(f"{_BASE}={form_text(base)}")
    return form.name + (":" + ",".join(own) if own else "")


def _split_base(text: str) -> tuple[str, str]:
    """Return the settings before ``base=``, and what follows it."""
    match = re.search(rf"(?:^|,)\s*{_BASE}\s*=", text)
    if match is None:
        return text, ""
    return text[: match.start()], text[match.end() :].strip()


def _form_in(recipe: Recipe) -> Parametrization:
    return recipe.parametrization


def _objective_in(recipe: Recipe) -> Objective:
    return recipe.objective


def _known(
    registry: Registry[type[P]],
    name: str,
    task: Task,
    part: Callable[[Recipe], P],
    option: str,
) -> P:
    """Return a part by name with the settings of the method that it is known from."""
    if name not in registry:
        raise unknown(f"value of {option}", name, registry)
    home = _home(name, part)
    if home is not None:
        return part(home.recipe(task))
    try:
        return registry[name]()
    except TypeError as error:
        raise BadRequest(
            f"{option} {name}: it has settings without a default ({error}); give it from Python"
        ) from None


@cache
def _home(name: str, part: Callable[[Recipe], Any]) -> Method | None:
    """Return the first method that uses a part of this name."""
    return next((one for one in METHODS.own.values() if part(usual(one.name)).name == name), None)
