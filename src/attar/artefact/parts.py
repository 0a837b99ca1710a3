"""Which part of a file is the set at a smaller budget, and how it is made of what is read."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from attar.budget import Budget
from attar.errors import ArtefactError, BadRequest
from attar.stored import Stored
from attar.synthetic import (
    Layout,
    LowRank,
    OrderedSVD,
    Parametrization,
    Pixels,
    images_within,
    planned_ledger,
    with_components,
)
from attar.synthetic.ordered import BESIDE, smaller
from attar.tensors import all_finite

_COEFFICIENTS, _SIGNIFICANCE = BESIDE
# what the names of tensors begin with that have rows of images, labels or their components
_ROWS = ("images.", "labels.")


@dataclass(frozen=True)
class Part:
    """A smaller set inside a larger one.

    Args:
        layout: its rows.
        parametrization: the form in which it is stored.
        limit: the allowance that it was chosen for, in bytes.
        wanted: the stored rows that belong to it.
        rows: how many stored rows the whole has.
        mixing: shape of the whole's U where the set is made of components; else None.
    """

    layout: Layout
    parametrization: Parametrization
    limit: int
    wanted: Sequence[range]
    rows: int
    mixing: tuple[int, int, int] | None = None

    def read(self, stored: Stored) -> dict[str, Tensor]:
        """Return the tensors of the smaller set; those of a whitening are needed whole.

        Raises:
            ArtefactError: the file does not hold what its header speaks of.
        """
        tensors = {}
        for name, place in stored.places.items():
            if name in BESIDE or not name.startswith(_ROWS):
                tensors[name] = stored.whole(name)
                continue
            if place.shape[:1] != (self.rows,):
                raise ArtefactError(
                    f"{stored.path}: {name} is {place.shape}, its header speaks of {self.rows} rows"
                )
            tensors[name] = stored.rows(name, self.wanted)
        if self.mixing is not None:
            tensors |= self._mixed(stored.path, tensors)
        return tensors

    def _mixed(self, path: Path, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return U and Σ of the smaller set from those of the whole."""
        assert self.mixing is not None
        groups, _, count = self.mixing
        found = {name: tensors[name] for name in BESIDE if name in tensors}
        wanted = {_COEFFICIENTS: self.mixing, _SIGNIFICANCE: (groups, count)}
        for name, shape in wanted.items():
            if name not in found:
                raise ArtefactError(f"{path}: tensors {name} are missing or do not belong")
            if tuple(found[name].shape) != shape:
                raise ArtefactError(
                    f"{path}: {name} is {tuple(found[name].shape)}, its header says {shape}"
                )
        if not all_finite(found):
            raise ArtefactError(f"{path}: stored values are NaN or Inf")
        significance = found[_SIGNIFICANCE].float()
        if bool((significance < 0).any() or (significance.diff(dim=1) > 0).any()):
            raise ArtefactError(
                f"{path}: its significances do not fall, so its beginning is no smaller set; "
                "it can be read whole"
            )
        kept = smaller(found[_COEFFICIENTS].float(), significance, self.layout.per_class)
        return {
            name: new.to(found[name].dtype)
            for name, new in zip((_COEFFICIENTS, _SIGNIFICANCE), kept, strict=True)
        }


@dataclass(frozen=True)
class Held:
    """What a file holds, as its header says.

    Args:
        path: of the file.
        layout: rows of the whole.
        parametrization: its form.
        storage: the type that values are stored in.
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
        base = _ordered_base(self.parametrization)
        if base is not None:
            return self._components(base, ipc, limit)
        if self.nested and can_be_nested(self.parametrization):
            return self._images(ipc, limit)
        raise BadRequest(
            f"--ipc {ipc}: {self.path} is stored as {self.parametrization.name} with the memory of "
            f"{self.ipc} images per class; only a nested set, or one of ordered components, can be "
            f"read at less. Make a smaller one: attar slim {shlex.quote(str(self.path))} "
            f"--ipc {ipc} -o smaller.safetensors"
        )

    def _components(self, base: OrderedSVD, ipc: int, limit: int) -> Part:
        """Return the part of the most significant components that fit."""
        form = with_components(self.parametrization, 0)
        count = images_within(ipc, self.layout, form, self.storage)
        whole = base.components or self.layout.per_class
        classes = self.layout.classes
        groups = classes if base.share == "class" else 1
        return Part(
            dataclasses.replace(self.layout, per_class=count),
            form,
            limit,
            # components are stored significance by significance, not class by class
            (range(count * classes),),
            whole * classes,
            (groups, self.layout.per_class, whole),
        )

    def _images(self, ipc: int, limit: int) -> Part:
        """Return the part of the first images of every class that fit."""
        n = self.layout.per_class
        count = images_within(ipc, self.layout, self.parametrization, self.storage)
        firsts = range(0, self.layout.rows, n)
        return Part(
            dataclasses.replace(self.layout, per_class=count),
            self.parametrization,
            limit,
            tuple(range(first, first + count) for first in firsts),
            self.layout.rows,
        )

    def _limit(self, ipc: int) -> int:
        limit = Budget(ipc=ipc).limit(self.layout.classes, self.layout.shape)
        assert limit is not None
        return limit


def _ordered_base(form: Parametrization) -> OrderedSVD | None:
    base = form.base if isinstance(form, LowRank) else form
    return base if isinstance(base, OrderedSVD) else None


def can_be_nested(form: Parametrization) -> bool:
    """Tell whether the first images of a set in some form can be stored alone."""
    return isinstance(form.base if isinstance(form, LowRank) else form, Pixels)
