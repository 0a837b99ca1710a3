"""What bears on how a source is read, whatever the source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attar.data.subsets import EVERYTHING, Subset, classes_text
from attar.data.values import PLAIN, Look, range_text
from attar.errors import unknown
from attar.options import BEARING, Auto

# of every class, where a source by name has no test part of its own
HELD_OUT = 0.2

# told what is done ("decoding images"), how many of the images are done, and how many there are
Watch = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Columns:
    """The columns asked for by name; None leaves one to be found.

    Args:
        path: of the images, or of the paths to them.
        label: of the classes; names with commas between are columns that hold a 1 for the class.
        split: of the parts.
    """

    path: str | None = None
    label: str | None = None
    split: str | None = None


USUAL = Columns()


@dataclass(frozen=True)
class Reading:
    """The options of reading a source by name.

    Args:
        data_dir: where named data sets and decoded images are kept.
        size: height and width that images are brought to; None leaves them.
        subset: what to take.
        watch: told how reading goes on; see `Watch`.
        look: what stored values come to.
        columns: which columns of a table to read.
        test_share: of every class, to hold out as test where there is no test part; None where
            nothing was said.
        default_share: that share then.
        in_memory: whether all images are held in memory, where they need not be; ``auto`` where
            they take less than half of what can be had.
    """

    data_dir: Path
    size: tuple[int, int] | None = None
    subset: Subset = EVERYTHING
    watch: Watch | None = None
    look: Look = PLAIN
    columns: Columns = USUAL
    test_share: float | None = None
    default_share: float = HELD_OUT
    in_memory: Auto = "auto"


def wanted_keep(given: Auto) -> Auto:
    """Return whether images are held in memory, as it is asked for.

    Raises:
        BadRequest: none of the three.
    """
    if given not in ("auto", "on", "off"):
        raise unknown("value (in_memory)", given, ("auto", "on", "off"))
    return given


def bearing(reading: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of reading that bear on the images, where given."""
    said = {name: reading.get(name) for name in BEARING}
    return {name: value for name, value in said.items() if value is not None}


def as_texts(reading: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of reading as the command line takes them, which names no object."""
    forms = {"classes": classes_text, "value_range": range_text}
    return {
        name: forms[name](value) if name in forms else value
        for name, value in reading.items()
        if name != "name"
    }
