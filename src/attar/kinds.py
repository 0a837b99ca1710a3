"""What kind of value each option takes, so that a call from Python is refused as a command is."""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Mapping
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
        # a text that may be another thing than a path stays one
        if isinstance(value, str | PathLike) and Path in allowed and str not in allowed:
            object.__setattr__(request, name, Path(value))


def check_arguments(function: Any, given: Mapping[str, Any]) -> None:
    """Refuse arguments of a function that are of another kind than it declares.

    Raises:
        BadRequest: as `settle_kinds` does.
    """
    hints = _hints(function)
    for name, value in given.items():
        check_kind(name, value, hints[name])


def check_kind(name: str, value: object, hint: Any) -> None:
    """Refuse the value of an option that is none of what its type hint allows."""
    allowed = _allowed(hint)
    if any(_is(value, kind) for kind in allowed):
        return
    flag = "-o" if name == "output" else option_of(name)
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


def _is(value: object, kind: Any) -> bool:
    """Tell whether a value is of a kind; a kind not known here is judged where it is used."""
    if typing.get_origin(kind) is tuple:
        inner = typing.get_args(kind)[0]
        return isinstance(value, tuple | list) and all(_is(one, inner) for one in value)
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
