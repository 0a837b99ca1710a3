"""Images as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from attar.synthetic.forms.form import DENSE, Leaf, Parametrization
from attar.synthetic.layout import Layout
from attar.synthetic.stores import Store


@dataclass(frozen=True)
class Pixels(Parametrization):
    """Every image is stored as one array of C×H×W."""

    name: ClassVar[str] = "pixels"
    needs_sides: ClassVar[bool] = False

    @property
    def takes_unequal(self) -> bool:
        """Every row is stored by itself."""
        return True

    @property
    def by_row(self) -> bool:
        """Every row is stored by itself."""
        return True

    @property
    def pictures(self) -> frozenset[str]:
        """What is stored."""
        return frozenset({"images.values"})

    @property
    def keeps_exactly(self) -> bool:
        """Pixels are what an image is made of."""
        return True

    @property
    def keeps_bounds(self) -> bool:
        """Pixels are what an image is made of."""
        return True

    def build(self, layout: Layout, leaf: Leaf = DENSE) -> Store:
        """Return one array of all images."""
        return leaf.make(layout.rows, layout.shape)

    def values(self, layout: Layout, leaf: Leaf = DENSE) -> int:
        """Return C·H·W values per image, or what the leaf keeps of them."""
        return layout.rows * leaf.values(layout.shape)


# the form that any images can be kept in
PLAIN = Pixels()
