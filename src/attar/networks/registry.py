"""A network: what fresh modules are drawn from, and what is known of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor, nn

from attar.networks.layers import Size
from attar.networks.weight import (
    activation_bytes,
    check_device,
    given_by,
    values_of_layer,
    without_memory,
)
from attar.rng import Key

# from channels, (height, width) and classes to a module with `embed`
Factory = Callable[[int, Size, int], nn.Module]
# how the name of a user's own module begins, before a colon
OWN = "own"
# values that a layer of a ConvNet-3 of 32 channels gives of a pixel, the mean over its layers
_USUAL = 10.5


class Embedder(Protocol):
    """What every network offers: scores, and the features before the last linear layer."""

    def __call__(self, images: Tensor) -> Tensor:
        """Return scores, B×classes."""
        ...

    def embed(self, images: Tensor) -> Tensor:
        """Return features, B×features."""
        ...


@dataclass(frozen=True)
class Network:
    """A network for images of one size, from which freshly initialised modules are drawn.

    Args:
        name: as on the command line.
        factory: from channels, (height, width) and classes to a module with `embed`.
        channels: of the images.
        size: height and width in pixels; empty for vectors, whose values are the channels.
        classes: number of classes.
        mixes: whether images of a batch affect each other in training; None to look for batch
            normalization.
        vectorizes: whether several can be trained in one step.
    """

    name: str
    factory: Factory = field(repr=False, compare=False)
    channels: int
    size: Size
    classes: int
    mixes: bool | None = field(default=None, repr=False, compare=False)
    vectorizes: bool = field(default=True, repr=False, compare=False)

    def draw(self, key: Key, device: str | torch.device = "cpu") -> nn.Module:
        """Return a module initialised from ``key``; the same key gives the same weights.

        Raises:
            BadRequest: the device has less memory than the module and its gradients take.
        """
        with key.seeding_global():
            module = self.factory(self.channels, self.size, self.classes)
        check_device(module, device, f"network {self.name}")
        return module.to(device)

    def effort(self, passes: float) -> float:
        """Return what so many passes of an image take, in pixels sent through a small ConvNet.

        It tells whether compiling pays. What that saves follows the values that layers give
        (measured: a pixel takes 4.4 times as long in 128 channels as in 32), and what it costs
        follows their number, so a network counts by the values of a layer, beside a ConvNet-3 of
        32 channels.

        Args:
            passes: images that go forward, a backward pass counting as two.
        """
        # no network is drawn to weigh nothing
        return passes * self._values_of_layer / _USUAL if passes else 0.0

    @cached_property
    def graph_bytes(self) -> int:
        """What layers give of one image, and the gradients of that, in bytes of float32."""
        return activation_bytes(self._given)

    @cached_property
    def _values_of_layer(self) -> float:
        return values_of_layer(self._given)

    @cached_property
    def _given(self) -> list[Tensor]:
        """What the layers give of one image, without its values: a network is drawn once for it."""
        module = self.draw(Key(0)).eval()
        # a module that draws as it goes leaves the global generator as it was
        with Key(0).fold("weighed").seeding_global():
            return given_by(module, (self.channels, *self.size))

    def mixes_samples(self) -> bool:
        """Whether a module in training mode lets images of a batch affect each other."""
        return self._mixes

    @cached_property
    def _mixes(self) -> bool:
        if self.mixes is not None:
            return self.mixes
        module = without_memory(lambda: self.factory(self.channels, self.size, self.classes))
        kinds = nn.modules.batchnorm._BatchNorm
        return any(isinstance(part, kinds) for part in module.modules())
