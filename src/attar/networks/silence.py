"""Which weights of a freshly drawn network get no gradient at all."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from attar.networks.registry import Network
from attar.rng import Key

_IMAGES = 8
# of the largest gradient; rounding may leave that much where there is none
_NOTHING = 1e-10


@dataclass(frozen=True)
class Silence:
    """The weights whose gradient is zero.

    Args:
        silent: names of these tensors.
        tensors: how many were looked at.
        values: share of all weights that lie in silent tensors, from 0 to 1.
    """

    silent: tuple[str, ...]
    tensors: int
    values: float


def silence(network: Network, *, vectors: bool) -> Silence:
    """Return which weights get no gradient from images of noise and labels in turn.

    Args:
        network: is drawn once.
        vectors: whether one-dimensional parameters (biases, scales of norms) count too.
    """
    module = copy.deepcopy(network.draw(Key(0).fold("silence"))).train()
    images = torch.randn(
        _IMAGES, network.channels, *network.size, generator=Key(0).fold("silence").generator()
    )
    labels = torch.arange(_IMAGES) % network.classes
    counted = {
        name: parameter
        for name, parameter in module.named_parameters()
        if vectors or parameter.ndim > 1
    }
    with torch.enable_grad():
        loss = nn.functional.cross_entropy(module(images), labels)
        found = torch.autograd.grad(loss, list(counted.values()), allow_unused=True)
    sizes = [_largest(one) for one in found]
    least = _NOTHING * max(sizes, default=0.0)
    silent = [name for name, size in zip(counted, sizes, strict=True) if size <= least]
    values = sum(counted[name].numel() for name in silent)
    whole = sum(parameter.numel() for parameter in counted.values())
    return Silence(tuple(silent), len(counted), values / max(1, whole))


def _largest(gradient: Tensor | None) -> float:
    return 0.0 if gradient is None else float(gradient.abs().max())
