"""Names that were changed: the old ones work for one more version, and warn; free of torch."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from attar.errors import BadRequest

# the version in which the old names are gone
GONE_IN = "0.2"

_F = TypeVar("_F", bound=Callable[..., Any])
_T = TypeVar("_T", bound=type)


def told(old: str, new: str, stacklevel: int) -> None:
    """Warn that a name is an old one.

    Args:
        old: as it was given.
        new: what to write in its place.
        stacklevel: of the one that gave it, counted from the caller of this function.
    """
    warnings.warn(
        f"{old} is called {new} now; the old name goes in Attar {GONE_IN}",
        DeprecationWarning,
        stacklevel=stacklevel + 1,
    )


def keywords(**names: str) -> Callable[[_F], _F]:
    """Return a decorator that lets a function take keywords by their old names, too.

    Args:
        **names: for each old name the new one.

    Raises:
        BadRequest: both names of one keyword; raised by the function.
    """

    def decorated(function: _F) -> _F:
        @functools.wraps(function)
        def renamed(*values: Any, **given: Any) -> Any:
            return function(*values, **_renewed(given, names, frozenset(given)))

        return renamed  # type: ignore[return-value]

    return decorated


def fields(**names: str) -> Callable[[_T], _T]:
    """Return a decorator that lets a dataclass take and tell fields by their old names, too.

    Args:
        **names: for each old name the new one; of these, the names that are fields count.
    """

    def decorated(kind: _T) -> _T:
        plain = kind.__init__
        every = {item.name for item in dataclasses.fields(kind) if item.init}
        own = {old: new for old, new in names.items() if new in every}

        @functools.wraps(plain)
        def init(self: Any, *values: Any, **given: Any) -> None:
            # dataclasses.replace gives every field: an old name beside them is the change
            asked = given.keys() - every if every <= given.keys() else given.keys()
            plain(self, *values, **_renewed(given, own, asked))

        # not as properties: annotations of the class are read among its attributes, and one that
        # is called `float` would be taken for the type of every field declared so
        def get(self: Any, name: str) -> Any:
            if name not in own:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            told(f"{type(self).__name__}.{name}", own[name], 2)
            return getattr(self, own[name])

        kind.__init__ = init
        kind.__getattr__ = get
        return kind

    return decorated


def _renewed(given: dict[str, Any], names: Mapping[str, str], asked: Any) -> dict[str, Any]:
    """Return keywords by their new names, those that were ``asked`` for once only."""
    for old in names.keys() & given.keys():
        new = names[old]
        if new in asked:
            raise BadRequest(f"{old} is the old name of {new}: give {new} alone")
        told(f"{old}=", f"{new}=", 3)
        given[new] = given.pop(old)
    return given


def attribute(old: str, new: str) -> Any:
    """Return an attribute that stands for another of the same object."""

    def get(self: Any) -> Any:
        told(f"{type(self).__name__}.{old}", new, 2)
        return getattr(self, new)

    return property(get, doc=f"The old name of `{new}`; goes in Attar {GONE_IN}.")


def old_names(
    package: str, homes: Mapping[str, str], others: Callable[[str], Any] | None = None
) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a module for names that lie, or are called, otherwise now.

    Args:
        package: its ``__name__``.
        homes: for each old name, the module and the name that it stands for, ``attar.x.Name``.
        others: the ``__getattr__`` for all other names, such as one of `attar.lazy`.

    Raises:
        AttributeError: there is no such name; raised by what is returned.
    """

    def get(name: str) -> Any:
        if name not in homes:
            if others is not None:
                return others(name)
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        told(f"{package}.{name}", homes[name], 2)
        home, _, new = homes[name].rpartition(".")
        return getattr(importlib.import_module(home), new)

    return get
