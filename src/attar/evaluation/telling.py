"""What an evaluation tells of itself while it goes on."""

from __future__ import annotations

import warnings
from collections.abc import Callable, MutableMapping
from typing import Any, Protocol


class EvaluationCallback(Protocol):
    """Told how an evaluation goes; a subclass is silent where it overrides nothing."""

    def reading(self, what: str, done: int, total: int) -> None:
        """While images are read: what is done, with how many, and of how many."""

    def said(self, line: str) -> None:
        """Lines about the images that are tested on, and about the tuning: cost and results."""

    def expected(self, seconds: float) -> None:
        """What training will take: before it begins, and what is left after the first row."""

    def trained(self, row: str, network: str, repeat: int, accuracy: float | None) -> None:
        """When a network's training begins, accuracy None, and when it was tested."""


class Silent(EvaluationCallback):
    """Tells nothing."""


# keywords of before, and what they are called in `EvaluationCallback`
_BEFORE = {"watch": "reading", "say": "said", "estimate": "expected", "progress": "trained"}


class _Separate(EvaluationCallback):
    """Calls functions that were given one by one."""

    def __init__(self, own: EvaluationCallback, functions: dict[str, Callable[..., None]]) -> None:
        for name in _BEFORE.values():
            setattr(self, name, functions.get(name, getattr(own, name)))


def settled(
    callback: EvaluationCallback | None, options: MutableMapping[str, Any]
) -> EvaluationCallback:
    """Return who is told, and take functions out of ``options`` that older code gives singly."""
    given = {new: options.pop(old) for old, new in _BEFORE.items() if old in options}
    own = callback or Silent()
    if not given:
        return own
    warnings.warn(
        "watch=, say=, estimate= and progress= of attar.evaluate are the methods reading, said, "
        "expected and trained of one callback= now, an attar.EvaluationCallback",
        DeprecationWarning,
        stacklevel=3,
    )
    return _Separate(own, {name: value for name, value in given.items() if value is not None})


def hears_of_time(callback: EvaluationCallback) -> Callable[[float], None] | None:
    """Return what is told how long training will take; None where that is not listened to."""
    own = callback.expected
    silent = getattr(own, "__func__", None) is EvaluationCallback.expected
    return None if silent else own
