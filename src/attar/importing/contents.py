"""What lies at a path: tensors of PyTorch, arrays of NumPy, a checkpoint of flax, or a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from attar.data.folders import images_below
from attar.data.npz_file import Arrays
from attar.errors import BadRequest
from attar.importing.flax_files import is_flax, read_flax
from attar.pickled.names import is_archive
from attar.pickled.reading import read_pickled
from attar.zipped import UNREADABLE, opened, reason

PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".bin", ".tar")
_WHAT_IS_READ = (
    "read are files of torch.save, .npz files, checkpoints of flax, and folders with one "
    "subfolder of images per class"
)


@dataclass(frozen=True)
class Content:
    """One path and what lies there.

    Args:
        path: as it was given.
        kind: what it is.
        value: tensors in lists and dictionaries (``torch``), tensors by name (``npz``), the
            tree of a checkpoint (``flax``), or the path (``folder``).
    """

    path: Path
    kind: Literal["torch", "npz", "flax", "folder"]
    value: Any

    @property
    def described(self) -> str:
        """What it is, in a few words for messages."""
        value = self.value
        if self.kind == "folder":
            return "a folder"
        if self.kind == "flax":
            return f"a checkpoint of flax with {_few(value)}"
        if isinstance(value, Tensor):
            return f"a tensor of shape {tuple(value.shape)}"
        if isinstance(value, Mapping):
            return f"a dictionary of {_few(value)}"
        if isinstance(value, list):
            return f"a list of {len(value)}"
        return f"a {type(value).__name__}"


def open_content(path: Path) -> Content:
    """Open a path as what it is; nothing in it is executed.

    Raises:
        BadRequest: there is nothing, or nothing that can be read.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        return Content(path, "folder", path)
    if not path.is_file():
        raise BadRequest(f"{path}: no such file or folder")
    try:
        with path.open("rb") as file:
            beginning = file.read(16)
    except OSError as error:
        raise BadRequest(f"{path} cannot be read: {error.strerror or error}") from error
    if _is_npz(path):
        return Content(path, "npz", Numbers(Arrays(path)))
    if beginning[:2] == b"PK" or beginning[:1] == b"\x80" or path.suffix.lower() in PICKLES:
        return Content(path, "torch", read_pickled(path))
    if is_flax(beginning):
        return Content(path, "flax", read_flax(path))
    if b'{"__metadata__"' in beginning + b" " or path.suffix == ".safetensors":
        raise BadRequest(f"{path} is a safetensors file; artefacts of Attar need no import")
    raise BadRequest(f"{path} is nothing that can be imported; {_WHAT_IS_READ}")


def fingerprint(path: Path) -> tuple[str, int]:
    """Return the SHA-256 of a file, or of a folder's images with their names, and the bytes."""
    digest, size = hashlib.sha256(), 0
    folder = path.is_dir()
    for name in sorted(images_below(path)) if folder else [path]:
        length = name.stat().st_size
        size += length
        if folder:
            digest.update(f"{name.relative_to(path).as_posix()}\0{length}\0".encode())
        with name.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest(), size


def _is_npz(path: Path) -> bool:
    if path.suffix.lower() == ".npz":
        return True
    if not is_archive(path):
        return False
    try:
        with opened(path) as archive:
            names = archive.namelist()
    except UNREADABLE as error:
        raise BadRequest(f"{path} cannot be read ({reason(error)}); fetch it again") from error
    return bool(names) and all(name.endswith(".npy") for name in names)


class Numbers(Mapping[str, Tensor]):
    """The arrays of an .npz file as tensors, each read where it is asked for.

    Args:
        arrays: of the file.

    Raises:
        BadRequest: as `Arrays`, and on reading what are no numbers.
    """

    def __init__(self, arrays: Arrays) -> None:
        self._arrays = arrays

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __contains__(self, name: object) -> bool:
        return name in self._arrays.files

    def __getitem__(self, name: str) -> Tensor:
        array = self._arrays[name]
        if array.dtype.kind not in "uif":
            raise BadRequest(f"{self._arrays.path}: array {name!r} is {array.dtype}, no numbers")
        return torch.from_numpy(_native(array))


def _native(array: np.ndarray) -> np.ndarray:
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    if array.dtype.kind == "u" and array.dtype != np.uint8:
        return array.astype(np.int64)
    return array.astype(np.float64) if array.dtype.name == "float128" else array


def _few(names: Any) -> str:
    names = [str(name) for name in names]
    return ", ".join(names[:6]) + (", …" if len(names) > 6 else "") if names else "nothing"
