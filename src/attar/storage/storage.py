"""What a storage is: how the values of a set are kept in its file, and what that costs.

A form says which tensors a set is made of; a storage says in which bytes these are kept. What it
keeps of a tensor has the tensor's name, or that name, a colon and a name of its own.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attar.data.preprocessing import Preprocessing
from attar.kinds import Settings
from attar.shapes import Shape

# between the name of a tensor and that of a part of what is kept of it
PART = ":"


@dataclass(frozen=True)
class Content:
    """What the tensors of a set are of.

    Args:
        sizes: images of every class; rows are stored class after class.
        shape: C, H, W of an image, or that of another row.
        preprocessing: what made network inputs of the pixels; None where only sizes are asked for.
        pictures: names of the stored tensors that are pictures, N×C×S×T as network inputs.
        exact: names of those of zeros and ones that say what others mean, and must be told by what
            is kept of them.
    """

    sizes: tuple[int, ...]
    shape: Shape
    preprocessing: Preprocessing | None = None
    pictures: frozenset[str] = frozenset()
    exact: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Kept:
    """One tensor of a file.

    Args:
        dtype: its type.
        shape: its shape; None for a stream of bytes of any length.
    """

    dtype: torch.dtype
    shape: tuple[int, ...] | None = None


class Storage(Settings, ABC):
    """A frozen dataclass: the settings of one storage, and how it keeps values.

    Files are not trusted: `decode` is only called with tensors that are as `kept` says, and raises
    `ValueError` for any others that no `encode` would have made, in bounded time and memory.
    """

    name: ClassVar[str]
    # whether what is decoded can be encoded again, whole or by rows, without a further loss
    exact: ClassVar[bool] = True
    # whole numbers from 0 up to this one are kept as they are; 0 for none that can be relied on
    whole: ClassVar[int] = 0
    # whether `planned` is what `encode` makes, whatever the values; then nothing is coded
    fixed: ClassVar[bool] = False

    def of(self, name: str) -> Storage:
        """Return the storage that keeps the tensor of this name: itself, but where parts differ."""
        del name
        return self

    def settled(self) -> Storage:
        """Return the storage without settings that only a run needs, as a file names it."""
        return self

    def coarser(self) -> Sequence[Storage]:
        """Return the storages that differ by keeping less, the finest first.

        Asked of one whose bytes only the values tell, where trained ones take more than planned.
        """
        return ()

    def check(self, content: Content, form: str) -> None:
        """Refuse sets that cannot be kept so.

        Args:
            content: of the set; its preprocessing may be missing.
            form: what messages call the form of the set.

        Raises:
            BadRequest: says which can.
        """
        del content, form

    def check_labels(self, content: Content) -> None:
        """Refuse labels of such a set that cannot be kept so, where others are the images' bytes.

        Raises:
            BadRequest: says which can.
        """
        del content

    @abstractmethod
    def planned(self, name: str, shape: tuple[int, ...]) -> int | None:
        """Return the most bytes that a tensor takes; None where only its values tell.

        All tensors of a set together take no more than the sum, though one of them may.
        """

    def least(self, name: str, shape: tuple[int, ...]) -> int:
        """Return the fewest bytes that a tensor takes.

        A file that is smaller is refused before memory is taken for what its header speaks of.
        """
        return self.planned(name, shape) or 0

    @abstractmethod
    def kept(self, name: str, shape: tuple[int, ...]) -> dict[str, Kept]:
        """Return which tensors a file holds for a tensor of a set."""

    @abstractmethod
    def encode(self, tensors: Mapping[str, Tensor], content: Content) -> dict[str, Tensor]:
        """Return what a file keeps of the tensors of a set, as `kept` says.

        Raises:
            BadRequest: values that cannot be kept so.
        """

    @abstractmethod
    def decode(
        self,
        coded: Mapping[str, Tensor],
        shapes: Mapping[str, tuple[int, ...]],
        content: Content,
    ) -> dict[str, Tensor]:
        """Return the tensors of a set in float32.

        Args:
            coded: what `encode` returned, or what a file holds in its place.
            shapes: of the tensors of the set, by name.
            content: of the set.

        Raises:
            ValueError: ``coded`` is nothing that `encode` returns.
        """


def sizes_of(coded: Mapping[str, Tensor]) -> dict[str, int]:
    """Return the bytes that are kept of each tensor of a set, by its name."""
    found: dict[str, int] = {}
    for name, tensor in coded.items():
        whole = name.partition(PART)[0]
        found[whole] = found.get(whole, 0) + tensor.numel() * tensor.element_size()
    return found


def count_of(shape: tuple[int, ...]) -> int:
    """Return how many values a tensor has."""
    return math.prod(shape)
