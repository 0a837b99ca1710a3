"""Low-rank factors in place of the arrays of another form."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from attar.errors import BadRequest
from attar.options import mean_rank
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
        auto: whether every channel has a rank of its own, r in the mean (2 or more): that which
            the spectrum of the images asks for that the set starts from, and their gradient then;
            see `attar.synthetic.stores.AdaptiveRank`.

    Example:
        >>> LowRank(2).values(Layout(10, 1, (3, 32, 32))) == 10 * 3 * 2 * (32 + 32)
        True
    """

    name: ClassVar[str] = "low_rank"

    rank: int = 2
    base: Parametrization = field(default_factory=Pixels)
    auto: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.base, Parametrization):
            raise BadRequest(f"{self.base!r} is no parametrization that could be factored")
        if isinstance(self.base, LowRank):
            raise BadRequest("low-rank factors of low-rank factors are one lower rank: set --rank")
        if self.auto and self.base.smaller() is not None:
            raise BadRequest(
                f"--rank auto: the form {self.base.name!r} keeps its first things in the first "
                "rows, and components that move between rows have no such order; give a rank"
            )

    @property
    def by_row(self) -> bool:
        """As the base does; components that move between rows are of no row."""
        return self.base.by_row and not self.auto

    @property
    def by_base(self) -> bool:
        """As `by_row`."""
        return self.base.by_base and not self.auto

    @property
    def telling(self) -> frozenset[str]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """What says how many components each channel has, beside that of the base."""
        own = {stores.AdaptiveRank.TOLD} if self.auto else set()
        return self.base.telling | own

    def smaller(self, *, nested: bool = False) -> Parametrization | None:
        """Return what the base does, wrapped; None where components move between rows."""
        return None if self.auto else super().smaller(nested=nested)

    def spelt(self, given: Mapping[str, str]) -> Mapping[str, str]:
        """Read ``rank=auto``, and ``rank=auto:8`` for a mean rank of 8."""
        rank = given.get("rank", "")
        if not rank.startswith("auto"):
            return given
        mean = mean_rank(rank)
        rest = {name: one for name, one in given.items() if name != "rank"}
        return {"auto": "true", **({"rank": str(mean)} if mean else {}), **rest}

    def describe(self) -> dict[str, Any]:
        """Return the settings with the name, without what came later and is as it was."""
        found = super().describe()
        if not self.auto:
            del found["auto"]
        return found

    def build(self, layout: Layout, leaf: Leaf = DENSE) -> Store:
        """Return what the base builds, its arrays factored; ``leaf`` is replaced."""
        return self.base.build(layout, self._leaf(layout.shape))

    def values(self, layout: Layout, leaf: Leaf = DENSE) -> int:
        """Return the values that the factors keep."""
        return self.base.values(layout, self._leaf(layout.shape))

    def _leaf(self, shape: Shape) -> Leaf:
        stores.check_rank(self.rank, shape)
        kind = stores.AdaptiveRank if self.auto else stores.LowRank
        return Leaf(
            f"rank {self.rank}",
            lambda count, item: kind(count, item, self.rank),
            lambda item: stores.low_rank_values(item, self.rank),
        )


def with_rank(form: Parametrization, rank: int | str) -> Parametrization:
    """Return a form whose arrays are factors of a rank, or with ``auto`` of ranks of their own.

    These have the rank of the form in the mean, 2 where it has none, or with ``auto:8`` one of 8.
    """
    if isinstance(rank, str):
        own = form if isinstance(form, LowRank) else LowRank(base=form)
        return dataclasses.replace(own, auto=True, rank=mean_rank(rank) or own.rank)
    if isinstance(form, LowRank):
        return dataclasses.replace(form, rank=rank)
    return LowRank(rank, form)
