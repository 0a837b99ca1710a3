"""Networks without branches: MLP, LeNet, AlexNet and VGG11, in the forms for 32×32 images.

Source: the network definitions that Zhao et al. published with DC (2021), DSA and DM, which the
field evaluates on. One-channel images are padded so that 28×28 becomes 32×32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from torch import nn

from attar.networks.layers import Classifier, Norm, Size, after, make_norm

# output channels and kernel of a convolution, or 2×2 pooling
_Step = tuple[int, int] | Literal["pool"]
_ALEXNET: tuple[_Step, ...] = (
    *((128, 5), "pool"),
    *((192, 5), "pool"),
    *((256, 3), (192, 3), (192, 3), "pool"),
)
_VGG11: tuple[_Step, ...] = (
    *((64, 3), "pool"),
    *((128, 3), "pool"),
    *((256, 3), (256, 3), "pool"),
    *((512, 3), (512, 3), "pool"),
    *((512, 3), (512, 3), "pool"),
)


class MLP(Classifier):
    """Multilayer perceptron with two hidden layers of 128, for pictures and vectors.

    Args:
        channels: of the images; of vectors, how many values they have.
        size: height and width of the images, in pixels; empty for vectors.
        classes: outputs of the last layer.
        width: of the hidden layers.
        depth: how many hidden layers there are, each with a ReLU behind it.
    """

    def __init__(
        self, channels: int, size: Size, classes: int, width: int = 128, depth: int = 2
    ) -> None:
        body: list[nn.Module] = [nn.Flatten()]
        incoming = channels * math.prod(size)
        for _ in range(depth):
            body += [nn.Linear(incoming, width), nn.ReLU()]
            incoming = width
        super().__init__(body, width, classes)


class LeNet(Classifier):
    """LeNet: two 5×5 convolutions with max-pooling, then layers of 120 and 84.

    Args:
        channels: of the images.
        size: height and width of the images, in pixels.
        classes: outputs of the last layer.

    Raises:
        TooSmall: nothing is left of images of this size.
    """

    def __init__(self, channels: int, size: Size, classes: int) -> None:
        padding = 2 if channels == 1 else 0
        body: list[nn.Module] = []
        for incoming, outgoing, border in ((channels, 6, padding), (6, 16, 0)):
            size = after(after(size, 5, padding=border), 2, 2)
            body += [
                nn.Conv2d(incoming, outgoing, 5, padding=border),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]
        body.append(nn.Flatten())
        for incoming, outgoing in ((16 * math.prod(size), 120), (120, 84)):
            body += [nn.Linear(incoming, outgoing), nn.ReLU()]
        super().__init__(body, 84, classes)


class AlexNet(Classifier):
    """AlexNet for small images: five convolutions of stride 1, three max-poolings.

    The last map is flattened, so that larger images give more features: 192·4·4 at 32×32. There
    is no dropout.

    Args:
        channels: of the images.
        size: height and width of the images, in pixels.
        classes: outputs of the last layer.
        norm: none, batch, instance, group (4 groups) or layer, behind every convolution.

    Raises:
        TooSmall: nothing is left of images of this size.
    """

    def __init__(self, channels: int, size: Size, classes: int, norm: Norm = "none") -> None:
        super().__init__(*_stacked(_ALEXNET, channels, size, norm), classes)


class VGG11(Classifier):
    """VGG11 with one linear layer: eight 3×3 convolutions, five max-poolings.

    The last map is flattened, so that larger images give more features: 512 at 32×32, 2048 at
    64×64. There is no dropout.

    Args:
        channels: of the images.
        size: height and width of the images, in pixels.
        classes: outputs of the last layer.
        norm: instance, batch, group (4 groups), layer or none, behind every convolution.

    Raises:
        TooSmall: nothing is left of images of this size.
    """

    def __init__(self, channels: int, size: Size, classes: int, norm: Norm = "instance") -> None:
        super().__init__(*_stacked(_VGG11, channels, size, norm), classes)


def _stacked(
    steps: Sequence[_Step], channels: int, size: Size, norm: Norm
) -> tuple[list[nn.Module], int]:
    """Return the layers of a stack of convolutions, and the length of the flattened last map."""
    body: list[nn.Module] = []
    incoming = channels
    for step in steps:
        if step == "pool":
            size = after(size, 2, 2)
            body.append(nn.MaxPool2d(2))
            continue
        outgoing, kernel = step
        padding = kernel // 2 + (2 if not body and channels == 1 else 0)
        size = after(size, kernel, padding=padding)
        body += [
            nn.Conv2d(incoming, outgoing, kernel, padding=padding),
            make_norm(norm, outgoing, *size),
            nn.ReLU(),
        ]
        incoming = outgoing
    return body, incoming * math.prod(size)
