"""Values kept one by one as floating-point numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attar.errors import BadRequest
from attar.storage.storage import Content, Kept, Storage

STORAGE_TYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}

# the largest value of float8
_LARGEST = 448.0


class Floating(Storage):
    """Every value is kept in one floating-point type."""

    fixed: ClassVar[bool] = True

    @property
    def dtype(self) -> torch.dtype:
        """The type."""
        return STORAGE_TYPES[self.name]

    def planned(self, name: str, shape: tuple[int, ...]) -> int:
        """Return the size of its values."""
        del name
        return math.prod(shape) * self.dtype.itemsize

    def kept(self, name: str, shape: tuple[int, ...]) -> dict[str, Kept]:
        """Return the tensor itself."""
        return {name: Kept(self.dtype, shape)}

    def encode(self, tensors: Mapping[str, Tensor], content: Content) -> dict[str, Tensor]:
        """Return the values in the type; those beyond its range are infinite."""
        del content
        return {name: tensor.to(self.dtype) for name, tensor in tensors.items()}

    def decode(
        self,
        coded: Mapping[str, Tensor],
        shapes: Mapping[str, tuple[int, ...]],
        content: Content,
    ) -> dict[str, Tensor]:
        """Return the values in float32."""
        del content
        return {name: coded[name].float() for name in shapes}


@dataclass(frozen=True)
class Float32(Floating):
    """Values as they are computed: 4 bytes each."""

    name: ClassVar[str] = "float32"
    whole: ClassVar[int] = 2**24


@dataclass(frozen=True)
class Float16(Floating):
    """Eleven significant bits, up to 65,504: 2 bytes each."""

    name: ClassVar[str] = "float16"
    whole: ClassVar[int] = 2**11


@dataclass(frozen=True)
class BFloat16(Floating):
    """Eight significant bits in the range of float32: 2 bytes each."""

    name: ClassVar[str] = "bfloat16"
    whole: ClassVar[int] = 2**8


@dataclass(frozen=True)
class Float8(Storage):
    """Four significant bits: 1 byte each. Values beyond 448 are clipped to it.

    The type is e4m3fn, which has no infinities; files hold its bytes.
    """

    name: ClassVar[str] = "float8"
    whole: ClassVar[int] = 2**4
    fixed: ClassVar[bool] = True

    def planned(self, name: str, shape: tuple[int, ...]) -> int:
        """Return a byte for each value."""
        del name
        return math.prod(shape)

    def kept(self, name: str, shape: tuple[int, ...]) -> dict[str, Kept]:
        """Return the bytes of the values."""
        return {name: Kept(torch.uint8, shape)}

    def encode(self, tensors: Mapping[str, Tensor], content: Content) -> dict[str, Tensor]:
        """Return the bytes of the values, clipped."""
        del content
        for name, tensor in tensors.items():
            if not bool(tensor.isfinite().all()):
                raise BadRequest(f"--storage float8: {name} holds NaN or Inf, which it cannot keep")
        return {
            name: tensor.clamp(-_LARGEST, _LARGEST).to(torch.float8_e4m3fn).view(torch.uint8)
            for name, tensor in tensors.items()
        }

    def decode(
        self,
        coded: Mapping[str, Tensor],
        shapes: Mapping[str, tuple[int, ...]],
        content: Content,
    ) -> dict[str, Tensor]:
        """Return the values in float32."""
        del content
        found = {name: coded[name].view(torch.float8_e4m3fn).float() for name in shapes}
        for name, tensor in found.items():
            if not bool(tensor.isfinite().all()):
                raise ValueError(f"{name} holds NaN")
        return found
