"""HaBa's losses beside trajectory matching, written out pair by pair (Liu et al. 2022, 3.3)."""

from collections.abc import Sequence

import torch
from torch import Tensor


def cosine(one: Tensor, other: Tensor) -> Tensor:
    """Return the cosine of the angle between two vectors."""
    return (one @ other) / ((one @ one).sqrt() * (other @ other).sqrt())


def apart(one: Sequence[Tensor], other: Sequence[Tensor]) -> Tensor:
    """Return the mean of (cos + 1) / 2 over pairs of features."""
    pairs = [(cosine(*pair) + 1) / 2 for pair in zip(one, other, strict=True)]
    return torch.stack(pairs).mean()


def supervised(
    one: Sequence[Tensor], other: Sequence[Tensor], classes: Sequence[int], temperature: float
) -> Tensor:
    """Return SupCon of two views (Khosla et al. 2020, equation 2), every anchor by itself."""
    features, labels = [*one, *other], [*classes, *classes]
    found = []
    for i in range(len(features)):
        others = [j for j in range(len(features)) if j != i]
        alike = {j: cosine(features[i], features[j]) / temperature for j in others}
        below = torch.stack([alike[j].exp() for j in others]).sum().log()
        same = [alike[j] - below for j in others if labels[j] == labels[i]]
        found.append(-torch.stack(same).mean())
    return torch.stack(found).mean()


def of_extractor(
    scores: Tensor,
    one: Sequence[Tensor],
    other: Sequence[Tensor],
    classes: Sequence[int],
    weights: tuple[float, float, float],
    temperature: float,
) -> Tensor:
    """Return what the extractor is trained by: cross-entropy, likeness and SupCon by weight."""
    wrong = [
        -(row[label] - row.exp().sum().log())
        for row, label in zip(scores, [*classes, *classes], strict=True)
    ]
    distance = torch.stack([(1 - cosine(*pair)) / 2 for pair in zip(one, other, strict=True)])
    parts = (
        torch.stack(wrong).mean(),
        distance.mean(),
        supervised(one, other, classes, temperature),
    )
    return torch.stack([w * part for w, part in zip(weights, parts, strict=True)]).sum()
