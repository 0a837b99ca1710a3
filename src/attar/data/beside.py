"""The file that a name in a table means: a path, or an id of a picture beside the table."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from attar.data.walking import Walk, what_is
from attar.errors import BadRequest

# what is the same for two names of one file: hard links and symbolic links among them
Identity = tuple[int, int] | str


def identity(path: Path) -> Identity | None:
    """Return what tells a regular file from all others; None where there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116 - half the time of Path.stat
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    # some file systems number nothing
    return (found.st_dev, found.st_ino) if found.st_ino else os.path.realpath(path)


@dataclass
class Beside:
    """Finds the files that the rows of a table name.

    Args:
        folder: of the table, where relative paths start.
        completed: how many names were no path, and were found below the folder.
    """

    folder: Path
    completed: int = field(default=0, init=False)

    def file(self, name: str, where: str) -> tuple[Path, Identity]:
        """Return the path of a file, and what tells it from others.

        A name that is no path, such as ``ISIC_0027419``, means the one picture below the folder
        of the table that is called so, with or without its ending.

        Raises:
            BadRequest: no file fits, or several do.
        """
        path = self.folder / Path(name).expanduser()
        found = identity(path)
        if found is not None:
            return path, found
        if path.exists() and not path.is_dir():
            raise BadRequest(f"{where}: {path} is {what_is(path)}, not a picture file")
        fitting = [] if not name or path.is_dir() else self.fitting(name)
        if len(fitting) > 1:
            raise BadRequest(
                f"{where}: {name!r} fits several files, such as {fitting[0]} and {fitting[1]}; "
                "write their paths into the table, or move away what does not belong to it"
            )
        found = identity(fitting[0]) if fitting else None
        if found is None:
            raise BadRequest(
                f"{where}: there is no file {path}; relative paths start at {self.folder}, and "
                f"no picture below it is called {name!r}, with or without an ending"
            )
        self.completed += 1
        return fitting[0], found

    def fitting(self, name: str) -> list[Path]:
        """Return the pictures below the folder that a name may mean."""
        parts = Path(name).parts
        return [
            path
            for path in self.pictures.get(parts[-1], ())
            if path.parent.parts[len(path.parent.parts) - len(parts) + 1 :] == parts[:-1]
        ]

    @cached_property
    def pictures(self) -> dict[str, list[Path]]:
        """The pictures below the folder, by name and by name without ending."""
        found: dict[str, list[Path]] = {}
        walk = Walk()
        walk.enter(self.folder)
        for path in walk.pictures(self.folder):
            for known in (path.name, path.stem):
                found.setdefault(known, []).append(path)
        return found

    @property
    def note(self) -> str:
        """One line about names that were no paths; empty where all were."""
        if not self.completed:
            return ""
        return f"{self.completed:,} images found by name below {self.folder}"
