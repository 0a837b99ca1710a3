"""How a suite says that sets are slimmed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from attar.benching.options import SLIM_KINDS, check_keys, checked_options, refusal

LENGTHS = ("iterations", "minutes")
LEARNING = "learning-based"
Updates = Annotated[int, Field(strict=True, ge=0)]
Minutes = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Way = Literal["learning-based", "learning-free"]


def _options(value: Any) -> Any:
    """Check options of `attar slim` that hold for every row."""
    if not isinstance(value, Mapping):
        return value
    for name in LENGTHS:
        if name in value:
            raise refusal(f"write {name} beside options, not in it", name)
    kinds = {name: kind for name, kind in SLIM_KINDS.items() if name != "method"}
    return checked_options(value, kinds=kinds)


def row_options(value: Any) -> Any:
    """Check options of `attar slim` that a row gives; true and false stay as they are."""
    if not isinstance(value, Mapping):
        return value
    found = checked_options(value, kinds=SLIM_KINDS)
    _check_lengths(found)
    return found


def _check_lengths(given: Mapping[str, Any]) -> None:
    if all(given.get(name) is not None for name in LENGTHS):
        raise refusal("give iterations or minutes, not both")


class SlimmingEntry(BaseModel):
    """How sets are slimmed: along the falling budgets, each from the one before.

    Args:
        ways: ``learning-based``, with the row's own method unless its ``slim`` names another;
            ``learning-free``: by components where the row is made of them, else random images.
        iterations: updates of every learning-based step.
        minutes: the same as a time; both left out, as long as the method says.
        options: of `attar slim`, for every row.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    ways: Annotated[list[Way], Field(min_length=1)] = [LEARNING, "learning-free"]
    iterations: Updates | None = None
    minutes: Minutes | None = None
    options: Annotated[dict[str, Any], BeforeValidator(_options)] = {}

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, given: Any) -> Any:
        if isinstance(given, dict):
            check_keys(given, cls.model_fields)
        return given

    @model_validator(mode="after")
    def _one_length_and_each_way_once(self) -> Self:
        _check_lengths(self.length)
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
