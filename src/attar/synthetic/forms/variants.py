"""Stored bases that several small networks, shared by all classes, turn into images.

Shape letters: N rows, B rows asked for, V networks, and so variants of a base.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor

from attar.rng import Key
from attar.synthetic.layout import Layout
from attar.synthetic.stores import Store

# fit: updates, and bases per update
_UPDATES = 300
_BATCH = 256


class Variants(Store):
    """Row i of a class is its base i div V as network i mod V makes it.

    Args:
        layout: the rows, as many of every class.
        each: V.
    """

    def __init__(self, layout: Layout, each: int) -> None:
        super().__init__(layout.rows, layout.shape)
        self.per_class = layout.per_class
        self.each = each

    @property
    @abstractmethod
    def stored(self) -> Store:
        """What holds the bases of all classes, those of a class one after the other."""

    @abstractmethod
    def decode(self, bases: Tensor, variant: int) -> Tensor:
        """Return the images that one network makes of bases.

        Args:
            bases: B rows of what is stored.
            variant: which network, from 0.
        """

    def forward(self, index: Tensor) -> Tensor:
        """Return the images at ``index``, each base and each image made once."""
        rows, again = torch.unique(index, return_inverse=True)
        owner, place = rows // self.per_class, rows % self.per_class
        base = owner * self.in_class + place // self.each
        needed, where = torch.unique(base, return_inverse=True)
        bases = self.stored(needed)
        images = [bases.new_zeros(0, *self.item)]
        order = [rows[:0]]
        for variant in range(self.each):
            mine = (place % self.each == variant).nonzero().flatten()
            if len(mine):
                images.append(self.decode(bases[where[mine]], variant))
                order.append(mine)
        back = torch.cat(order).argsort()
        return torch.cat(images)[back[again]].contiguous()

    @torch.enable_grad()
    def descend(self, rows: Tensor, rates: Mapping[str, float]) -> None:
        """Come near ``rows`` by gradient descent on everything, from where it is.

        300 updates by Adam of the mean squared difference, at learning rates that fall linearly,
        each on the rows of at most 256 bases in turn. The V images of one base share what it holds,
        so unlike images come out blurred: what is reached is near the rows, not nearest to them.

        Args:
            rows: N×C×H×W.
            rates: at the beginning, by role.
        """
        roles = self.roles()
        groups = [{"params": roles[role], "lr": rate} for role, rate in rates.items()]
        optimiser = torch.optim.Adam(groups)
        schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, _UPDATES)
        batches = self._batches()
        for update in range(_UPDATES):
            index = batches[update % len(batches)]
            loss = (self(index) - rows[index]).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        optimiser.zero_grad()

    def _batches(self) -> list[Tensor]:
        """Return the rows in parts that need at most 256 bases each, all classes mixed."""
        rows = torch.arange(self.count)
        owner, base = rows // self.per_class, rows % self.per_class // self.each
        parts = -(-self.stored.count // _BATCH)
        turn = (owner * self.in_class + base) % parts
        return [rows[turn == part] for part in range(parts)]

    @property
    def in_class(self) -> int:
        """How many bases a class has."""
        return -(-self.per_class // self.each)


def uniform(tensor: Tensor, bound: float, key: Key) -> None:
    """Draw every value from −bound to bound, in place."""
    drawn = torch.rand(tensor.shape, generator=key.generator())
    tensor.copy_((2 * drawn - 1) * bound)
