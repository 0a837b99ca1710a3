"""The greatest learning rate at which gradient descent on squared error is stable.

Source: Lee et al. 2019, Wide Neural Networks of Any Depth Evolve as Linear Models, and the notebook
of KIP's authors, who find it as here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from attar.compute import Functional

# rounds of power iteration: the largest eigenvalue of such kernels stands far above the others
_ROUNDS = 20


def greatest_rate(network: Functional, tensors: dict[str, Tensor], images: Tensor) -> float:
    """Return 2n/λ, with λ the largest eigenvalue of the tangent kernel of the summed scores.

    The scores of an image are summed and divided by √K, as if they were one with the mean kernel
    of all. n·(half the squared error of all scores) is stable below this rate.

    Args:
        network: as a function of its tensors.
        tensors: of the network, as it is drawn.
        images: n×C×H×W.
    """
    learnt = {name: tensors[name] for name in network.parameter_names}

    def summed(parameters: dict[str, Tensor]) -> Tensor:
        scores = network.plain({**tensors, **parameters}, images)
        return scores.sum(dim=1) / scores.shape[1] ** 0.5

    found, pull = torch.func.vjp(summed, learnt)  # pyright: ignore[reportAssignmentType]
    # backwards twice is forwards, and needs no derivatives that are forwards by themselves
    _, push = torch.func.vjp(lambda given: pull(given)[0], found)  # pyright: ignore[reportAssignmentType]
    # scores of one sign: the constant is close to the first eigenvector
    vector = torch.full_like(found, len(found) ** -0.5)
    largest = torch.zeros_like(found[0])
    for _ in range(_ROUNDS):
        (slopes,) = pull(vector)
        (moved,) = push(slopes)
        largest = moved.norm()
        vector = moved / largest
    return float(2 * len(images) / largest)
