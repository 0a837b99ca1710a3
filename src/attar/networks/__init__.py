"""Networks to condense with and to evaluate on, by name."""

from attar.networks.convnet import ConvNet
from attar.networks.registry import Embedder, Network, build

__all__ = ["ConvNet", "Embedder", "Network", "build"]
