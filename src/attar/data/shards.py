"""Which .tar files a source means, and what lies where in them; nothing is unpacked."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
from torch import Tensor

from attar.data.braces import expanded
from attar.errors import BadRequest
from attar.text import printable

_MOST_SHARDS = 100_000
_BLOCK = tarfile.BLOCKSIZE
# a label that is longer is none
LONGEST_LABEL = 2**20


@dataclass(frozen=True)
class Member:
    """A file in a shard: its name, and where its bytes are."""

    name: str
    offset: int
    size: int


@dataclass(frozen=True)
class Members:
    """Pictures that are files in shards.

    Args:
        shards: paths of the .tar files.
        names: of the N files.
        places: N×3 numbers: which shard, where the file begins in it, and its bytes.
    """

    shards: tuple[Path, ...]
    names: np.ndarray
    places: np.ndarray

    @property
    def lies_in(self) -> tuple[tuple[Path, ...], bytes]:
        """The shards, and where in these the pictures are."""
        return self.shards, self.places.tobytes()

    def __len__(self) -> int:
        return len(self.names)

    def at(self, index: Tensor) -> Members:
        """Return the pictures at ``index``."""
        rows = index.numpy()
        return Members(self.shards, self.names[rows], self.places[rows])

    def stream(self, index: int) -> BinaryIO:
        """Return the file of one picture, opened."""
        shard, offset, size = map(int, self.places[index])
        return io.BytesIO(read_at(self.shards[shard], offset, size))

    def name(self, index: int) -> str:
        """Return the shard and the name of one picture."""
        return printable(f"{self.shards[int(self.places[index][0])]}: {self.names[index]}")


def read_at(path: Path, offset: int, size: int) -> bytes:
    """Return some bytes of a file."""
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(size)


def shards_of(argument: str) -> list[Path]:
    """Return the .tar files that ``FILE-{000..009}.tar``, a file or a folder means, by name.

    Braces are those of WebDataset (`attar.data.braces`); a file that is so named is taken first.

    Raises:
        BadRequest: one of them does not exist, there is none, or more than 100,000.
    """
    where = f"wds:{argument}"
    path = Path(argument).expanduser().absolute()
    if path.is_dir():
        found = sorted(one for one in path.glob("*.tar") if not one.name.startswith("."))
        if not found:
            raise BadRequest(f"{where}: {path} holds no .tar files; give the folder of the shards")
        return found
    if path.is_file():
        return [path]
    try:
        # before they are completed, since the paths themselves may lie in the braces
        names = list(islice(expanded(argument), _MOST_SHARDS + 1))
    except ValueError as error:
        raise BadRequest(f"{where}: {error}; write {{000..009}} or {{train,val}}") from None
    if len(names) > _MOST_SHARDS:
        raise BadRequest(f"{where}: more than {_MOST_SHARDS:,} names; give fewer")
    found = [Path(one).expanduser().absolute() for one in names]
    for one in found:
        if not one.is_file():
            raise BadRequest(f"{where}: {one} does not exist; give .tar files or their folder")
    return found


def members_of(shard: Path) -> Iterator[Member]:
    """Yield the regular files of a shard; links, devices and folders are passed over.

    Raises:
        BadRequest: it is no .tar file, is compressed, or is damaged.
    """
    try:
        # compressed, a picture could not be read without all before it
        with tarfile.open(shard, "r:") as archive:
            while (member := archive.next()) is not None:
                # it keeps what it has read, a kilobyte each
                archive.members.clear()  # pyright: ignore[reportAttributeAccessIssue]
                if member.isreg() and not member.issparse():
                    yield Member(member.name, member.offset_data, member.size)
            end = archive.offset
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        raise BadRequest(
            f"{shard} cannot be read as an uncompressed .tar file ({error}); unpack it with "
            "gunzip, or copy it again"
        ) from error
    # Python's tarfile takes a damaged header, and the end of what was cut off, for the end
    if read_at(shard, end, _BLOCK) != bytes(_BLOCK):
        raise BadRequest(f"{shard} is damaged or cut off at byte {end:,}; copy it again")
