"""A trained network that travels in the file of a set, and labels what is made of its images.

Students learn from what it says of every batch, augmented and mixed, in place of class indices
(Shen & Xing, A Fast Knowledge Distillation Framework for Visual Recognition, 2022, keep its words
instead). Its bytes count as those of the images do: they stand for further images.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from pydantic import BaseModel, ConfigDict, field_validator
from torch import Tensor

from attar.budget import CARRIED
from attar.errors import BadRequest
from attar.storage import (
    Content,
    Float16,
    Kept,
    Storage,
    refusals_name,
    sizes_of,
    storage_of,
    storage_text,
)

# vectors, such as the variances of a norm, lose too much in few bits, and take next to nothing
_VECTORS = Float16()


class Described(BaseModel):
    """What the header of a set says of the network that it carries.

    Args:
        network: its name.
        storage: of its matrices and kernels; vectors are in float16.
        shapes: of its values, by name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: str
    storage: str
    shapes: dict[str, list[int]]

    @field_validator("storage")
    @classmethod
    def _is_known(cls, storage: str) -> str:
        return storage_text(network_storage(storage))

    @field_validator("shapes")
    @classmethod
    def _are_shapes(cls, shapes: dict[str, list[int]]) -> dict[str, list[int]]:
        if not shapes or any(side < 1 for shape in shapes.values() for side in shape):
            raise ValueError("a network has values, in shapes of positive sides")
        return shapes

    def kept(self) -> dict[str, Kept]:
        """Return which tensors a file holds of it."""
        found: dict[str, Kept] = {}
        for name, shape in self._named().items():
            found |= self._of(shape).kept(name, shape)
        return found

    def least(self) -> int:
        """Return the fewest bytes that it takes."""
        return sum(self._of(shape).least(name, shape) for name, shape in self._named().items())

    def planned(self) -> dict[str, Tensor]:
        """Return stand-ins of the most bytes that each of its tensors takes, for a plan."""
        return {
            name: torch.empty(self._of(shape).planned(name, shape) or 0, dtype=torch.uint8)
            for name, shape in self._named().items()
        }

    def encode(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return what a file keeps of its values.

        Raises:
            BadRequest: they cannot be kept so.
        """
        found: dict[str, Tensor] = {}
        for name, shape in self.shapes.items():
            own = {CARRIED + name: tensors[name].detach().cpu().float()}
            found |= self._of(tuple(shape)).encode(own, _CONTENT)
        if not all(bool(one.isfinite().all()) for one in found.values()):
            raise BadRequest(
                f"--teacher-storage {self.storage}: {self.network} holds values that are no "
                "numbers, or beyond what float16 keeps; try a lower --set lr_selection"
            )
        return found

    def decode(self, coded: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return its values in float32.

        Raises:
            ValueError: ``coded`` is nothing that `encode` returns.
        """
        found: dict[str, Tensor] = {}
        for name, shape in self._named().items():
            found |= self._of(shape).decode(coded, {name: shape}, _CONTENT)
        return {name.removeprefix(CARRIED): one for name, one in found.items()}

    def _named(self) -> dict[str, tuple[int, ...]]:
        return {CARRIED + name: tuple(shape) for name, shape in self.shapes.items()}

    def _of(self, shape: tuple[int, ...]) -> Storage:
        return network_storage(self.storage) if len(shape) > 1 else _VECTORS


@dataclass(frozen=True)
class Carried:
    """The network, as its file keeps it.

    Args:
        described: what the header says of it.
        coded: what the file keeps of it, by name.
    """

    described: Described
    coded: Mapping[str, Tensor] = field(default_factory=lambda: MappingProxyType({}), repr=False)

    @classmethod
    def of(cls, network: str, tensors: Mapping[str, Tensor], storage: str) -> Carried:
        """Return a network in a storage.

        Args:
            network: its name.
            tensors: its values by name; whole numbers, which norms count batches with, are left
                out.
            storage: of its matrices and kernels, such as ``int8``.

        Raises:
            BadRequest: no such storage, or values that it cannot keep.
        """
        described = described_as(network, tensors, storage)
        return cls(described, described.encode(tensors))

    @property
    def nbytes(self) -> int:
        """What it takes of the file."""
        return sum(sizes_of(self.coded).values())

    def tensors(self) -> dict[str, Tensor]:
        """Return its values in float32, as its file gives them back.

        Raises:
            ValueError: what is kept is damaged.
        """
        return self.described.decode(self.coded)


def described_as(network: str, tensors: Mapping[str, Tensor], storage: str) -> Described:
    """Return what a header says of a network with such tensors, whole numbers left out.

    Raises:
        BadRequest: no such storage.
    """
    shapes = {name: list(one.shape) for name, one in tensors.items() if one.is_floating_point()}
    return Described(network=network, storage=storage_text(network_storage(storage)), shapes=shapes)


def network_storage(given: str) -> Storage:
    """Return the storage of the values of a network that a text names.

    Raises:
        BadRequest: none such, or one of pictures or of labels.
    """
    with refusals_name("--teacher-storage"):
        found = storage_of(given)
    if found.name not in _ABLE or getattr(found, "rate", 0) or getattr(found, "train", 0):
        raise BadRequest(
            f"--teacher-storage {given}: {', '.join(_ABLE)}, without a rate or training, keep the "
            "values of a network"
        )
    return found


_ABLE = ("int8", "int4", "float16", "bfloat16", "float32")
# nothing that these storages look at
_CONTENT = Content((1,), (1,))
