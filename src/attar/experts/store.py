"""A folder of expert trajectories: one header, and one file for every expert.

A file holds one tensor ``snapshots`` of (epochs + 1)×P: a row for the drawn network and one after
every epoch. A row holds all parameters one after the other, in the header's order.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from attar.data.preprocessing import Preprocessing
from attar.errors import ArtefactError, BadRequest
from attar.experts.header import Header, Inputs, inputs_of, read_header, shapes_of
from attar.networks import Network
from attar.tensors import read_header as read_file_header
from attar.tensors import save_tensors

FORMAT = "attar.expert"
FORMAT_VERSION = 1
_SNAPSHOTS = "snapshots"
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
        text = f"{self.header.digest} {list(self.experts)}"
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

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
        told = (read_file_header(path_of(self.folder, expert)) for expert in self.experts)
        return [own["accuracy"] for own in told if isinstance(own.get("accuracy"), int | float)]

    def segment(self, expert: int, start: int, length: int) -> Tensor:
        """Return snapshots ``start`` to ``start + length`` of the i-th expert.

        Args:
            expert: i, from 0 to below `count`.
            start: epochs of training before the first snapshot.
            length: epochs from the first to the last; 0 or more.

        Returns:
            (length + 1)×P, float32. No other bytes of the file are read.

        Raises:
            ArtefactError: the file was damaged since it was opened.
        """
        if min(start, length) < 0 or start + length > self.epochs:
            raise BadRequest(
                f"epochs {start} to {start + length}: the experts in {self.folder} have 0 to "
                f"{self.epochs}"
            )
        path = path_of(self.folder, self.experts[expert])
        try:
            with safe_open(str(path), framework="pt") as file:
                found = file.get_slice(_SNAPSHOTS)[start : start + length + 1].float()
        except (SafetensorError, OSError) as error:
            raise _damaged(path, str(error)) from error
        if not bool(torch.isfinite(found).all()):
            raise _damaged(path, "it holds values that are no numbers")
        return found

    def check(self) -> None:
        """Look at the header of every file.

        Raises:
            ArtefactError: one is truncated, damaged, or of another store.
        """
        for expert in self.experts:
            self._check(path_of(self.folder, expert))

    def _check(self, path: Path) -> None:
        own = read_file_header(path)
        if own.get("format") != FORMAT or own.get("version") != FORMAT_VERSION:
            raise ArtefactError(f"{path} holds no expert of this version")
        if own.get("store") != self.header.digest:
            raise ArtefactError(
                f"{path} was made with other settings than {self.folder} says; remove it, and run "
                "'attar experts' again for another in its place"
            )
        wanted = [self.epochs + 1, self.values]
        try:
            with safe_open(str(path), framework="pt") as file:
                shape = list(file.get_slice(_SNAPSHOTS).get_shape())
        except (SafetensorError, OSError) as error:
            raise _damaged(path, str(error)) from error
        if shape != wanted:
            raise _damaged(path, f"its snapshots are {shape}, not {wanted}")


def open_experts(folder: Path, network: Network, preprocessing: Preprocessing) -> ExpertStore:
    """Open a store for networks of one kind and images preprocessed in one way.

    Args:
        folder: of the store.
        network: whose parameters are to be matched.
        preprocessing: of the images to condense.

    Raises:
        ArtefactError: there is no store, or it is damaged.
        BadRequest: it has no expert yet, or its experts are of another network or saw images
            normalized or whitened in another way.
    """
    header = read_header(Path(folder))
    if header.network != network.name or list(header.shapes.items()) != list(
        shapes_of(network).items()
    ):
        raise BadRequest(
            f"--experts {folder}: these are of network {header.network}, not of {network.name}; "
            f"condense with --network {header.network}, or train others"
        )
    _refuse_other_inputs(folder, header.inputs, inputs_of(preprocessing))
    store = ExpertStore(Path(folder), header, numbers(Path(folder)))
    if not store.count:
        raise BadRequest(f"--experts {folder}: there is no expert yet; run 'attar experts' again")
    store.check()
    return store


def _refuse_other_inputs(folder: Path, there: Inputs, wanted: Inputs) -> None:
    if (there.mean, there.std) != (wanted.mean, wanted.std):
        raise BadRequest(
            f"--experts {folder}: these saw pixels normalized by mean {list(there.mean)} and "
            f"standard deviation {list(there.std)}, not by {list(wanted.mean)} and "
            f"{list(wanted.std)}; train others on these data"
        )
    if there.zca != wanted.zca:
        raise BadRequest(
            f"--experts {folder}: these saw images whitened by {there.zca!r}, not by "
            f"{wanted.zca!r}; condense with --zca {there.zca}, or train others"
        )
    if there.whitening != wanted.whitening:
        raise BadRequest(
            f"--experts {folder}: these saw images whitened by another matrix, computed from other "
            "images; train others on these data"
        )


def _damaged(path: Path, why: str) -> ArtefactError:
    return ArtefactError(
        f"{path} is truncated or damaged ({why}); remove it, and run 'attar experts' again for "
        "another in its place"
    )
