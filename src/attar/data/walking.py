"""Which files below a folder are pictures; every folder is entered once, nothing goes unsaid."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from attar.errors import AttarError, BadRequest, RunFailed
from attar.faults import lacking
from attar.text import printable

# what Pillow reads beside pictures: documents, vectors, films, measurements
_NO_PICTURES = ("EPS", "PDF", "WMF", "MPEG", "FLI", "HDF5", "GRIB", "BUFR", "IPTC")
# Pillow tries formats one after the other
_FREQUENT = ("JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP", "PPM")
# what systems leave in folders, beside names that begin with a dot
_HIDDEN = ("__MACOSX", "@eaDir", "Thumbs.db", "desktop.ini")
_KINDS = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


@cache
def formats() -> tuple[str, ...]:
    """Return Pillow's names of the formats of pictures, the most frequent first."""
    from PIL import Image

    Image.init()
    others = sorted(Image.OPEN.keys() - {*_NO_PICTURES, *_FREQUENT})
    return (*(one for one in _FREQUENT if one in Image.OPEN), *others)


@cache
def endings() -> frozenset[str]:
    """Return the endings of picture files, in small letters: those of the formats of Pillow."""
    from PIL import Image

    known = Image.registered_extensions().items()
    return frozenset(ending for ending, kind in known if kind in formats())


def is_picture(name: str) -> bool:
    """Tell whether a file of this name is taken for a picture."""
    return os.path.splitext(name)[1].lower() in endings()  # noqa: PTH122 - of every file


def is_hidden(name: str) -> bool:
    """Tell whether a file or folder of this name is never taken."""
    return name.startswith(".") or name in _HIDDEN


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Tell whether there is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def what_is(path: Path) -> str:
    """Return what there is in the place of a regular file, in words; empty for one."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return "a link to nothing" if path.is_symlink() else "not there"
    return "" if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "no regular file")


def refuse_irregular(path: Path) -> None:
    """Refuse what is no regular file, before it is opened: reading a FIFO would never end.

    Raises:
        BadRequest: it is none.
    """
    what = what_is(path)
    if what:
        raise BadRequest(f"{path} is {what}; a picture file is needed: remove or replace it")


def refuse_no_text(name: str, what: str) -> None:
    """Refuse a name that is not UTF-8, which no artefact could hold.

    Raises:
        BadRequest: it is not.
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        raise BadRequest(
            f"{what} {name!r} is not in UTF-8, so it cannot be written into an artefact; rename it"
        ) from None


@dataclass
class Walk:
    """Goes through folders, each of them once, and counts what it does not take."""

    _entered: dict[tuple[int, int] | str, Path] = field(default_factory=dict)
    _again: list[tuple[Path, Path]] = field(default_factory=list)
    _left: Counter[str] = field(default_factory=Counter)
    _hidden: list[str] = field(default_factory=list)

    def folders(self, root: Path) -> list[Path]:
        """Return the folders in one that are not hidden, sorted by name, and enter them.

        Files beside them are counted as left out.

        Raises:
            BadRequest: it cannot be read, a folder is one that was entered before, or a name is
                not UTF-8.
        """
        found = []
        for entry in self._entries(root):
            if not is_folder(entry):
                beside = " beside the folders of the classes" if is_picture(entry.name) else ""
                self._left[_ending(entry.name) + beside] += 1
                continue
            path = root / entry.name
            refuse_no_text(entry.name, f"the folder in {root} with the name")
            before = self._enter(path)
            if before is not None:
                raise BadRequest(
                    f"{path} is the same folder as {before}, so its images would count twice; "
                    "remove one of the two (a link)"
                )
            found.append(path)
        return found

    def pictures(self, folder: Path) -> list[Path]:
        """Return the pictures below a folder that is entered, in ImageFolder's order.

        Raises:
            BadRequest: a folder cannot be read, or what is called as a picture is no regular file.
        """
        own: dict[str, list[Path]] = {}
        pending = [folder]
        while pending:
            where = pending.pop()
            found = own.setdefault(str(where), [])
            for entry in self._entries(where):
                path = where / entry.name
                if is_folder(entry):
                    before = self._enter(path)
                    if before is None:
                        pending.append(path)
                    else:
                        self._again.append((path, before))
                elif is_picture(entry.name):
                    if not entry.is_file():
                        refuse_irregular(path)
                    found.append(path)
                else:
                    self._left[_ending(entry.name)] += 1
        # by folder first, as torchvision's ImageFolder sorts what os.walk gives
        return [path for where in sorted(own) for path in own[where]]

    def enter(self, *folders: Path) -> None:
        """Note that folders are gone through, so that no link leads into them again."""
        for folder in folders:
            self._enter(folder)

    @property
    def note(self) -> str:
        """One line about everything that was not taken; empty where all was."""
        left = [f"{count:,} {ending}" for ending, count in self._left.most_common()]
        hidden = Counter(self._hidden)
        left += [f"{count:,} hidden {name}" for name, count in hidden.most_common()]
        said = [f"left out: {', '.join(left)}"] if left else []
        if self._again:
            path, before = self._again[0]
            more = f", and {len(self._again) - 1:,} more" if len(self._again) > 1 else ""
            said.append(f"entered once: {path} is the same folder as {before}{more}")
        return printable("; ".join(said))

    def _enter(self, folder: Path) -> Path | None:
        """Note a folder, and return the path under which it was entered before, if any."""
        try:
            found = folder.stat()
        except OSError as error:
            raise _unreadable(folder, error) from error
        # some file systems number nothing
        own = (found.st_dev, found.st_ino) if found.st_ino else os.path.realpath(folder)
        before = self._entered.setdefault(own, folder)
        return None if before is folder else before

    def _entries(self, folder: Path) -> Iterable[os.DirEntry[str]]:
        """Yield what is in a folder and not hidden, by name; hidden folders are noted."""
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            raise _unreadable(folder, error) from error
        return self._shown(entries)

    def _shown(self, entries: Iterable[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
        for entry in entries:
            if not is_hidden(entry.name):
                yield entry
            elif entry.is_dir(follow_symlinks=False) or is_picture(entry.name):
                self._hidden.append(entry.name if is_folder(entry) else _ending(entry.name))


def _unreadable(folder: Path, error: OSError) -> AttarError:
    scarce = lacking(error)
    if scarce is not None:
        return RunFailed(f"reading {folder}: {scarce}.")
    return BadRequest(f"folder {folder} cannot be read ({error.strerror}); make it readable")


def _ending(name: str) -> str:
    """Return how a kind of file is called in the list of what was left out."""
    ending = os.path.splitext(name)[1]  # noqa: PTH122
    return ending.lower() if ending else "without ending"
