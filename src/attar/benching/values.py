"""Kinds of values in a suite, and the short forms in which they may be written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from attar.benching.options import EXPERT_KINDS, check_keys, checked_options, refusal


def as_mapping(key: str) -> BeforeValidator:
    """Let a value alone stand for a mapping with one key."""
    return BeforeValidator(
        lambda value: value if isinstance(value, dict | BaseModel) else {key: value}
    )


def as_allowance(value: Any) -> Any:
    """Let a number stand for images per class, and a text for a size in bytes."""
    if isinstance(value, dict | BaseModel):
        return value
    return {"bytes" if isinstance(value, str) else "ipc": value}


def as_list(value: Any) -> Any:
    """Let a value alone stand for a list of it."""
    return value if isinstance(value, list) else [value]


def by_name(value: Any) -> Any:
    """Let a list of sources name its datasets after them."""
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return {one: one for one in value}
    return value


def as_seeds(value: Any) -> Any:
    """Let a number stand for so many seeds, from 0."""
    if type(value) is int:
        if value < 1:
            raise refusal(f"{value}: at least 1 set is needed")
        return list(range(value))
    return value


class Strict(BaseModel):
    """Refuses keys that it does not know, with the near names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, given: Any) -> Any:
        if isinstance(given, dict) and cls.model_config.get("extra") == "forbid":
            check_keys(given, cls.model_fields)
        return given


def _expert_options(value: Any) -> Any:
    return checked_options(value, kinds=EXPERT_KINDS) if isinstance(value, Mapping) else value


def _options(value: Any) -> Any:
    return checked_options(value) if isinstance(value, Mapping) else value


Whole = Annotated[int, Field(strict=True, ge=1)]
Updates = Annotated[int, Field(strict=True, ge=0)]
Minutes = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Names = Annotated[list[str], BeforeValidator(as_list)]
Seeds = Annotated[list[Annotated[int, Field(strict=True, ge=0)]], BeforeValidator(as_seeds)]
Options = Annotated[dict[str, Any], BeforeValidator(_options)]
ExpertOptions = Annotated[dict[str, Any] | None, BeforeValidator(_expert_options)]
