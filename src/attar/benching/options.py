"""The options of a condensation that a suite may set, checked before anything is read."""

from __future__ import annotations

import types
import typing
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from pydantic_core import PydanticCustomError

from attar.condensing.request import Request
from attar.errors import unknown
from attar.experts.request import ExpertsRequest
from attar.slimming.request import SlimRequest
from attar.wording import word_of

# what a suite says in other ways, or what does not bear on the result
_OWN = frozenset(
    {
        "method",
        "ipc",
        "bytes",
        "images_per_class",
        "count",
        "seed",
        "output",
        "resume",
        "overwrite",
        "tensorboard",
        "logger",
        "threads",
        "workers",
        "ray",
    }
)
# what says how a set is updated, and means nothing for a method that makes no updates
OF_UPDATES = frozenset(
    {
        "objective",
        "iterations",
        "minutes",
        "lr",
        "momentum",
        "optimiser",
        "schedule",
        "average",
        "nested",
        "set",
        "init",
        "validation",
        "validations",
        "checkpoint_seconds",
    }
)


def _kind(hint: Any) -> type:
    """Return int, float, bool, str or tuple for a type hint of `Request`."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        hint = next(one for one in typing.get_args(hint) if one is not type(None))
    if typing.get_origin(hint) is tuple:
        return tuple
    return hint if hint in (int, float, bool, str) else str


def _kinds(request: type, own: Collection[str]) -> dict[str, type]:
    hints = typing.get_type_hints(request)
    words = {word_of(name): hint for name, hint in hints.items()}
    return {name: _kind(hint) for name, hint in words.items() if name not in own}


KINDS = _kinds(Request, _OWN)
# of `attar slim`, whose method is the row's own unless it says otherwise
SLIM_KINDS = _kinds(SlimRequest, (_OWN - {"method"}) | {"learning_free", "random"})
# of `attar experts`; what a set fixes for those that it follows is not asked again
EXPERT_KINDS = _kinds(
    ExpertsRequest,
    {"output", "overwrite", "network", "zca", "jobs", "ray", "checkpoint_seconds"},
)
# what means something where nothing is trained
_KEPT = frozenset({"card", "storage"})
# the method whose sets are made of components, and the options that these alone know
COMPONENTS = "slimmable"
_OF_COMPONENTS = frozenset({"expand", "share"})
# what says how its learning begins
_OF_MATCHING = frozenset({"init"})
_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def refusal(text: str, *place: str | int) -> PydanticCustomError:
    """Return an error that pydantic reports as it is, at ``place`` below the value checked."""
    return PydanticCustomError("refused", "{text}", {"text": text, "place": list(place)})


def check_one_of(**given: Any) -> None:
    """Refuse more than one way of saying the same."""
    if sum(value is not None for value in given.values()) > 1:
        raise refusal(f"give {' or '.join(given)}, not both")


def check_beside(options: Mapping[str, Any], names: Iterable[str], *place: str | int) -> None:
    """Refuse among options what is written beside them."""
    for name in names:
        if name in options:
            raise refusal(f"write {name} beside options, not in it", *place, name)


def check_keys(given: Mapping[str, Any], allowed: Iterable[str], kind: str = "key") -> None:
    """Refuse a key that there is not, with the near names."""
    allowed = list(allowed)
    for name in given:
        if name not in allowed:
            raise refusal(str(unknown(kind, str(name), allowed)), str(name))


def checked_options(
    given: Mapping[str, Any], also: Iterable[str] = (), kinds: Mapping[str, type] = KINDS
) -> dict[str, Any]:
    """Return options of `attar.Request` with values of the right kind.

    Args:
        given: by name; ``set`` is a mapping, a list of ``name=value`` or one such text.
        also: other keys that are allowed beside them, for messages.
        kinds: the options there are; `SLIM_KINDS` for those of `attar slim`.

    Raises:
        PydanticCustomError: an option that there is not, or a value of another kind.
    """
    check_keys(given, [*also, *kinds], "option")
    return {
        name: _checked(name, value, kinds[name]) for name, value in given.items() if name in kinds
    }


def _checked(name: str, value: Any, kind: type) -> Any:
    if value is None:
        return None
    if kind is tuple:
        return _pairs(name, value)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise refusal(f"{value!r}: {_WORDS[kind]} is needed", name)
    return value


def _pairs(name: str, value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [f"{key}={one}" for key, one in value.items()]
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise refusal(f"{value!r}: write {{batch_real: 64}} or ['batch_real=64']", name)
    return given


def for_method(options: dict[str, Any], makes_updates: bool) -> dict[str, Any]:
    """Return a suite's options that mean something for a method."""
    if makes_updates:
        return options
    return {name: value for name, value in options.items() if name not in OF_UPDATES}


def for_slimming(options: Mapping[str, Any], method: str, learns: bool) -> dict[str, Any]:
    """Return options of `attar slim` that mean something for a method and a way.

    Args:
        options: by name.
        method: that learns the smaller set, or whose set is cut down.
        learns: whether the smaller set is trained.
    """
    names = set(SLIM_KINDS) if learns else set(_KEPT | _OF_COMPONENTS)
    if method != COMPONENTS:
        names -= _OF_COMPONENTS | _OF_MATCHING
    return {name: value for name, value in options.items() if name in names}
