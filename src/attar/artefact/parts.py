"""Which part of a file is the set at a smaller budget, and how it is made of what is read."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from attar.budget import Budget
from attar.errors import ArtefactError, BadRequest
from attar.stored import Stored
from attar.synthetic import Beginning, Layout, Parametrization, images_within, planned_ledger
from attar.tensors import all_finite

# what the names of tensors begin with that have rows of images, labels or their components
_ROWS = ("images.", "labels.")


@dataclass(frozen=True)
class Part:
    """A smaller set inside a larger one.

    Args:
        beginning: which of the stored rows it is made of.
        limit: the allowance that it was chosen for, in bytes.
    """

    beginning: Beginning[Parametrization]
    limit: int

    @property
    def layout(self) -> Layout:
        """Its rows."""
        return self.beginning.layout

    @property
    def parametrization(self) -> Parametrization:
        """The form in which it is stored."""
        return self.beginning.form

    def read(self, stored: Stored) -> dict[str, Tensor]:
        """Return the tensors of the smaller set; those of a whitening are needed whole.

        Raises:
            ArtefactError: the file does not hold what its header speaks of.
        """
        own = self.beginning
        tensors: dict[str, Tensor] = {}
        for name, place in stored.places.items():
            if name in own.whole or not name.startswith(_ROWS):
                tensors[name] = stored.whole(name)
                continue
            if place.shape[:1] != (own.rows,):
                raise ArtefactError(
                    f"{stored.path}: {name} is {place.shape}, its header speaks of {own.rows} rows"
                )
            tensors[name] = stored.rows(name, own.wanted)
        return {**tensors, **self._made(stored.path, tensors)}

    def of(self, path: Path, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors of the smaller set from those of the whole, as they are in memory.

        Raises:
            ArtefactError: what is needed whole is no such set.
        """
        own = self.beginning
        rows = torch.tensor([row for part in own.wanted for row in part])
        taken = {name: one if name in own.whole else one[rows] for name, one in tensors.items()}
        return {**taken, **self._made(path, taken)}

    def _made(self, path: Path, tensors: dict[str, Tensor]) -> Mapping[str, Tensor]:
        """Return what takes the place of the tensors that are needed whole."""
        found = {name: tensors[name] for name in self.beginning.whole if name in tensors}
        for name, shape in self.beginning.whole.items():
            if name not in found:
                raise ArtefactError(f"{path}: tensors {name} are missing or do not belong")
            if tuple(found[name].shape) != shape:
                raise ArtefactError(
                    f"{path}: {name} is {tuple(found[name].shape)}, its header says {shape}"
                )
        if not all_finite(found):
            raise ArtefactError(f"{path}: stored values are NaN or Inf")
        try:
            return self.beginning.made(found)
        except ValueError as error:
            raise ArtefactError(f"{path}: {error}") from None


@dataclass(frozen=True)
class Held:
    """What a file holds, as its header says.

    Args:
        path: of the file.
        layout: rows of the whole.
        parametrization: its form.
        storage: how values are kept.
        nested: whether the first images of every class are a set of their own.
        asked: the memory it was made for, in full images per class, where known.
    """

    path: Path
    layout: Layout
    parametrization: Parametrization
    storage: str
    nested: bool = False
    asked: object = None

    @property
    def ipc(self) -> int:
        """Memory of the whole in full float32 images per class, rounded up."""
        taken = planned_ledger(self.layout, self.parametrization, self.storage).paper
        found = -(-taken // self._limit(1))
        return max(found, self.asked) if type(self.asked) is int else found

    def part(self, ipc: int) -> Part | None:
        """Return the part that the memory of ``ipc`` full images per class holds.

        Returns:
            None where that is the whole.

        Raises:
            BadRequest: no positive whole number, more than there is, too little for one image
                or component, or a set without such parts.
        """
        if type(ipc) is not int or ipc < 1:
            raise BadRequest(f"--ipc {ipc!r}: a whole number of images per class, 1 or more")
        if ipc > self.ipc:
            raise BadRequest(
                f"--ipc {ipc}: {self.path} has the memory of {self.ipc} images per class; a larger "
                "set cannot be read out of it. Give a smaller number, or leave it out for the whole"
            )
        if planned_ledger(self.layout, self.parametrization, self.storage).paper <= (
            limit := self._limit(ipc)
        ):
            return None
        form = self.parametrization.smaller(nested=self.nested)
        if form is not None:
            count = images_within(ipc, self.layout, form, self.storage)
            return Part(self.parametrization.beginning(self.layout, count), limit)
        raise BadRequest(
            f"--ipc {ipc}: {self.path} is stored as {self.parametrization.name} with the memory of "
            f"{self.ipc} images per class; only a nested set, or one of ordered components, can be "
            f"read at less. Make a smaller one: attar slim {shlex.quote(str(self.path))} "
            f"--ipc {ipc} -o smaller.safetensors"
        )

    def _limit(self, ipc: int) -> int:
        limit = Budget(ipc=ipc).limit(self.layout.classes, self.layout.shape)
        assert limit is not None
        return limit
