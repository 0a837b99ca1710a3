"""Expert trajectories: networks trained on the real data, their parameters kept on the way."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attar.experts.making import train_experts
    from attar.experts.store import ExpertStore, open_experts

# imported when first used, as the options of a run are read without torch
_HOMES = {"ExpertStore": "store", "open_experts": "store", "train_experts": "making"}

__all__ = ["ExpertStore", "open_experts", "train_experts"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
