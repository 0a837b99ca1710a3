"""The real images that a set starts from, chosen once, and what some of them take when coded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from attar.artefact.coding import encoded
from attar.compute import Compute
from attar.coresets import Selector
from attar.data import LabelledImages
from attar.data.reading import Watch
from attar.networks import Network
from attar.rng import Key
from attar.storage import Storage, sizes_of
from attar.synthetic import NEVER, Layout, Parametrization, Synthetic


def real_rows(
    selector: Selector,
    data: LabelledImages,
    sizes: Sequence[int],
    network: Network,
    compute: Compute,
    key: Key,
    watch: Watch | None = None,
) -> Tensor:
    """Return network inputs of distinct real images, class by class.

    A class with fewer images than rows gives them again from the first.
    """
    found = selector.choose(data, sizes, network, compute, key, watch)
    return _taken(data, found, sizes)


def _taken(data: LabelledImages, found: Sequence[Tensor], sizes: Sequence[int]) -> Tensor:
    chosen = [
        index.repeat(math.ceil(rows / len(index)))[:rows]
        for index, rows in zip(found, sizes, strict=True)
    ]
    return data.take(torch.cat(chosen)).cpu()


@dataclass(frozen=True)
class CodedStart:
    """Real images in order of choice, of which as many are taken as fit once they are coded.

    They are the set, or what a trained one starts from and is planned by.

    Args:
        selector: chooses them, all of every class in one order.
        data: to choose from.
        network: to look at them with.
        compute: device, precision, compilation.
        key: of everything random.
        form: in which they are stored.
        storage: in which they are coded.
        again: whether a class with fewer images than rows gives them again; else they do not fit.
    """

    selector: Selector
    data: LabelledImages
    network: Network
    compute: Compute
    key: Key
    form: Parametrization
    storage: Storage
    again: bool = False

    @cached_property
    def order(self) -> list[Tensor]:
        """Every image of every class, best first."""
        sizes = [len(own) for own in self.data.indices_of_class]
        return self.selector.choose(self.data, sizes, self.network, self.compute, self.key)

    def rows(self, sizes: Sequence[int]) -> Tensor:
        """Return the network inputs of the first images of every class."""
        return _taken(self.data, [own[:n] for own, n in zip(self.order, sizes, strict=True)], sizes)

    @torch.no_grad()
    def bytes_of(self, layout: Layout) -> int:
        """Return what the images of a layout take; too much where there are not so many."""
        sizes = layout.sizes()
        if not self.again and any(n > len(own) for own, n in zip(self.order, sizes, strict=True)):
            return NEVER
        synthetic = Synthetic(layout, self.form)
        synthetic.images.fit(self.rows(sizes))
        coded = encoded(synthetic, self.storage, self.data.preprocessing)
        return sum(sizes_of(coded).values())
