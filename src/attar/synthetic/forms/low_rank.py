"""Low-rank factors in place of the arrays of another form."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import ClassVar

from attar.errors import BadRequest
from attar.shapes import Shape
from attar.synthetic import stores
from attar.synthetic.forms.form import DENSE, Leaf, Parametrization, Wrapping
from attar.synthetic.forms.pixels import Pixels
from attar.synthetic.layout import Layout
from attar.synthetic.stores import Store


@dataclass(frozen=True)
class LowRank(Wrapping):
    """Every image-shaped array of ``base`` is stored as low-rank factors.

    Source: the low-rank plugin for dataset condensation, section 3.2.

    Args:
        rank: r, from 1 to min(H, W).
        base: what is factored.

    Example:
        >>> LowRank(2).values(Layout(10, 1, (3, 32, 32))) == 10 * 3 * 2 * (32 + 32)
        True
    """

    name: ClassVar[str] = "low_rank"

    rank: int = 2
    base: Parametrization = field(default_factory=Pixels)

    def __post_init__(self) -> None:
        if not isinstance(self.base, Parametrization):
            raise BadRequest(f"{self.base!r} is no parametrization that could be factored")
        if isinstance(self.base, LowRank):
            raise BadRequest("low-rank factors of low-rank factors are one lower rank: set --rank")

    def build(self, layout: Layout, leaf: Leaf = DENSE) -> Store:
        """Return what the base builds, its arrays factored; ``leaf`` is replaced."""
        return self.base.build(layout, self._leaf(layout.shape))

    def values(self, layout: Layout, leaf: Leaf = DENSE) -> int:
        """Return the values that the factors keep."""
        return self.base.values(layout, self._leaf(layout.shape))

    def _leaf(self, shape: Shape) -> Leaf:
        stores.check_rank(self.rank, shape)
        return Leaf(
            f"rank {self.rank}",
            lambda count, item: stores.LowRank(count, item, self.rank),
            lambda item: stores.low_rank_values(item, self.rank),
        )


def with_rank(form: Parametrization, rank: int) -> Parametrization:
    """Return a form whose arrays are factors of a rank."""
    if isinstance(form, LowRank):
        return dataclasses.replace(form, rank=rank)
    return LowRank(rank, form)
