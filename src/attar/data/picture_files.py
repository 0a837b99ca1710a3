"""Pictures that are listed and can be opened one by one."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, Self, runtime_checkable

from torch import Tensor

from attar.data.walking import refuse_irregular
from attar.errors import AttarError, BadRequest, RunFailed
from attar.faults import in_words, lacking

# what Pillow, its decoders and tifffile raise at files that were damaged at random
_DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    LookupError,
    TypeError,
    ArithmeticError,
    RuntimeError,
    EOFError,
    struct.error,
)


class Pictures(Protocol):
    """Pictures that can be opened one by one, from several threads."""

    def __len__(self) -> int: ...

    def at(self, index: Tensor) -> Self:
        """Return the pictures at ``index``, in that order."""
        ...

    def stream(self, index: int) -> BinaryIO:
        """Return the file of one picture, opened."""
        ...

    def name(self, index: int) -> str:
        """Return how messages call one picture."""
        ...


@runtime_checkable
class InFiles(Pictures, Protocol):
    """Pictures that lie in files of this machine, whose times of change tell whether they do."""

    @property
    def lies_in(self) -> tuple[tuple[Path, ...], bytes]:
        """The files, and where in these the pictures are; empty where each is one of them."""
        ...


@dataclass(frozen=True)
class Files:
    """Pictures that are files."""

    paths: tuple[Path, ...]

    @property
    def lies_in(self) -> tuple[tuple[Path, ...], bytes]:
        """The files."""
        return self.paths, b""

    def __len__(self) -> int:
        return len(self.paths)

    def at(self, index: Tensor) -> Files:
        """Return the files at ``index``."""
        return Files(tuple(self.paths[i] for i in index.tolist()))

    def stream(self, index: int) -> BinaryIO:
        """Return one file, opened."""
        return open_regular(self.paths[index])

    def name(self, index: int) -> str:
        """Return the path of one file."""
        return str(self.paths[index])


class Unreadable(BadRequest):
    """One picture, or several, cannot be read.

    Attributes:
        name: of the picture.
        why: it cannot be read.
        broken: False where the picture is not at fault: the system does not let it be read, or it
            is of a kind that is refused.
    """

    def __init__(self, name: str, why: str, said: str = "", *, broken: bool = True) -> None:
        super().__init__(said or f"image {name} cannot be read ({why}); replace or remove it")
        self.name, self.why, self.broken = name, why, broken


def open_regular(path: Path) -> BinaryIO:
    """Return a regular file, opened.

    Raises:
        BadRequest: it is none, so that opening or reading it might never end.
    """
    if not path.is_file():
        refuse_irregular(path)
    return path.open("rb")


def unreadable(name: str, error: Exception) -> AttarError:
    """Return what is to be said of a picture that could not be read.

    Where the system failed, the picture is not at fault: nobody should remove it.
    """
    scarce = lacking(error)
    if scarce is not None:
        return RunFailed(f"reading {name}: {scarce}.")
    if isinstance(error, OSError) and error.errno is not None:
        said = f"image {name} cannot be read: {in_words(error)}"
        return Unreadable(name, error.strerror or str(error), said, broken=False)
    # Pillow names the object that it was given
    reason = re.sub(r" (<_io\.\w+ .*>|'.*')$", "", str(error))
    return Unreadable(name, reason or type(error).__name__)


@contextmanager
def unreadable_as(pictures: Pictures, index: int) -> Iterator[None]:
    """Turn whatever reading one picture raises into its refusal."""
    from PIL import Image

    try:
        yield
    except Unreadable:
        raise
    except BadRequest as error:
        name = pictures.name(index)
        why = error.text.removeprefix(f"image {name}").lstrip(" :")
        raise Unreadable(name, why, error.text, broken=False) from error
    except RunFailed:
        raise
    except (*_DAMAGED, Image.DecompressionBombError) as error:
        raise unreadable(pictures.name(index), error) from error
