"""How a suite says that sets are slimmed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from attar.benching.options import (
    SLIM_KINDS,
    check_beside,
    check_one_of,
    checked_options,
    refusal,
)
from attar.benching.values import Minutes, Strict, Updates

LENGTHS = ("iterations", "minutes")
LEARNING = "learning-based"
Way = Literal["learning-based", "learning-free"]


def _options(value: Any) -> Any:
    """Check options of `attar slim` that hold for every row."""
    if not isinstance(value, Mapping):
        return value
    check_beside(value, LENGTHS)
    kinds = {name: kind for name, kind in SLIM_KINDS.items() if name != "method"}
    return checked_options(value, kinds=kinds)


def row_options(value: Any) -> Any:
    """Check options of `attar slim` that a row gives; true and false stay as they are."""
    if not isinstance(value, Mapping):
        return value
    found = checked_options(value, kinds=SLIM_KINDS)
    check_one_of(**{name: found.get(name) for name in LENGTHS})
    return found


class SlimmingEntry(Strict):
    """How sets are slimmed: along the falling budgets, each from the one before.

    Args:
        ways: ``learning-based``, with the row's own method unless its ``slim`` names another;
            ``learning-free``: by components where the row is made of them, else random images.
        iterations: updates of every learning-based step.
        minutes: the same as a time; both left out, as long as the method says.
        options: of `attar slim`, for every row.
    """

    ways: Annotated[list[Way], Field(min_length=1)] = Field(
        default_factory=lambda: [LEARNING, "learning-free"]
    )
    iterations: Updates | None = None
    minutes: Minutes | None = None
    options: Annotated[dict[str, Any], BeforeValidator(_options)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_length_and_each_way_once(self) -> Self:
        check_one_of(iterations=self.iterations, minutes=self.minutes)
        for index, way in enumerate(self.ways):
            if way in self.ways[:index]:
                raise refusal(f"{way!r} is there twice", "ways", index)
        return self

    @property
    def length(self) -> dict[str, Any]:
        """Updates or minutes, where given."""
        return self.model_dump(include=set(LENGTHS), exclude_none=True)

    def changed(self, change: SlimmingEntry | None, length: Mapping[str, Any]) -> SlimmingEntry:
        """Return what a size makes of it.

        Args:
            change: what the size says of slimming; None for nothing.
            length: of every update in the size, taken where ``change`` gives none.
        """
        own = change.length if change is not None else {}
        new = own or dict(length) or self.length
        options = {**self.options, **(change.options if change is not None else {})}
        given = change is not None and "ways" in change.model_fields_set
        ways = change.ways if change is not None and given else self.ways
        return SlimmingEntry(ways=ways, options=options, **new)

    def told(self, before: SlimmingEntry) -> list[str]:
        """Say, as what a size changes, how it differs from what the suite says."""
        lines = []
        if "ways" in self.model_fields_set and self.ways != before.ways:
            lines.append(f"ways of slimming: {', '.join(self.ways)}")
        if self.iterations is not None:
            lines.append(f"updates of every slimmed set: {self.iterations}")
        if self.minutes is not None:
            lines.append(f"updates of every slimmed set: {self.minutes:g} min")
        return [*lines, *(f"slimming, {name}: {value}" for name, value in self.options.items())]


def _as_ways(value: Any) -> Any:
    """Let a list of ways, or ``true`` for both, stand for how sets are slimmed."""
    if value is True:
        return {}
    if not isinstance(value, list | Mapping | SlimmingEntry | None):
        raise refusal(
            f"{value!r}: write true, a list of learning-based and learning-free, or a mapping; "
            "leave it out to slim nothing"
        )
    return {"ways": value} if isinstance(value, list) else value


Ways = Annotated[SlimmingEntry | None, BeforeValidator(_as_ways)]
