"""Names of a package that are imported when they are first used, since torch takes seconds."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Mapping
from typing import Any


def importer(
    package: str, homes: Mapping[str, str], modules: Collection[str] = ()
) -> Callable[[str], Any]:
    """Return the ``__getattr__`` of a package.

    Args:
        package: its ``__name__``.
        homes: for each name, the module in which it lies.
        modules: of the package, to be attributes of it as well.

    Raises:
        AttributeError: there is no such name; raised by what is returned.
    """

    def get(name: str) -> Any:
        if name in modules:
            return importlib.import_module(f"{package}.{name}")
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(homes[name]), name)

    return get


def named(package: str, home: str) -> Any:
    """Return what ``home``, a ``module.name`` in a package, stands for."""
    module, _, name = home.partition(".")
    return getattr(importlib.import_module(f"{package}.{module}"), name)
