"""Suites: datasets × methods × budgets × networks × seeds from a YAML file, run and tabulated."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from attar.benching.suite import Suite
from attar.benching.suite_file import read_suite

if TYPE_CHECKING:
    from attar.benching.session import Asked, Watcher, bench

# these need torch, which takes seconds to import
_HOMES = dict.fromkeys(("Asked", "Watcher", "bench"), "attar.benching.session")

__all__ = ["Asked", "Suite", "Watcher", "bench", "read_suite"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
