"""One file of tensors with a JSON header: what artefacts and checkpoints are made of.

The file is safetensors; the header is one JSON text under the key ``attar`` of its metadata.
Nothing in it is ever executed.
"""

from __future__ import annotations

import contextlib
import json
import math
import struct
from collections.abc import Iterator, Mapping
from io import RawIOBase
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attar.errors import ArtefactError
from attar.files import write_atomically

HEADER_KEY = "attar"
# safetensors refuses headers above 100 MB itself; ours are a few kilobytes
_LARGEST_HEADER = 16 * 2**20
# what reading JSON raises for text that is none, is nested too deep or says something else
_NO_HEADER = (ValueError, KeyError, TypeError, RecursionError)


def save_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write tensors and header to ``path``, atomically."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    def write(temporary: Path) -> None:
        try:
            save_file(flat, str(temporary), metadata)
        except SafetensorError as error:  # a full disk, too, is told in this way
            raise OSError(str(error)) from error

    flat = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = {HEADER_KEY: json.dumps(header, sort_keys=True, allow_nan=False)}
    write_atomically(path, write)


def read_header(path: Path) -> dict[str, Any]:
    """Return the JSON header of a file without reading its tensors.

    Raises:
        ArtefactError: no such file, not a safetensors file, or one that Attar did not write.
    """
    path = Path(path)
    with opened(path) as file:
        text = header_text(path, file)
    return header_of(path, text)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[RawIOBase]:
    """Open a file to be read byte by byte as asked, nothing ahead.

    Raises:
        ArtefactError: it cannot be opened, or not be read inside the block.
    """
    try:
        with path.open("rb", buffering=0) as file:
            yield file
    except FileNotFoundError:
        raise ArtefactError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ArtefactError(f"{path} is a directory, not an artefact") from None
    except OSError as error:
        raise ArtefactError(f"{path} cannot be read: {error.strerror or error}") from error


def read_into(file: RawIOBase, buffer: memoryview) -> int:
    """Fill a buffer of bytes from a file; return how many there were before it ended."""
    done = 0
    while done < len(buffer) and (found := file.readinto(buffer[done:])):
        done += found
    return done


def header_text(path: Path, file: RawIOBase) -> bytes:
    """Return the JSON that a safetensors file begins with, from the start of the file.

    Raises:
        ArtefactError: it is no safetensors file.
    """
    start = bytearray(8)
    whole = read_into(file, memoryview(start)) == 8
    size = struct.unpack("<Q", start)[0] if whole else 0
    if not 2 <= size <= _LARGEST_HEADER:
        raise ArtefactError(f"{path} is not a safetensors file, so no artefact")
    text = bytearray(size)
    return bytes(text[: read_into(file, memoryview(text))])


def header_of(path: Path, text: bytes) -> dict[str, Any]:
    """Return Attar's own header from the JSON that a file begins with.

    Raises:
        ArtefactError: there is none.
    """
    try:
        metadata = json.loads(text)["__metadata__"]
    except _NO_HEADER:
        raise ArtefactError(f"{path} is not a file that Attar wrote") from None
    try:
        header = json.loads(metadata[HEADER_KEY], parse_float=_finite, parse_constant=_finite)
        # escapes may spell half a character, which no file or terminal takes
        json.dumps(header, ensure_ascii=False).encode()
    except _NO_HEADER:
        raise ArtefactError(
            f"{path} is a safetensors file, but not one that Attar wrote: it has no "
            f"valid {HEADER_KEY!r} header"
        ) from None
    if not isinstance(header, dict):
        raise ArtefactError(f"{path}: its {HEADER_KEY!r} header is no JSON object")
    return header


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return every tensor of a file.

    Raises:
        ArtefactError: the file is truncated or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(str(path))
    except (SafetensorError, OSError, ValueError) as error:
        raise ArtefactError(f"{path} is truncated or damaged ({error}); fetch it again") from error


def flatten(tree: Mapping[str, Any], prefix: str = "") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Split nested dictionaries into tensors by dotted name and the rest as JSON values.

    Raises:
        TypeError: a value is neither a tensor nor plain JSON.
    """
    tensors: dict[str, Tensor] = {}
    rest: dict[str, Any] = {}
    for name, value in tree.items():
        if "." in name:
            raise TypeError(f"a name in a stored tree must have no dot: {name!r}")
        path = f"{prefix}{name}"
        if isinstance(value, Tensor):
            tensors[path] = value
        elif isinstance(value, Mapping):
            inner, others = flatten(value, f"{path}.")
            tensors |= inner
            rest[name] = others
        elif value is None or isinstance(value, bool | int | float | str | list):
            rest[name] = value
        else:
            raise TypeError(f"{path} is a {type(value).__name__}; only tensors and plain values")
    return tensors, rest


def unflatten(tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> dict[str, Any]:
    """Undo `flatten`."""
    tree = {name: unflatten({}, v) if isinstance(v, dict) else v for name, v in rest.items()}
    for path, tensor in tensors.items():
        *parents, leaf = path.split(".")
        branch = tree
        for parent in parents:
            branch = branch.setdefault(parent, {})
        branch[leaf] = tensor
    return tree


def nested(flat: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return copies of tensors with dotted names as a tree, which `flatten` takes."""
    return unflatten({path: tensor.detach().clone() for path, tensor in flat.items()}, {})


def dotted(tree: Mapping[str, Any]) -> dict[str, Tensor]:
    """Undo `nested`, without copying."""
    return flatten(tree)[0]


def all_finite(tensors: Mapping[str, Tensor]) -> bool:
    """Whether no tensor holds NaN or Inf."""
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values())


def feed(digest: Any, *tensors: Tensor) -> None:
    """Add the values of tensors to a digest of `hashlib`, a piece at a time."""
    for tensor in tensors:
        for part in tensor.split(4096) if tensor.ndim else (tensor,):
            digest.update(part.detach().cpu().contiguous().numpy().data)
