"""A set as a table of rows: of which class each is, and of which stored base which variant."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from attar.synthetic.layout import Layout


@dataclass(frozen=True)
class Table:
    """One entry for each of N rows, int64 on the CPU.

    Args:
        label: its class.
        base: what is stored that it is made of: a stored image, a latent code, or the components
            of a class, counted from 0.
        variant: which of the images made of that base it is: a tile, a decoder.

    Example:
        >>> from attar.synthetic import Tiled
        >>> Tiled(2).table(Layout(2, 3, (1, 8, 8)))
        Table(label=tensor([0, 0, 0, 1, 1, 1]), base=tensor([0, 0, 0, 0, 1, 1]), \
variant=tensor([0, 1, 2, 3, 0, 1]))
    """

    label: Tensor
    base: Tensor
    variant: Tensor


def by_order(layout: Layout, each: int) -> Table:
    """Return the table of bases that make ``each`` rows, one base after another."""
    rows = torch.arange(layout.rows)
    return Table(layout.class_of_row(), rows // each, rows % each)


def by_class(layout: Layout, each: int) -> Table:
    """Return the table of bases that make up to ``each`` rows of one class, class after class.

    Args:
        layout: the rows, as many of every class.
        each: rows of a base.
    """
    label = layout.class_of_row()
    place = torch.arange(layout.rows) % layout.per_class
    bases = -(-layout.per_class // each)
    return Table(label, label * bases + place // each, place % each)
