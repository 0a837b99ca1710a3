"""What networks came to that were trained on a set of a suite: one file for each `Measuring`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from attar.benching.notes import read_json, write_json
from attar.evaluation.record import Evaluation
from attar.evaluation.rows import Row


@dataclass(frozen=True)
class Measured:
    """What was measured of a set, or of the whole training set.

    Args:
        identity: what it depends on beside the set, as JSON gives it back.
        sha256: digest of the set.
        data: the source of the real images.
        card: that networks were trained under.
        rows: the set's own first, then its other iterate and labels.
    """

    identity: Mapping[str, Any]
    sha256: str
    data: str
    card: str
    rows: tuple[Row, ...]

    @property
    def evaluation(self) -> Evaluation:
        """The same as `attar evaluate` keeps it."""
        return Evaluation(self.card, self.data, self.rows)

    def write(self, path: Path) -> None:
        """Write the file."""
        rows = [row.as_dict() for row in self.rows]
        write_json(path, {**vars(self), "rows": rows})


_READER = TypeAdapter(Measured)


def read_measured(path: Path) -> Measured | None:
    """Read the file; None where there is none, or not one that can be read."""
    try:
        return _READER.validate_python(read_json(path))
    except ValidationError:
        return None
