"""The infinitely wide form of a network, read from the module of the finite one.

So both have one name, such as ``convnet3:norm=none``; the width plays no part.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from attar.errors import BadRequest
from attar.kernels.gram import Infinite
from attar.kernels.recursion import Conv, Step
from attar.networks import Network
from attar.networks.convnet import ConvNet
from attar.networks.layers import AveragePool, Classifier, GlobalAverage
from attar.networks.weight import without_memory


def infinite(network: Network, weight: float = 2.0, bias: float = 0.01) -> Infinite:
    """Return the infinitely wide form of a network.

    Args:
        network: of convolutions of stride 1, linear layers, ReLU and 2×2 or global average
            pooling.
        weight: variance of the weights, times the inputs of an output; Nguyen et al. have 2.
        bias: variance of the biases; they have 0.01.

    Raises:
        BadRequest: it has another layer (says which one).
    """
    module = without_memory(
        lambda: network.factory(network.channels, network.size, network.classes)
    )
    shape = (network.channels, *network.size)
    return Infinite(network.name, shape, tuple(_steps(module, network)), weight, bias)


def _steps(module: nn.Module, network: Network) -> Iterator[Step]:
    if not isinstance(module, ConvNet | Classifier):
        raise _refusal(network, type(module).__name__)
    # rows that are no pictures are flat already
    flat = len(network.size) != 2
    for layer in module.blocks if isinstance(module, ConvNet) else module.body:
        step = _step(layer)
        if step is None:
            raise _refusal(network, type(layer).__name__)
        if step and not (flat and step == "flatten"):
            flat = flat or step in ("flatten", "mean")
            yield step
    if not flat:
        yield "flatten"
    yield Conv(1, 0)


def _step(layer: nn.Module) -> Step | None:
    """Return what a layer is in the kernel; empty for nothing, None for what it cannot be."""
    match layer:
        case nn.Identity():
            return ""
        case nn.ReLU():
            return "relu"
        case AveragePool():
            return "pool"
        case GlobalAverage():
            return "mean"
        case nn.Flatten():
            return "flatten"
        case nn.Linear():
            return Conv(1, 0)
        case nn.Conv2d(stride=(1, 1), dilation=(1, 1), groups=1, padding_mode="zeros"):
            kernel, padding = set(layer.kernel_size), layer.padding
            square = len(kernel) == 1 and isinstance(padding, tuple) and len(set(padding)) == 1
            return Conv(layer.kernel_size[0], int(padding[0])) if square else None
        case _:
            return None


def _refusal(network: Network, layer: str) -> BadRequest:
    return BadRequest(
        f"network {network.name!r} has no infinitely wide form here, because of {layer}; take one "
        "of convolutions, ReLU and average pooling without norms, such as convnet3:norm=none, or "
        "mlp"
    )
