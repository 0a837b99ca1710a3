"""What the networks are made of: norms, pooling, and a body with one linear layer behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from attar.errors import BadRequest
from attar.shapes import Shape

Norm = Literal["instance", "batch", "group", "layer", "none"]
# height and width of images or maps, in pixels; of rows that are no pictures, what sides they have
Size = Shape

# of norm=group, as the papers use it
GROUPS = 4


class TooSmall(BadRequest):
    """A network leaves nothing of images of this size."""

    def __init__(self, size: Size) -> None:
        super().__init__(f"images are too small: maps of {size[0]}×{size[1]} are left")


def after(size: Size, kernel: int, stride: int = 1, padding: int = 0) -> Size:
    """Return the size of a map behind a convolution or a pooling.

    Raises:
        TooSmall: nothing is left.
    """
    height, width = ((side + 2 * padding - kernel) // stride + 1 for side in size)
    if min(height, width) < 1:
        raise TooSmall(size)
    return height, width


def make_norm(norm: str, channels: int, height: int, width: int) -> nn.Module:
    """Return the normalisation layer for maps of ``channels``×``height``×``width``.

    Raises:
        TooSmall: what is normalised together is one value, of which a norm leaves nothing.
    """
    together = {"instance": 1, "batch": 1, "group": channels // GROUPS}.get(norm, channels)
    if norm != "none" and together * height * width < 2:
        raise TooSmall((height, width))
    match norm:
        case "instance":
            # one group per channel, without running statistics
            return nn.GroupNorm(channels, channels)
        case "batch":
            return nn.BatchNorm2d(channels)
        case "group":
            return nn.GroupNorm(GROUPS, channels)
        case "layer":
            return nn.LayerNorm([channels, height, width])
        case _:
            return nn.Identity()


class AveragePool(nn.AvgPool2d):
    """2×2 average pooling; compiled, it is written as a mean, which fuses with the norm."""

    def __init__(self) -> None:
        super().__init__(2)

    def forward(self, input: Tensor) -> Tensor:
        """Return the map at half the height and width, odd borders dropped."""
        if not torch.compiler.is_compiling():
            return super().forward(input)
        batch, channels, height, width = input.shape
        even = input[:, :, : height // 2 * 2, : width // 2 * 2]
        blocks = even.reshape(batch, channels, height // 2, 2, width // 2, 2)
        return blocks.mean(dim=(3, 5))


class GlobalAverage(nn.Module):
    """The mean of every channel, B×C."""

    def forward(self, maps: Tensor) -> Tensor:
        """Return the means of B×C×H×W maps."""
        return maps.mean(dim=(2, 3))


class Classifier(nn.Module):
    """A body that makes features, and one linear layer on them.

    Args:
        body: layers in their order, from B×C×H×W images to B×features, or to maps to flatten.
        features: how many there are.
        classes: outputs of the linear layer.
    """

    def __init__(self, body: Sequence[nn.Module], features: int, classes: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)
        self.classifier = nn.Linear(features, classes)

    def embed(self, images: Tensor) -> Tensor:
        """Return the features before the last linear layer, B×features."""
        return self.body(images).flatten(1)

    def forward(self, images: Tensor) -> Tensor:
        """Return class scores, B×classes."""
        return self.classifier(self.embed(images))
