"""The ConvNet of the condensation papers, of any depth, width, norm, activation, pooling.

Source: Gidaris and Komodakis 2018, as used by Zhao et al. 2021 (DC) and everything after it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

from attar.errors import BadRequest
from attar.networks.layers import GROUPS, AveragePool, Norm, Size, make_norm

Activation = Literal["relu", "leakyrelu", "sigmoid", "swish"]
Pooling = Literal["average", "max", "none"]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leakyrelu": lambda: nn.LeakyReLU(0.01),
    "sigmoid": nn.Sigmoid,
    "swish": nn.SiLU,
}
POOLINGS: dict[str, Callable[[], nn.Module]] = {
    "average": AveragePool,
    "max": lambda: nn.MaxPool2d(2),
    "none": nn.Identity,
}


class ConvNet(nn.Module):
    """Blocks of 3×3 convolution, norm, activation and 2×2 pooling, then one linear layer.

    One-channel images are padded by 3 in the first convolution, so that 28×28 becomes 32×32.

    Args:
        channels: of the images.
        size: height and width of the images, in pixels.
        classes: outputs of the linear layer.
        depth: number of blocks.
        width: channels of every block.
        norm: instance, batch, group (4 groups), layer or none.
        activation: relu, leakyrelu, sigmoid or swish.
        pooling: average, max or none.

    Raises:
        BadRequest: the map would vanish at this size (names the greatest depth that works, and the
            smallest size for this one), or
            the width does not divide into groups.
    """

    def __init__(
        self,
        channels: int,
        size: Size,
        classes: int,
        depth: int = 3,
        width: int = 128,
        norm: Norm = "instance",
        activation: Activation = "relu",
        pooling: Pooling = "average",
    ) -> None:
        super().__init__()
        check_depth(depth, size, padding=3 if channels == 1 else 1, pooling=pooling)
        if norm == "group" and width % GROUPS:
            raise BadRequest(f"width={width}: norm=group needs a multiple of {GROUPS}")
        layers: list[nn.Module] = []
        height, across = size
        incoming = channels
        for block in range(depth):
            padding = 3 if block == 0 and channels == 1 else 1
            height, across = height + 2 * padding - 2, across + 2 * padding - 2
            layers += [
                nn.Conv2d(incoming, width, 3, padding=padding),
                make_norm(norm, width, height, across),
                ACTIVATIONS[activation](),
                POOLINGS[pooling](),
            ]
            if pooling != "none":
                height, across = height // 2, across // 2
            incoming = width
        self.blocks = nn.Sequential(*layers)
        self.classifier = nn.Linear(width * height * across, classes)

    def embed(self, images: Tensor) -> Tensor:
        """Return the flattened last map, B×features."""
        return self.blocks(images).flatten(1)

    def forward(self, images: Tensor) -> Tensor:
        """Return class scores, B×classes."""
        return self.classifier(self.embed(images))


def check_depth(depth: int, size: Size, padding: int, pooling: str) -> None:
    """Refuse a depth at which pooling leaves nothing of an image of this size."""
    if depth < 1:
        raise BadRequest(f"a ConvNet of depth {depth} has no blocks; 1 is the least")
    if pooling == "none":
        return
    border = 2 * padding - 2
    greatest = (min(size) + border).bit_length() - 1
    if depth <= greatest:
        return
    least = max(1, 2**depth - border)
    works = f"convnet{depth} works on {least}×{least} or more"
    if greatest < 1:
        raise BadRequest(
            f"images of {size[0]}×{size[1]} are too small for a ConvNet with pooling; "
            f"use pooling=none ({works})"
        )
    raise BadRequest(
        f"network convnet{depth} halves images of {size[0]}×{size[1]} to nothing; "
        f"convnet{greatest} is the deepest that works at this size ({works})"
    )
