"""A folder of expert trajectories: one header, and one file for every expert.

A file holds one tensor ``snapshots`` of (epochs + 1)×P: a row for the drawn network and one after
every epoch. A row holds all parameters one after the other, in the header's order.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attar.data.preprocessing import Preprocessing
from attar.errors import ArtefactError, BadRequest
from attar.experts.header import Header, Inputs, inputs_of, read_header, shapes_of
from attar.networks import Network
from attar.stored import Damaged, Stored, advising, is_of, open_stored
from attar.synthetic import STORAGE_TYPES
from attar.tensors import save_tensors
from attar.text import text_digest

FORMAT = "attar.expert"
FORMAT_VERSION = 2
_ADVICE = "remove it, and run 'attar experts' again for another in its place"
_SNAPSHOTS = "snapshots"
_Shapes = Mapping[str, tuple[int, ...]]
_NAME = re.compile(r"expert-(\d{5,})\.safetensors")


def path_of(folder: Path, expert: int) -> Path:
    """Return the file of an expert."""
    return folder / f"expert-{expert:05d}.safetensors"


def numbers(folder: Path) -> list[int]:
    """Return which experts are in a folder, in order."""
    found = (_NAME.fullmatch(path.name) for path in folder.iterdir())
    return sorted(int(match[1]) for match in found if match is not None)


def save_expert(folder: Path, header: Header, expert: int, snapshots: Tensor, **facts: Any) -> None:
    """Write the file of an expert, atomically.

    Args:
        folder: of the store.
        header: of the store.
        expert: its number.
        snapshots: (epochs + 1)×P, in the type of the header's storage.
        **facts: more to tell in the file's header, such as an accuracy.
    """
    own = {"format": FORMAT, "version": FORMAT_VERSION, "store": header.digest, "expert": expert}
    save_tensors(path_of(folder, expert), {_SNAPSHOTS: snapshots}, own | facts)


@dataclass(frozen=True)
class ExpertStore:
    """Expert trajectories that are read piece by piece.

    Args:
        folder: where they lie.
        header: what they have in common.
        experts: the numbers of those that are there.
    """

    folder: Path
    header: Header
    experts: Sequence[int]

    @property
    def count(self) -> int:
        """How many experts there are."""
        return len(self.experts)

    @property
    def epochs(self) -> int:
        """How many epochs each was trained for; snapshots are numbered from 0 to it."""
        return self.header.epochs

    @property
    def values(self) -> int:
        """P, the number of parameters."""
        return self.header.values

    @property
    def digest(self) -> str:
        """What a run that follows these experts depends on."""
        return text_digest(f"{self.header.digest} {list(self.experts)}", 16)

    @property
    def bytes(self) -> int:
        """What the files of all experts take."""
        return sum(path_of(self.folder, expert).stat().st_size for expert in self.experts)

    def accuracies(self) -> list[float]:
        """Return the accuracies of the last snapshots, in percent, on training images.

        Of experts whose files tell one, in their order.

        Raises:
            ArtefactError: a file was damaged since it was opened.
        """
        found = []
        for expert in self.experts:
            with self._opened(expert) as stored:
                found.append(stored.header.get("accuracy"))
        return [one for one in found if isinstance(one, int | float)]

    @cached_property
    def checked(self) -> bool:
        """Whether all files have checksums, which those of version 1 lack."""
        found = []
        for expert in self.experts:
            with self._opened(expert) as stored:
                found.append(stored.checked)
        return all(found)

    def segment(self, expert: int, start: int, length: int) -> Tensor:
        """Return snapshots ``start`` to ``start + length`` of the i-th expert.

        Args:
            expert: i, from 0 to below `count`.
            start: epochs of training before the first snapshot.
            length: epochs from the first to the last; 0 or more.

        Returns:
            (length + 1)×P, float32, compared with their checksums. Beside the header, no other
            bytes of the file are read (of rows below 4 KiB, the rest of a block at either end).

        Raises:
            ArtefactError: the file was damaged since it was opened.
        """
        if min(start, length) < 0 or start + length > self.epochs:
            raise BadRequest(
                f"epochs {start} to {start + length}: the experts in {self.folder} have 0 to "
                f"{self.epochs}"
            )
        with self._opened(self.experts[expert]) as stored:
            found = stored.rows(_SNAPSHOTS, [range(start, start + length + 1)]).float()
            if not bool(torch.isfinite(found).all()):
                raise Damaged(stored.path, "it holds values that are no numbers")
        return found

    def check(self) -> None:
        """Look at the header of every file.

        Raises:
            ArtefactError: one is truncated, damaged, or of another store.
        """
        for expert in self.experts:
            with self._opened(expert):
                pass

    @contextlib.contextmanager
    def _opened(self, expert: int) -> Iterator[Stored]:
        """Open the file of an expert, refused where it is not that of this store."""
        path = path_of(self.folder, expert)
        with advising(_ADVICE), open_stored(path) as stored:
            own = stored.header
            if not is_of(own, FORMAT, FORMAT_VERSION):
                raise ArtefactError(f"{path} holds no expert that this version reads")
            if own.get("store") != self.header.digest:
                raise ArtefactError(f"{path} was made with other settings than {self.folder} says")
            if own.get("expert") != expert:
                raise ArtefactError(f"{path} is the file of another expert")
            form = (self.epochs + 1, self.values), STORAGE_TYPES[self.header.storage]
            found = {name: (one.shape, one.dtype) for name, one in stored.places.items()}
            if found != {_SNAPSHOTS: form}:
                raise Damaged(path, f"it holds {found}, not snapshots of {form}")
            yield stored


def open_experts(
    folder: Path, network: Network, preprocessing: Preprocessing, option: str = "--experts"
) -> ExpertStore:
    """Open a store for networks of one kind and images preprocessed in one way.

    Args:
        folder: of the store.
        network: whose parameters are to be matched.
        preprocessing: of the images to condense.
        option: how messages call the folder.

    Raises:
        ArtefactError: there is no store, or it is damaged.
        BadRequest: it has no expert yet, or its experts are of another network or saw images
            normalized or whitened in another way.
    """
    header = read_header(Path(folder), option)
    there, here = header.shapes, shapes_of(network)
    if header.network == network.name:
        _refuse_other_shapes(f"{option} {folder}", there, here)
    if header.network != network.name or list(there.items()) != list(here.items()):
        raise BadRequest(
            f"{option} {folder}: these are of network {header.network}, not of {network.name}; "
            f"condense with --network {header.network}, or train others"
        )
    _refuse_other_inputs(f"{option} {folder}", header.inputs, inputs_of(preprocessing))
    store = ExpertStore(Path(folder), header, numbers(Path(folder)))
    if not store.count:
        raise BadRequest(f"{option} {folder}: there is no expert yet; run 'attar experts' again")
    store.check()
    return store


def _refuse_other_shapes(said: str, there: _Shapes, wanted: _Shapes) -> None:
    """Refuse the same network for images or classes of other sizes."""
    for name, shape in there.items():
        if wanted.get(name, shape) != shape:
            raise BadRequest(
                f"{said}: these were trained on images of another size or number of channels, or "
                f"on more or fewer classes ({name!r} has the shape {shape} there and "
                f"{wanted[name]} here); take images as they saw, or train others"
            )


def _refuse_other_inputs(said: str, there: Inputs, wanted: Inputs) -> None:
    if (there.mean, there.std) != (wanted.mean, wanted.std):
        raise BadRequest(
            f"{said}: these saw pixels normalized by mean {list(there.mean)} and "
            f"standard deviation {list(there.std)}, not by {list(wanted.mean)} and "
            f"{list(wanted.std)}; train others on these data"
        )
    if there.zca != wanted.zca:
        raise BadRequest(
            f"{said}: these saw images whitened by {there.zca!r}, not by "
            f"{wanted.zca!r}; condense with --zca {there.zca}, or train others"
        )
    if there.whitening != wanted.whitening:
        raise BadRequest(
            f"{said}: these saw images whitened by another matrix, computed from other "
            "images; train others on these data"
        )
