"""Greedy choices among the features of one class.

Shape letters: N images of a class, D features.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

# of the images of a class, the share from which on all inner products at once are the faster, and
# the bytes that these may take
_MANY, _ROOM = 1 / 8, 2**29


def herding(features: Tensor, count: int) -> Tensor:
    """Return images whose mean feature follows that of all, best first.

    Each choice is the image, of those not chosen yet, that brings the mean of the chosen ones
    nearest to the mean of all in Euclidean distance; the first of equals. The choice of fewer
    images is therefore the head of the choice of more. Features are taken as they are: the
    condensation papers' baseline does not scale them to unit length, as iCaRL does.

    Args:
        features: N×D, finite; the arithmetic is in float64.
        count: images wanted, one or more.

    Returns:
        Distinct indices into ``features``: ``count`` of them, or N where that is fewer.

    Source: Welling, Herding Dynamical Weights to Learn, 2009; Rebuffi et al., iCaRL, 2017,
    algorithm 4; in the form that the DC authors give (their repository's issue 15).

    Example:
        >>> herding(torch.tensor([[0.0], [4.0], [5.0], [7.0]]), 2).tolist()
        [1, 2]
    """
    # With features g counted from their mean, the mean of k chosen ones lies |Σg|/k from it. For
    # the sum S so far, |S + g|² = |S|² + |g|² + 2·S·g; the first term is the same for all.
    deviations = _deviations(features)
    costs = deviations.square().sum(dim=1)
    products = _products(deviations, count)
    chosen = []
    for _ in range(min(count, len(features))):
        best = int(costs.argmin())
        chosen.append(best)
        costs += 2 * products(best)
        costs[best] = torch.inf
    return torch.tensor(chosen, dtype=torch.int64)


def kcenter(features: Tensor, count: int) -> Tensor:
    """Return images that cover all of them: nearest the mean first, then farthest first.

    After the image nearest to the mean, each choice is the image farthest from the chosen one
    that is nearest to it, in Euclidean distance; the first of equals. The choice of fewer
    images is the head of the choice of more.

    Args:
        features: N×D, finite; the arithmetic is in float64.
        count: images wanted, one or more.

    Returns:
        Distinct indices into ``features``: ``count`` of them, or N where that is fewer.

    Source: Sener and Savarese, Active Learning for Convolutional Neural Networks: A Core-Set
    Approach, 2018, algorithm 1; class by class and with this first image as the DC authors do
    (their repository's issue 21).

    Example:
        >>> kcenter(torch.tensor([[0.0], [4.0], [5.0], [7.0]]), 3).tolist()
        [1, 0, 3]
    """
    deviations = _deviations(features)
    squares = deviations.square().sum(dim=1)
    products = _products(deviations, count)
    chosen = [int(squares.argmin())]
    nearest = torch.full_like(squares, torch.inf)
    for _ in range(min(count, len(features)) - 1):
        last = chosen[-1]
        distances = squares + squares[last] - 2 * products(last)
        nearest = torch.minimum(nearest, distances.clamp_min(0))
        # copies of a chosen image are at distance 0 and come last; the image itself never again
        nearest[last] = -1
        chosen.append(int(nearest.argmax()))
    return torch.tensor(chosen, dtype=torch.int64)


def _deviations(features: Tensor) -> Tensor:
    wide = features.double()
    return wide - wide.mean(dim=0)


def _products(deviations: Tensor, count: int) -> Callable[[int], Tensor]:
    """Return what gives the inner products of all images with one, for ``count`` of them.

    One by one they are read from memory whole, and so are slower than the product of two matrices,
    which has each of them once.
    """
    images = len(deviations)
    if count < _MANY * images or 8 * images**2 > _ROOM:
        return lambda one: deviations @ deviations[one]
    whole = deviations @ deviations.T
    return lambda one: whole[one]
