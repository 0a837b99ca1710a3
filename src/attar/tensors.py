"""One file of tensors with a JSON header: what artefacts and checkpoints are made of.

The file is safetensors, with checksums of its own (`attar.checksums`); `attar.stored` reads it.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attar.checksums import BLOCKS_KEY, blocks_of, described, text_of
from attar.files import write_atomically
from attar.stored import HEADER_KEY, TYPES, open_stored

_NAMES = {dtype: name for name, dtype in TYPES.items()}


def save_tensors(path: Path, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> None:
    """Write tensors and header to ``path``, atomically, with their checksums."""
    flat = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # as the safetensors library orders them, so that each begins at a multiple of its item's size
    names = sorted(flat, key=lambda name: (-flat[name].dtype.itemsize, name))
    data = {name: as_bytes(flat[name]) for name in names}
    total = sum(map(len, data.values()))
    table, blocks, end = {}, {}, 0
    for name, own in data.items():
        shape = list(flat[name].shape)
        begin, end = end, end + len(own)
        kind = _NAMES[flat[name].dtype]
        table[name] = {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}
        blocks[name] = blocks_of(own, shape[0] if shape else 1, total)
    own = json.dumps(header, sort_keys=True, allow_nan=False)
    text = text_of({HEADER_KEY: own, BLOCKS_KEY: described(blocks)}, table)

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            file.writelines(data.values())

    write_atomically(path, write)


def as_bytes(tensor: Tensor) -> memoryview:
    """Return the bytes of a contiguous tensor on the CPU, as a file holds them."""
    return tensor.reshape(-1).view(torch.uint8).numpy().data


def read_header(path: Path) -> dict[str, Any]:
    """Return the JSON header of a file without reading its tensors.

    Raises:
        ArtefactError: no such file, not a safetensors file, one that Attar did not write, or a
            damaged one.
    """
    with open_stored(path) as stored:
        return stored.header


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return every tensor of a file.

    Raises:
        ArtefactError: the file is truncated or damaged.
    """
    with open_stored(path) as stored:
        return stored.all()


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
    return all(is_finite(tensor) for tensor in tensors.values())


def is_finite(tensor: Tensor) -> bool:
    """Whether a tensor holds neither NaN nor Inf."""
    # least and greatest are NaN where a value is; found in a fraction of the time of isfinite
    return not tensor.numel() or bool(torch.isfinite(torch.stack(tensor.aminmax())).all())


def feed(digest: Any, *tensors: Tensor) -> None:
    """Add the values of tensors to a digest of `hashlib`, a piece at a time."""
    for tensor in tensors:
        for part in tensor.split(4096) if tensor.ndim else (tensor,):
            digest.update(part.detach().cpu().contiguous().numpy().data)


def probabilities(values: Tensor) -> Tensor:
    """Return rows of values, N×K, clipped to 0 and 1 and divided by their sums.

    A row of which nothing is left is of equal probabilities.
    """
    clipped = values.clamp(0, 1)
    sums = clipped.sum(dim=1, keepdim=True)
    return torch.where(sums > 0, clipped / sums, torch.full_like(clipped, 1 / clipped.shape[1]))
