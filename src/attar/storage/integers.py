"""Values kept as small integers times a scale of their group, the integers entropy-coded.

Shape letters: G groups of a tensor, V values of a group.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attar.errors import BadRequest, unknown
from attar.storage.coders import CODERS, packed_bytes, read_stream, stream_of
from attar.storage.scales import (
    LARGEST_SCALE,
    groups_of,
    in_groups,
    kept_scales,
    quantised,
    scales_for,
)
from attar.storage.storage import PART, Content, Kept, Storage

SCALES = f"{PART}scales"
_SCALE_BYTES = 2
# a stream of n bytes holds no more than this many times n values, so that a small file cannot
# speak of a large set
_MOST_PER_BYTE = 64
# what a stream of zeros takes at most, where its rate is of a quarter of a bit
_SMALLEST_STREAM = 16
# bisections of the factor of all steps, and the largest
_HALVINGS = 16
_LARGEST_FACTOR = 2.0**10


@dataclass(frozen=True)
class Integers(Storage):
    """Every value is q·s: q a whole number of few bits, s the float16 scale of its group.

    The scales are those of least squared error; values beyond the largest q are clipped.

    Args:
        group: values that share a scale: ``row`` of a tensor, ``matrix`` (a channel of a row, or
            of its factor) or the whole ``tensor``.
        coder: ``zlib``, or ``pack`` for as many bits of every value.
        rate: bits a value that a plan counts on and a file keeps, by coarser steps where it must;
            0 for all of them.
        train: share of a run, its last part, in which values are read rounded while they are
            learnt; 0 for rounding at its end alone. Not a part of what a file says.
    """

    bits: ClassVar[int]

    group: str = "row"
    coder: str = "zlib"
    rate: float = 0.0
    train: float = 0.0

    def __post_init__(self) -> None:
        if self.group not in ("row", "matrix", "tensor"):
            raise unknown("group (--storage)", self.group, ("row", "matrix", "tensor"))
        if self.coder not in CODERS:
            raise unknown("coder (--storage)", self.coder, CODERS)
        if not 0 <= self.train <= 1:
            raise BadRequest(
                f"--storage {self.name}:train={self.train:g}: the share of the updates, the last "
                "ones, that see rounded values, from 0 to 1"
            )
        if self.rate and not 0.25 <= self.rate <= self.bits:
            raise BadRequest(
                f"--storage {self.name}:rate={self.rate:g}: bits a value, from 0.25 to {self.bits}"
            )
        if self.rate and self.coder == "pack":
            raise BadRequest(
                f"--storage {self.name}:coder=pack,rate={self.rate:g}: packed integers take "
                f"{self.bits} bits each; leave coder or rate out"
            )

    @property
    def largest(self) -> int:
        """The largest q; the smallest is as far below zero."""
        return 2 ** (self.bits - 1) - 1

    def settled(self) -> Storage:
        """Return it as a file names it."""
        return dataclasses.replace(self, train=0.0)

    def planned(self, name: str, shape: tuple[int, ...]) -> int:
        """Return the bytes of packed integers and their scales, or those that ``rate`` allows."""
        del name
        values, scales = math.prod(shape), groups_of(shape, self.group)[0] * _SCALE_BYTES
        if not self.rate:
            return packed_bytes(values, self.bits) + scales
        return _SMALLEST_STREAM + math.ceil(values * self.rate / 8) + scales

    def least(self, name: str, shape: tuple[int, ...]) -> int:
        """Return the bytes of the scales and of the shortest stream."""
        del name
        scales = groups_of(shape, self.group)[0] * _SCALE_BYTES
        return _least_stream(math.prod(shape)) + scales

    def kept(self, name: str, shape: tuple[int, ...]) -> dict[str, Kept]:
        """Return a stream of integers, and the scales."""
        scales = Kept(torch.float16, (groups_of(shape, self.group)[0],))
        return {name: Kept(torch.uint8), name + SCALES: scales}

    def encode(self, tensors: Mapping[str, Tensor], content: Content) -> dict[str, Tensor]:
        """Return streams and scales; where ``rate`` needs it, with steps coarser by one factor."""
        grouped = {
            name: in_groups(tensor.detach().cpu().float(), self.group)
            for name, tensor in tensors.items()
        }
        for name, values in grouped.items():
            self._check(name, values)
        scales = {name: scales_for(values, self.largest) for name, values in grouped.items()}
        limit = sum(self.planned(name, tuple(one.shape)) for name, one in tensors.items())

        def coded(factor: float) -> dict[str, Tensor]:
            found: dict[str, Tensor] = {}
            for name, values in grouped.items():
                own = kept_scales(scales[name] * (1.0 if name in content.exact else factor)).to(
                    torch.float16
                )
                whole = quantised(values, own, self.largest)
                found[name] = self._stream(whole)
                found[name + SCALES] = own
            return found

        found = coded(1.0)
        if not self.rate or _size(found) <= limit:
            return found
        # the finest common step that keeps what was planned
        low, high = 0.0, math.log2(_LARGEST_FACTOR)
        best = coded(0.0)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            tried = coded(2.0**middle)
            if _size(tried) <= limit:
                high, best = middle, tried
            else:
                low = middle
        return best

    def decode(
        self,
        coded: Mapping[str, Tensor],
        shapes: Mapping[str, tuple[int, ...]],
        content: Content,
    ) -> dict[str, Tensor]:
        """Return q·s of every value."""
        del content
        found: dict[str, Tensor] = {}
        for name, shape in shapes.items():
            count, scales = math.prod(shape), coded[name + SCALES].float()
            if not bool(scales.isfinite().all()) or bool((scales < 0).any()):
                raise ValueError(f"the scales of {name} are no positive numbers")
            stream = coded[name].numpy().tobytes()
            if len(stream) < _least_stream(count):
                raise ValueError(f"the stream of {name} is too short")
            whole = torch.from_numpy(read_stream(stream, count, self.bits)).float()
            values = whole.view(len(scales), -1) * scales.unsqueeze(1)
            found[name] = values.view(shape)
        return found

    def _check(self, name: str, values: Tensor) -> None:
        most = LARGEST_SCALE * self.largest
        if values.numel() and not bool(values.abs().max() <= most):
            raise BadRequest(
                f"--storage {self.name}: {name} holds values that are no numbers, or above "
                f"{most:g}, which no scale reaches; use --storage float32"
            )

    def _stream(self, whole: Tensor) -> Tensor:
        data = stream_of(whole.to(torch.int8).numpy(), self.bits, self.coder)
        data = data.ljust(_least_stream(whole.numel()), b"\0")
        return torch.frombuffer(bytearray(data), dtype=torch.uint8)


def _least_stream(values: int) -> int:
    return 1 + -(-values // _MOST_PER_BYTE)


def _size(coded: Mapping[str, Tensor]) -> int:
    return sum(one.numel() * one.element_size() for one in coded.values())


@dataclass(frozen=True)
class Int8(Integers):
    """Whole numbers from −127 to 127 times a scale."""

    name: ClassVar[str] = "int8"
    bits: ClassVar[int] = 8


@dataclass(frozen=True)
class Int4(Integers):
    """Whole numbers from −7 to 7 times a scale."""

    name: ClassVar[str] = "int4"
    bits: ClassVar[int] = 4


@dataclass(frozen=True)
class Int3(Integers):
    """Whole numbers from −3 to 3 times a scale."""

    name: ClassVar[str] = "int3"
    bits: ClassVar[int] = 3


@dataclass(frozen=True)
class Int2(Integers):
    """−1, 0 or 1 times a scale."""

    name: ClassVar[str] = "int2"
    bits: ClassVar[int] = 2
