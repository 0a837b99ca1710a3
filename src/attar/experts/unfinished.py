"""Experts in training, kept on the way, so that a run that was ended goes on from there.

A file belongs to experts that are trained in one step. It holds their snapshots so far
(``snapshots``, M×(epochs + 1)×P) and everything that training goes on with, in full precision.
"""

from __future__ import annotations

import contextlib
import glob
import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from attar.errors import ArtefactError
from attar.experts.header import Header
from attar.experts.store import path_of
from attar.stored import Damaged, is_of, open_stored
from attar.synthetic import STORAGE_TYPES
from attar.tensors import all_finite, save_tensors
from attar.training.learning import Midway

FORMAT = "attar.unfinished-experts"
FORMAT_VERSION = 2
_SNAPSHOTS = "snapshots"
_NETWORKS = "networks/"
_OPTIMISER = "optimiser/"
_NAME = re.compile(r"unfinished-(\d{5,})-(\d{5,})\.safetensors")


def unfinished_path(folder: Path, experts: Sequence[int]) -> Path:
    """Return the file of experts that are trained in one step."""
    return folder / f"unfinished-{min(experts):05d}-{max(experts):05d}.safetensors"


def keep_unfinished(
    folder: Path, header: Header, experts: Sequence[int], midway: Midway, snapshots: Tensor
) -> None:
    """Write where the training of experts is, atomically.

    Args:
        folder: of the store.
        header: of the store.
        experts: their numbers.
        midway: what training goes on with.
        snapshots: M×(epochs so far + 1)×P.
    """
    tensors = {_SNAPSHOTS: snapshots}
    tensors |= {_NETWORKS + name: tensor for name, tensor in midway.tensors.items()}
    for name, values in midway.optimiser.items():
        tensors |= {f"{_OPTIMISER}{name}/{key}": one for key, one in values.items()}
    own = {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "store": header.digest,
        "experts": list(experts),
        "epochs": midway.epochs,
    }
    save_tensors(unfinished_path(folder, experts), tensors, own)


def read_unfinished(
    folder: Path, header: Header, experts: Sequence[int]
) -> tuple[Midway, Tensor] | None:
    """Return where the training of experts was, and their snapshots; None to begin anew.

    A file that is damaged, or of other settings, is told in a warning and counts as none.
    """
    path = unfinished_path(folder, experts)
    if not path.exists():
        return None
    try:
        with open_stored(path) as stored:
            own = stored.header
            tensors = stored.all()
    except Damaged as error:
        return _useless(path, f"it is damaged: {error.why}")
    except ArtefactError as error:
        return _useless(path, str(error))
    wanted = {"store": header.digest, "experts": list(experts)}
    if not is_of(own, FORMAT, FORMAT_VERSION) or any(own.get(n) != v for n, v in wanted.items()):
        return _useless(path, "it was made with other settings")
    if not _fits(header, len(experts), own.get("epochs"), tensors):
        return _useless(path, "its tensors are not those of these networks")
    networks, optimiser = {}, {}
    for name, tensor in tensors.items():
        if name.startswith(_NETWORKS):
            networks[name.removeprefix(_NETWORKS)] = tensor
        elif name.startswith(_OPTIMISER):
            of, _, key = name.removeprefix(_OPTIMISER).rpartition("/")
            optimiser.setdefault(of, {})[key] = tensor
    return Midway(own["epochs"], networks, optimiser), tensors[_SNAPSHOTS]


def _fits(header: Header, count: int, epochs: Any, tensors: Mapping[str, Tensor]) -> bool:
    """Tell whether tensors are of so many networks after some epochs of their training."""
    if type(epochs) is not int or not 0 < epochs <= header.epochs:
        return False
    kept = tensors.get(_SNAPSHOTS)
    if kept is None or kept.dtype != STORAGE_TYPES[header.storage]:
        return False
    lead = (count,) if count > 1 else ()
    networks = [one.shape for name, one in tensors.items() if name.startswith(_NETWORKS)]
    lacking = Counter(lead + shape for shape in header.shapes.values()) - Counter(
        map(tuple, networks)
    )
    shape = (count, epochs + 1, header.values)
    return tuple(kept.shape) == shape and not lacking and all_finite(tensors)


def clear_unfinished(folder: Path) -> None:
    """Remove what was kept of experts that are all there."""
    for path, experts in _there(folder):
        if all(path_of(folder, expert).exists() for expert in experts):
            path.unlink(missing_ok=True)


def has_unfinished(folder: Path) -> bool:
    """Tell whether a folder holds experts in training."""
    return bool(_there(folder))


def remove_leftovers(folder: Path, experts: Sequence[int]) -> None:
    """Remove temporary files that killed processes left of experts that are claimed."""
    paths = [*(path_of(folder, expert) for expert in experts), unfinished_path(folder, experts)]
    for path in paths:
        for leftover in folder.glob(f".{glob.escape(path.name)}.*.tmp"):
            with contextlib.suppress(OSError):
                leftover.unlink()


def remove_unfinished(folder: Path, experts: Sequence[int] | None = None) -> None:
    """Remove what was kept of some experts in training; None for all."""
    if experts is None:
        paths = [path for path, _ in _there(folder)]
    else:
        paths = [unfinished_path(folder, experts)]
    for path in paths:
        path.unlink(missing_ok=True)


def _there(folder: Path) -> list[tuple[Path, range]]:
    found = ((path, _NAME.fullmatch(path.name)) for path in folder.iterdir())
    return [(path, range(int(own[1]), int(own[2]) + 1)) for path, own in found if own is not None]


def _useless(path: Path, why: str) -> None:
    warnings.warn(
        f"{path} cannot be used ({why}); these experts are trained from the start", stacklevel=3
    )
