"""Which images each client has: classes of its own, or an uneven share of every class."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from attar.applications.continual.classes import class_order, division
from attar.applications.continual.memory import Rounding
from attar.applications.federated.bandwidth import divided
from attar.applications.federated.request import FederatedRequest
from attar.data import LabelledImages, Splits
from attar.errors import BadRequest
from attar.text import counted

# of a class of one image none could be held out
_LEAST = 2


def first_size(whole: int, train: LabelledImages, rounding: Rounding) -> int:
    """Return the full images per class of a client's first set: no more than it has itself.

    Args:
        whole: images of the whole bandwidth.
        train: its images.
        rounding: of what does not divide.
    """
    return min(divided(whole, train.classes, rounding), len(train) // train.classes)


@dataclass(frozen=True)
class Parting:
    """How the data are shared out.

    Args:
        splits: the data of all.
        classes: of each client, by name.
        rows: for each client and each of its classes, the training images; None where the classes
            are its own, and all their images are.
        note: what was left out, in a sentence; may be empty.
    """

    splits: Splits
    classes: tuple[tuple[str, ...], ...]
    rows: tuple[tuple[Tensor, ...], ...] | None = None
    note: str = ""

    def of(self, client: int) -> Splits:
        """Return what a client has, counted from 1; it has no test images."""
        names, source = self.classes[client - 1], self.splits.source
        if self.rows is not None:
            return Splits(self._rows_of(client), None, "", source)
        kept = self.splits.validation
        validation = None if kept is None else kept.of_classes(names)
        return Splits(self.splits.train.of_classes(names), None, "", source, validation)

    def per_class(self, client: int, share: int, rounding: Rounding) -> int:
        """Return the full images of each class that a client sends of a share of so many."""
        names, train = self.classes[client - 1], self.splits.train
        if self.rows is not None:
            own = sum(map(len, self.rows[client - 1]))
        else:
            sizes = dict(zip(train.class_names, map(len, train.indices_of_class), strict=True))
            own = sum(sizes[name] for name in names)
        return min(divided(share, len(names), rounding), own // len(names))

    def _rows_of(self, client: int) -> LabelledImages:
        assert self.rows is not None
        lacking = dataclasses.replace(self.splits.train, may_lack_classes=True)
        own = lacking.subset(torch.cat(self.rows[client - 1])).of_classes(self.classes[client - 1])
        return dataclasses.replace(own, may_lack_classes=False)


def parted(splits: Splits, request: FederatedRequest, seed: int) -> Parting:
    """Return how the data are shared out among clients.

    Raises:
        BadRequest: one class, more clients than classes where each has its own, or a client
            without images.
    """
    names = splits.train.class_names
    if splits.train.classes == 1:
        raise BadRequest(
            f"{splits.train.name} has one class, which every network names whatever it has learnt; "
            "give data with several"
        )
    if request.dirichlet is None:
        sizes = division(len(names), request.clients, "client")
        return Parting(splits, tuple(map(tuple, class_order(names, sizes, seed))))
    return _drawn(splits, request.clients, request.dirichlet, seed)


def _drawn(splits: Splits, clients: int, alpha: float, seed: int) -> Parting:
    """Share each class out by proportions from Dirichlet(α·1), as Hsu et al. (2019)."""
    generator, train = np.random.RandomState(seed), splits.train
    pieces: list[list[Tensor]] = [[] for _ in range(clients)]
    for own in train.indices_of_class:
        order = own[torch.from_numpy(generator.permutation(len(own)))]
        ends = np.cumsum(generator.dirichlet([alpha] * clients))[:-1] * len(own)
        for piece, rows in zip(pieces, order.tensor_split([*map(int, ends.round())]), strict=True):
            piece.append(rows)
    left = sum(len(rows) for piece in pieces for rows in piece if len(rows) < _LEAST)
    kept = [[(n, r) for n, r in enumerate(piece) if len(r) >= _LEAST] for piece in pieces]
    for number, piece in enumerate(kept, start=1):
        if not piece:
            raise BadRequest(
                f"--dirichlet {alpha:g}: client {number} of {clients} has no class of {_LEAST} "
                "images or more; give a larger one, fewer --clients, or another --seed"
            )
    note = (
        f"{counted(left, 'image')} of classes of which a client has one alone left out"
        if left
        else ""
    )
    return Parting(
        splits,
        tuple(tuple(train.class_names[n] for n, _ in piece) for piece in kept),
        tuple(tuple(rows for _, rows in piece) for piece in kept),
        note,
    )
