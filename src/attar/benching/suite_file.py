"""A suite from its file, and in words what a file cannot say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from attar.benching.reading import Document, read_document
from attar.benching.suite import Suite
from attar.errors import BadRequest

# of a long list of errors, the first ones
_MOST_ERRORS = 5


def read_suite(path: Path) -> Suite:
    """Read a suite.

    Raises:
        BadRequest: the file cannot be read or says something that a suite cannot say; names the
            line, the key, the value and what is allowed.
    """
    document = read_document(path)
    value = {"name": path.stem, **document.value}
    try:
        return Suite.model_validate(value)
    except ValidationError as error:
        raise BadRequest("\n".join(_said(document, error))) from None


def _said(document: Document, error: ValidationError) -> list[str]:
    found = error.errors(include_url=False)
    lines = []
    for one in found[:_MOST_ERRORS]:
        context = one.get("ctx", {})
        place = [*one["loc"], *context.get("place", ())]
        text = context["text"] if one["type"] == "refused" else _plain(one)
        lines.append(f"{document.where(place)}: {text}")
    if len(found) > _MOST_ERRORS:
        lines.append(f"and {len(found) - _MOST_ERRORS} more")
    return lines


def _plain(error: Any) -> str:
    if error["type"] == "missing":
        return f"the key {error['loc'][-1]!r} is missing"
    text = error["msg"][:1].lower() + error["msg"][1:]
    return f"{text}, not {error['input']!r}"
