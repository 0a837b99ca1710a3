"""Storages that the tests bring: the smallest that keeps integers, and one that codes images."""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

import attar
from attar.errors import BadRequest
from attar.storage import Content, Kept, Storage


@attar.register
@dataclass(frozen=True)
class Whole(Storage):
    """Whole multiples of a step, a byte each; loses nothing when coded again."""

    name: ClassVar[str] = "whole"

    step: float = 0.125

    def planned(self, name: str, shape: tuple[int, ...]) -> int:
        return torch.Size(shape).numel() + 1

    def kept(self, name: str, shape: tuple[int, ...]) -> dict[str, Kept]:
        return {name: Kept(torch.int8, shape), f"{name}:mark": Kept(torch.uint8, (1,))}

    def encode(self, tensors: Mapping[str, Tensor], content: Content) -> dict[str, Tensor]:
        found = {}
        for name, tensor in tensors.items():
            found[name] = (tensor / self.step).round().clamp(-127, 127).to(torch.int8)
            found[f"{name}:mark"] = torch.tensor([7], dtype=torch.uint8)
        return found

    def decode(
        self,
        coded: Mapping[str, Tensor],
        shapes: Mapping[str, tuple[int, ...]],
        content: Content,
    ) -> dict[str, Tensor]:
        if any(coded[f"{name}:mark"].item() != 7 for name in shapes):
            raise ValueError("its mark is not 7")
        return {name: coded[name].float() * self.step for name in shapes}


@attar.register
@dataclass(frozen=True)
class Squeezed(Storage):
    """Images of 16 shades of gray, zlib over all of them; coded again, they change a little."""

    name: ClassVar[str] = "squeezed"
    exact: ClassVar[bool] = False

    level: int = 9

    def check(self, content: Content, form: str) -> None:
        if "images.values" not in content.pictures:
            raise BadRequest(f"--storage squeezed: images stored as {form}; choose --form pixels")

    def planned(self, name: str, shape: tuple[int, ...]) -> int | None:
        return None if name == "images.values" else 4 * torch.Size(shape).numel()

    def least(self, name: str, shape: tuple[int, ...]) -> int:
        return self.planned(name, shape) or 0

    def kept(self, name: str, shape: tuple[int, ...]) -> dict[str, Kept]:
        images = name == "images.values"
        return {name: Kept(torch.uint8) if images else Kept(torch.float32, shape)}

    def encode(self, tensors: Mapping[str, Tensor], content: Content) -> dict[str, Tensor]:
        assert content.preprocessing is not None
        found = dict(tensors)
        pixels = content.preprocessing.invert(tensors["images.values"]).clamp(0, 1)
        shades = (pixels * 15).round().to(torch.uint8)
        stream = zlib.compress(shades.numpy().tobytes(), self.level)
        found["images.values"] = torch.frombuffer(bytearray(stream), dtype=torch.uint8)
        return found

    def decode(
        self,
        coded: Mapping[str, Tensor],
        shapes: Mapping[str, tuple[int, ...]],
        content: Content,
    ) -> dict[str, Tensor]:
        assert content.preprocessing is not None
        found = {name: coded[name] for name in shapes}
        size = torch.Size(shapes["images.values"]).numel()
        unpacking = zlib.decompressobj()
        try:
            data = unpacking.decompress(found["images.values"].numpy().tobytes(), size)
        except zlib.error as error:
            raise ValueError(str(error)) from None
        if len(data) != size:
            raise ValueError("it ends too early")
        shades = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        pixels = shades.view(shapes["images.values"]).float() / 15
        found["images.values"] = content.preprocessing.apply(pixels)
        return found
