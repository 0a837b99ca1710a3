"""Any number of images through a network in calls of one shape.

A compiled function is made for one number of images, and on a CPU the activations of a chunk stay
near the caches.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from attar.compute import Functional
from attar.synthetic import Layout


def groups(layout: Layout, chunk: int | None) -> Iterator[range]:
    """Yield consecutive classes whose images go through the network in one call.

    Groups are of equal size, so that a compiled function meets one shape; where classes differ
    they have at most a chunk of images, or one class.
    """
    classes, n = layout.classes, layout.per_class
    if chunk is not None and not layout.is_equal:
        yield from _unequal_groups(layout.sizes(), chunk)
        return
    together = classes if chunk is None else max(1, min(classes, chunk // n))
    while classes % together:
        together -= 1
    for first in range(0, classes, together):
        yield range(first, first + together)


def _unequal_groups(sizes: Sequence[int], chunk: int) -> Iterator[range]:
    first, taken = 0, 0
    for label, size in enumerate(sizes):
        if label > first and taken + size > chunk:
            yield range(first, label)
            first, taken = label, 0
        taken += size
    yield range(first, len(sizes))


def rechunked(
    batches: Iterator[tuple[Tensor, Tensor]], chunk: int | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the images and labels of ``batches`` in parts of ``chunk`` images, or all at once.

    Where there are several parts, the last one is filled up with zero images, so that all have
    one shape; its labels are those of the true images alone.
    """
    images, labels = next(batches)
    several = False
    for more in itertools.chain(batches, [None]):
        if more is not None:
            images, labels = torch.cat([images, more[0]]), torch.cat([labels, more[1]])
        while chunk is not None and len(images) > chunk:
            several = True
            yield images[:chunk], labels[:chunk]
            images, labels = images[chunk:], labels[chunk:]
    yield (filled(images, chunk) if several and chunk is not None else images), labels


def filled(images: Tensor, size: int) -> Tensor:
    """Return ``images`` with zero images behind them, ``size`` in all."""
    return torch.cat([images, images.new_zeros(size - len(images), *images.shape[1:])])


def in_chunks(
    embedding: Functional, tensors: dict[str, Tensor], images: Tensor, chunk: int | None
) -> Tensor:
    """Return the features of ``images``, at most ``chunk`` images per call.

    The last call is filled up with zero images, so that all have one shape.
    """
    if chunk is None or len(images) <= chunk:
        return embedding(tensors, images)
    padded = filled(images, len(images) + -len(images) % chunk)
    return torch.cat([embedding(tensors, part) for part in padded.split(chunk)])[: len(images)]
