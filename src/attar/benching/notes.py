"""Small JSON files in the folder of a suite."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from attar.files import write_text


def plain(value: Any) -> Any:
    """Return a value as JSON gives it back."""
    return json.loads(json.dumps(value))


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the mapping in a file; None where there is none that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a mapping, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")
