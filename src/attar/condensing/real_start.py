"""The real images that a set starts from, chosen once, and what some of them take when coded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from attar.artefact.coding import encoded
from attar.compute import Compute
from attar.coresets import Chosen, Selector
from attar.data import LabelledImages
from attar.data.reading import Watch
from attar.networks import Network
from attar.rng import Key
from attar.storage import Storage, sizes_of
from attar.synthetic import NEVER, Layout, Parametrization, Synthetic
from attar.teachers.teacher import Teacher


class Rows(NamedTuple):
    """Real images, class by class.

    Args:
        images: network inputs.
        labels: N×K label values where the selector gives any.
        teacher: the trained network that gave them, where one did.
    """

    images: Tensor
    labels: Tensor | None
    teacher: Teacher | None = None


def real_rows(
    selector: Selector,
    data: LabelledImages,
    sizes: Sequence[int],
    network: Network,
    compute: Compute,
    key: Key,
    watch: Watch | None = None,
) -> Rows:
    """Return distinct real images, class by class.

    A class with fewer images than rows gives them again from the first.
    """
    return _taken(data, selector.chosen(data, sizes, network, compute, key, watch), sizes)


def _taken(data: LabelledImages, chosen: Chosen, sizes: Sequence[int]) -> Rows:
    if chosen.images is None:
        images = data.take(torch.cat(_filling(chosen.rows, sizes))).cpu()
    else:
        images = torch.cat(_filling(chosen.images, sizes))
    labels = None if chosen.labels is None else torch.cat(_filling(chosen.labels, sizes))
    return Rows(images, labels, chosen.teacher)


def _filling(parts: Sequence[Tensor], sizes: Sequence[int]) -> list[Tensor]:
    """Return the first of each part, as many as wanted, and those again where they are too few."""
    return [own[torch.arange(wanted) % len(own)] for own, wanted in zip(parts, sizes, strict=True)]


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
        labelled: whether the labels that the selector gives are kept as they are.
        watch: told how far the choosing is.
    """

    selector: Selector
    data: LabelledImages
    network: Network
    compute: Compute
    key: Key
    form: Parametrization
    storage: Storage
    again: bool = False
    labelled: bool = False
    watch: Watch | None = None

    @cached_property
    def order(self) -> Chosen:
        """Every image of every class, best first."""
        sizes = [len(own) for own in self.data.indices_of_class]
        return self.selector.chosen(
            self.data, sizes, self.network, self.compute, self.key, self.watch
        )

    def rows(self, sizes: Sequence[int]) -> Rows:
        """Return the first images of every class."""
        return _taken(self.data, self.order, sizes)

    def bytes_of(self, layout: Layout) -> dict[str, int]:
        """Return what each tensor of a layout takes; too much where there are not so many images.

        Labels that will be learnt are not among them.
        """
        sizes = layout.sizes()
        few = zip(self.order.rows, sizes, strict=True)
        if not self.again and any(n > len(own) for own, n in few):
            return dict.fromkeys(self.form.shapes(layout), NEVER)
        # coding is dear, and who looks for the largest set comes back to it at the end
        if sizes not in self._coded:
            self._coded[sizes] = self._bytes_of(layout)
        return dict(self._coded[sizes])

    @cached_property
    def _coded(self) -> dict[tuple[int, ...], dict[str, int]]:
        """What layouts of so many images of each class took."""
        return {}

    def _bytes_of(self, layout: Layout) -> dict[str, int]:
        images, labels, _ = self.rows(layout.sizes())
        with torch.no_grad():
            synthetic = Synthetic(layout, self.form, self.labelled and labels is not None)
            synthetic.images.fit(images)
            if synthetic.labels is not None and labels is not None:
                synthetic.labels.fit(labels)
            coded = encoded(synthetic, self.storage, self.data.preprocessing)
        return sizes_of(coded)
