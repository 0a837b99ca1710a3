"""How options are declared and told: what requests of every kind share; free of torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import tyro

from attar.errors import unknown

Auto = Literal["auto", "on", "off"]
_R = TypeVar("_R")

_COLUMNS = ("path_column", "label_column", "split_column")
# the options of reading that bear on the images, and are repeated and recorded
BEARING = (
    *("resize", "classes", "per_class", "test_share", "value_range", "background"),
    *_COLUMNS,
)
# the options of reading the data, beside those of a request
READING = ("data_dir", *BEARING)


def _hint(default: str) -> str:
    """Say nothing of a default that is only 'left out', or empty."""
    default = default.removeprefix("['").removesuffix("']")
    return "" if default in ("None", "", "''", "[]") else f"(default: {default})"


def option(metavar: str, *aliases: str, kind: type | None = None) -> object:
    """Return how an option that may be left out appears in help.

    Args:
        metavar: stands for its value.
        *aliases: other names.
        kind: what its text is read as; by default what the annotation says.
    """
    return tyro.conf.arg(
        metavar=metavar, aliases=list(aliases), help_behavior_hint=_hint, constructor=kind
    )


Whole = Annotated[int | None, option("N", kind=int)]
Number = Annotated[float | None, option("X", kind=float)]
Name = Annotated[str | None, option("NAME")]
Classes = Annotated[str | None, option("N or NAMES")]
ValueRange = Annotated[str | None, option("LOW:HIGH", "--range")]
Background = Annotated[str | None, option("COLOUR")]
Folder = Annotated[Path | None, option("DIR")]
File = Annotated[Path | None, option("FILE")]


def request_of(kind: type[_R], options: Mapping[str, Any]) -> _R:
    """Return a request of keyword options.

    Args:
        kind: a dataclass whose fields are options, such as `Request`.
        options: fields of it.

    Raises:
        BadRequest: an option that it does not have, or a value that it refuses.
    """
    known = kind.__dataclass_fields__  # pyright: ignore[reportAttributeAccessIssue]
    for name in options:
        if name not in known:
            raise unknown("option", name, known)
    return kind(**options)


def request_and_reading(kind: type[_R], options: Mapping[str, Any]) -> tuple[_R, dict[str, Any]]:
    """Return a request of keyword options, and those of them that say how the data are read.

    Raises:
        BadRequest: as `request_of` does.
    """
    reading = {name: options[name] for name in READING if name in options}
    own = {name: value for name, value in options.items() if name not in reading}
    return request_of(kind, own), reading


def described(network: object) -> str:
    """Return how a call gives this network: a name in quotes, a class, ``MyNet(...)``."""
    if isinstance(network, str):
        return repr(network)
    name = getattr(network, "__name__", "")
    if isinstance(name, str) and name:
        return "lambda: ..." if name == "<lambda>" else name
    return f"{type(network).__name__}(...)"


def quoted(text: str) -> str:
    """Return a text as a shell takes it for one word."""
    import shlex

    return shlex.quote(text)
