"""CutMix: a box of every image is taken from another image of the batch, and labels are mixed.

Source: Yun et al., CutMix, 2019, as IDC's evaluation has it. Shape letters: B images, C channels,
H height, W width, K classes.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from attar.rng import Key


def cutmix(images: Tensor, truth: Tensor, probability: float, key: Key) -> tuple[Tensor, Tensor]:
    """Return a batch and its targets, mixed with the given probability.

    One box and one permutation serve the whole batch. The area of the box is drawn uniformly
    before it is cut off at the border; the labels are mixed by the area that is left.

    Args:
        images: B×C×H×W.
        truth: B×K.
        probability: of mixing this batch.
        key: decides whether, where and with which images.
    """
    generator = key.generator()
    chance, area, down, across = torch.rand(4, generator=generator).tolist()
    if chance >= probability:
        return images, truth
    other = torch.randperm(len(images), generator=generator).to(images.device)
    height, width = images.shape[2:]
    rows = _interval(height, math.sqrt(area), down)
    columns = _interval(width, math.sqrt(area), across)
    mixed = images.clone()
    mixed[:, :, rows, columns] = images[other][:, :, rows, columns]
    taken = (rows.stop - rows.start) * (columns.stop - columns.start) / (height * width)
    return mixed, (1 - taken) * truth + taken * truth[other]


def _interval(size: int, share: float, place: float) -> slice:
    """Return a part of an axis around a drawn centre, cut off at the ends."""
    half, centre = int(size * share) // 2, int(size * place)
    return slice(max(0, centre - half), min(size, centre + half))
