"""The arrays of an .npz file, each looked at before it is read, and only where it is wanted."""

from __future__ import annotations

import io
import math
import tokenize
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

import numpy as np

from attar.capacity import check_unpacked
from attar.errors import BadRequest
from attar.zipped import UNREADABLE, check_member, opened, reason

# a broken header is taken apart as Python text
FAULTS = (*UNREADABLE, tokenize.TokenError)
_ENDING = ".npy"
_MAGIC = b"\x93NUMPY"
# NumPy's own limit for headers that are not trusted
_HEADER = 10_000


class Arrays(Mapping[str, np.ndarray]):
    """The arrays of an .npz file by name; what is no array in it is passed over.

    Args:
        path: of the file.

    Raises:
        BadRequest: on making it, where there is no such archive; on reading an array, where it is
            damaged, is a pickle of objects, says another size of itself than its member has, or
            unpacks to far more than is stored or than there is memory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                alone = file.read(len(_MAGIC)) == _MAGIC
            if alone:
                raise BadRequest(f"{path} holds one array; save several with numpy.savez")
            with opened(path) as archive:
                names = [info.filename for info in archive.infolist()]
        except FAULTS as error:
            raise self._refusal(error) from error
        self.files = [name.removesuffix(_ENDING) for name in names if name.endswith(_ENDING)]

    def __iter__(self) -> Iterator[str]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.files:
            raise KeyError(name)
        try:
            with opened(self.path) as archive:
                info = archive.getinfo(name + _ENDING)
                check_member(info)
                with archive.open(info) as file:
                    shape, dtype, begin, _ = header_of(file)
                declared = math.prod(shape) * dtype.itemsize
                if declared != info.file_size - begin:
                    raise ValueError(
                        f"array {name!r} is said to be {shape} of {dtype}, which are {declared} "
                        f"bytes, but {info.file_size - begin} are said to be stored"
                    )
                check_unpacked(
                    info.compress_size,
                    info.file_size,
                    f"{self.path}: array {name!r} of shape {shape}",
                    "if it is meant so, save it with numpy.savez, which does not compress",
                )
                with archive.open(info) as file:
                    return np.lib.format.read_array(file, allow_pickle=False)
        except FAULTS as error:
            raise self._refusal(error) from error

    def _refusal(self, error: Exception) -> BadRequest:
        if isinstance(error, BadRequest):
            return error
        return BadRequest(
            f"{self.path} cannot be read as an .npz file of plain arrays ({reason(error)}); an "
            "array of objects is a pickle, which is never run: save it with numpy.savez as numbers"
        )


def header_of(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype, int, bool]:
    """Return shape and type of an array, where its values begin, and whether columns come first.

    Raises:
        ValueError: no array of numbers is written so, or its header is damaged.
    """
    beginning = io.BytesIO(file.read(_HEADER))
    version = np.lib.format.read_magic(beginning)
    if version == (1, 0):
        shape, columns, dtype = np.lib.format.read_array_header_1_0(beginning)
    elif version == (2, 0):
        shape, columns, dtype = np.lib.format.read_array_header_2_0(beginning)
    else:
        raise ValueError(f"an array is written in version {version}, as no numbers are")
    if dtype.hasobject:
        raise ValueError("an array holds objects")
    return shape, dtype, beginning.tell(), columns
