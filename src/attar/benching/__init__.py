"""Suites: datasets × methods × budgets × networks × seeds from a YAML file, run and tabulated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attar.benching.suite import Suite
from attar.benching.suite_file import read_suite
from attar.lazy import importer
from attar.renaming import old_names

if TYPE_CHECKING:
    from attar.benching.session import Asked, BenchCallback, bench

# these need torch, which takes seconds to import
_HOMES: dict[str, str] = dict.fromkeys(
    ("Asked", "BenchCallback", "bench"), "attar.benching.session"
)

__all__ = ["Asked", "BenchCallback", "Suite", "bench", "read_suite"]


__getattr__ = old_names(
    __name__, {"Watcher": f"{__name__}.BenchCallback"}, importer(__name__, _HOMES)
)
