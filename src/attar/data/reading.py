"""What bears on how a source is read, whatever the source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from attar.data.subsets import EVERYTHING, Subset

# told what is done ("decoding images"), how many of the images are done, and how many there are
Watch = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Reading:
    """The options of reading a source by name.

    Args:
        data_dir: where named data sets and decoded images are kept.
        size: height and width that images are brought to; None leaves them.
        subset: what to take.
        watch: told how reading goes on; see `Watch`.
    """

    data_dir: Path
    size: tuple[int, int] | None = None
    subset: Subset = EVERYTHING
    watch: Watch | None = None
