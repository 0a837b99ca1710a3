"""A trained network that says of images what they are.

Shape letters: N images, K classes, D features.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from attar.compute import Compute, Functional
from attar.networks import Network
from attar.rng import Key
from attar.tensors import feed

# how tensors of a network are named in `Functional.tensors`
PREFIX = "module."
# pixels of a picture that the usual chunk on a CPU is made for, and the fewest pictures at once
_USUAL, _LEAST = 32 * 32, 8
# where one came from that was made for a set
TRAINED = "trained on the spot"


@dataclass(frozen=True)
class Rescaling:
    """From network inputs of the data to those that a network was trained on: x·scale + shift.

    Args:
        scale: of each channel.
        shift: likewise.
    """

    scale: tuple[float, ...]
    shift: tuple[float, ...]

    def __call__(self, images: Tensor) -> Tensor:
        """Return N×C×H×W inputs as the network wants them."""
        scale, shift = (
            torch.tensor(one, dtype=images.dtype, device=images.device).view(1, -1, 1, 1)
            for one in (self.scale, self.shift)
        )
        return images * scale + shift


@dataclass(frozen=True)
class Teacher:
    """A trained network, as a function of the network inputs of the data.

    Args:
        network: what it was drawn from.
        compute: device, precision and compilation.
        tensors: its parameters and buffers, as `Functional.tensors` names them.
        rescaling: where it was trained on pixels normalized in another way; None for the same.
        origin: where it came from, in words; what another command can be given to have it again.
    """

    network: Network
    compute: Compute
    tensors: dict[str, Tensor] = field(repr=False, compare=False)
    rescaling: Rescaling | None = None
    origin: str = TRAINED

    def scores(self, images: Tensor) -> Tensor:
        """Return the scores (N×K float32, on the device) of network inputs, without gradients."""
        return self._through(self._forward, images)

    def features(self, images: Tensor) -> Tensor:
        """Return the features (N×D) before the last linear layer, likewise."""
        return self._through(self._embedding, images)

    def module(self) -> nn.Module:
        """Return a module of its own with these weights, in evaluation mode, without gradients.

        It takes images as `seen` gives them.
        """
        module = self.network.draw(Key(0), self.compute.device)
        module.load_state_dict({n.removeprefix(PREFIX): one for n, one in self.tensors.items()})
        return module.eval().requires_grad_(False)

    def seen(self, images: Tensor) -> Tensor:
        """Return network inputs of the data as the network was trained on them."""
        return images if self.rescaling is None else self.rescaling(images)

    @property
    def nbytes(self) -> int:
        """What has to travel with a set whose labels it makes anew: all its values."""
        return sum(one.numel() * one.element_size() for one in self.tensors.values())

    @cached_property
    def digest(self) -> str:
        """16 hexadecimal digits of its values."""
        found = hashlib.blake2b(digest_size=8)
        feed(found, *(self.tensors[name] for name in sorted(self.tensors)))
        return found.hexdigest()

    def facts(self) -> dict[str, Any]:
        """Return what an artefact tells of it."""
        return {
            "network": self.network.name,
            "bytes": self.nbytes,
            "digest": self.digest,
            "origin": self.origin,
        }

    @cached_property
    def _looking(self) -> Compute:
        """The arithmetic, with as many images a call as keep what layers give near the caches."""
        most = self.compute.chunk
        if self.compute.device.type == "cpu":
            most = min(most, max(_LEAST, most * _USUAL // math.prod(self.network.size)))
        return dataclasses.replace(self.compute, chunk=most)

    def _through(self, function: Functional, images: Tensor) -> Tensor:
        parts = images.to(self.compute.device).split(self._looking.chunk)
        return torch.cat([function.chunk(self.tensors, self.seen(part)) for part in parts])

    @cached_property
    def _embedding(self) -> Functional:
        return self._function("embed")

    @cached_property
    def _forward(self) -> Functional:
        return self._function("forward")

    def _function(self, name: str) -> Functional:
        module = self.network.draw(Key(0), self.compute.device)
        return Functional(module.eval(), name, self._looking)


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """Return what `Teacher` keeps of a trained module."""
    named = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return {PREFIX + name: one.detach() for name, one in named.items()}
