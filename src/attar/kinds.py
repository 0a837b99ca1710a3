"""What kind of value each option takes, so that a call from Python is refused as a command is."""

from __future__ import annotations

import dataclasses
import functools
import numbers
import types
import typing
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from attar.errors import BadRequest
from attar.wording import option_of

_WORDS = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a path",
}


def settle_kinds(request: object) -> None:
    """Refuse what the fields of a frozen dataclass do not take; make paths of texts.

    Raises:
        BadRequest: naming the option, the value and what it takes.
    """
    hints = _hints(type(request))
    for name in request.__dataclass_fields__:  # pyright: ignore[reportAttributeAccessIssue]
        value = getattr(request, name)
        check_kind(name, value, hints[name])
        allowed = _allowed(hints[name])
        if not isinstance(value, str | PathLike) or Path not in allowed:
            continue
        # what may be another thing than a path is kept as a text
        object.__setattr__(request, name, str(value) if str in allowed else Path(value))


class Settings:
    """What frozen dataclasses derive from whose fields are settings, such as an objective's.

    A value of another kind than its field declares is refused before the checks of the class's
    own, so these may compare and calculate. Numbers of numpy become those of Python.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let the kinds be checked first, in whatever class has checks of its own."""
        super().__init_subclass__(**kwargs)
        own = cls.__dict__.get("__post_init__")
        if own is not None:
            cls.__post_init__ = _kinds_first(own)  # pyright: ignore[reportAttributeAccessIssue]

    def __post_init__(self) -> None:
        """Check the kinds, where a class has no checks of its own."""
        _settle_settings(self)


def _kinds_first(checks: Callable[[Any], None]) -> Callable[[Any], None]:
    @functools.wraps(checks)
    def both(self: Any) -> None:
        _settle_settings(self)
        checks(self)

    return both


def _settle_settings(settings: Any) -> None:
    try:
        hints = _hints(type(settings))
    except (NameError, TypeError):
        # a class of somebody else's, whose annotations name what is imported for them alone
        return
    for item in dataclasses.fields(settings):
        value, hint = getattr(settings, item.name), hints[item.name]
        plain = _plain(value, _allowed(hint))
        if plain is not value:
            object.__setattr__(settings, item.name, plain)
        check_kind(item.name, plain, hint, item.name)


def _plain(value: object, allowed: tuple[Any, ...]) -> object:
    """Return a number of another library, where one is allowed, as one of Python's."""
    if isinstance(value, bool | int | float):
        return value
    if int in allowed and isinstance(value, numbers.Integral):
        return int(value)
    return float(value) if float in allowed and isinstance(value, numbers.Real) else value


def check_arguments(function: Any, given: Mapping[str, Any]) -> None:
    """Refuse arguments of a function that are of another kind than it declares.

    Raises:
        BadRequest: as `settle_kinds` does.
    """
    hints = _hints(function)
    for name, value in given.items():
        check_kind(name, value, hints[name])


def check_kind(name: str, value: object, hint: Any, called: str | None = None) -> None:
    """Refuse the value of an option that is none of what its type hint allows.

    Args:
        name: of the field or argument.
        value: given for it.
        hint: what it allows.
        called: what the message calls it; None for the option of that name.
    """
    allowed = _allowed(hint)
    if _is_any(value, hint):
        return
    flag = called or ("-o" if name == "output" else option_of(name))
    words = dict.fromkeys(filter(None, map(_words, allowed)))
    raise BadRequest(f"{flag} {value!r}: {' or '.join(words)} is needed")


@functools.cache
def _hints(of: Any) -> dict[str, Any]:
    return typing.get_type_hints(of)


def _allowed(hint: Any) -> tuple[Any, ...]:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return typing.get_args(hint)
    return (hint,)


def _words(kind: Any) -> str:
    if typing.get_origin(kind) is tuple:
        return f"several of them ({_words(typing.get_args(kind)[0])} each)"
    if typing.get_origin(kind) is Mapping:
        return "a mapping"
    return _WORDS.get(kind, "")


def _is_any(value: object, hint: Any) -> bool:
    return any(_is(value, kind) for kind in _allowed(hint))


def _is(value: object, kind: Any) -> bool:
    """Tell whether a value is of a kind; a kind not known here is judged where it is used."""
    if typing.get_origin(kind) is tuple:
        inner = typing.get_args(kind)
        if not isinstance(value, tuple | list):
            return False
        if inner[-1:] == (...,):
            return all(_is_any(one, inner[0]) for one in value)
        return len(value) == len(inner) and all(map(_is_any, value, inner))
    if typing.get_origin(kind) is Mapping:
        return isinstance(value, Mapping)
    if kind is types.NoneType:
        return value is None
    if kind is Path:
        return isinstance(value, str | PathLike)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind in _WORDS:
        # True is an int to Python
        return type(value) is kind or (isinstance(value, kind) and not isinstance(value, bool))
    return True
