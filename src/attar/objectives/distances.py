"""Distances between synthetic and real gradients.

Source: the DC paper, section 3.4, and its authors' code; those over convolutions alone: IDC's
authors' code.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# gradients for the counted parameters, in their order
Gradients = tuple[Tensor, ...]
Distance = Callable[[Gradients, Gradients], Tensor]
# whether a parameter is compared; others need no gradient
Counted = Callable[[Tensor], bool]

_EPSILON = 1e-6


def layerwise(found: Gradients, target: Gradients) -> Tensor:
    """Return the sum over layers and output channels of one minus the cosine."""
    total = found[0].new_zeros(())
    for one, other in zip(found, target, strict=True):
        a, b = one.flatten(1), other.flatten(1)
        norms = a.norm(dim=1) * b.norm(dim=1)
        total = total + (1 - (a * b).sum(dim=1) / (norms + _EPSILON)).sum()
    return total


def squared(found: Gradients, target: Gradients) -> Tensor:
    """Return the squared distance of all gradients as one vector."""
    pairs = zip(found, target, strict=True)
    return torch.stack([(a - b).square().sum() for a, b in pairs]).sum()


def cosine(found: Gradients, target: Gradients) -> Tensor:
    """Return one minus the cosine of all gradients as one vector."""
    a, b = (torch.cat([g.flatten() for g in gradients]) for gradients in (found, target))
    return 1 - a @ b / (a.norm() * b.norm() + _EPSILON)


def absolute(found: Gradients, target: Gradients) -> Tensor:
    """Return the sum of absolute differences of all gradients."""
    pairs = zip(found, target, strict=True)
    return torch.stack([(a - b).abs().sum() for a, b in pairs]).sum()


def _is_matrix(parameter: Tensor) -> bool:
    return parameter.ndim > 1


def _is_convolution(parameter: Tensor) -> bool:
    return parameter.ndim > 2


def _always(parameter: Tensor) -> bool:
    del parameter
    return True


DISTANCES: dict[str, tuple[Distance, Counted]] = {
    "layerwise": (layerwise, _is_matrix),
    "mse": (squared, _always),
    "cosine": (cosine, _always),
    "conv_mse": (squared, _is_convolution),
    "conv_l1": (absolute, _is_convolution),
}
