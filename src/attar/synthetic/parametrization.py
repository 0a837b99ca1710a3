"""Which form a synthetic set is stored in: a frozen choice that builds the stores.

A parametrization says how images are made of arrays; a leaf says how each of those arrays is
kept. `LowRank` is a choice of leaf, so it wraps any parametrization and knows none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar

from attar.errors import BadRequest, unknown
from attar.optimisers import Optimiser
from attar.registry import Registry
from attar.synthetic import ordered, stores, tiles
from attar.synthetic.form import DENSE, Leaf, Parametrization
from attar.synthetic.latent import Decoded
from attar.synthetic.layout import Layout
from attar.synthetic.stores import Store


@dataclass(frozen=True)
class Pixels(Parametrization):
    """Every image is stored as one array of C×H×W."""

    name: ClassVar[str] = "pixels"

    @property
    def takes_unequal(self) -> bool:
        """Every row is stored by itself."""
        return True

    def build(self, layout: Layout, leaf: Leaf = DENSE) -> Store:
        """Return one array of all images."""
        return leaf.make(layout.rows, layout.shape)

    def values(self, layout: Layout, leaf: Leaf = DENSE) -> int:
        """Return C·H·W values per image, or what the leaf keeps of them."""
        return layout.rows * leaf.values(layout.shape)


@dataclass(frozen=True)
class LowRank(Parametrization):
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

    @property
    def takes_unequal(self) -> bool:
        """As the base does."""
        return self.base.takes_unequal

    def build(self, layout: Layout, leaf: Leaf = DENSE) -> Store:
        """Return what the base builds, its arrays factored; ``leaf`` is replaced."""
        return self.base.build(layout, self._leaf(layout.shape))

    def values(self, layout: Layout, leaf: Leaf = DENSE) -> int:
        """Return the values that the factors keep."""
        return self.base.values(layout, self._leaf(layout.shape))

    def beside(self, layout: Layout) -> int:
        """Return what the base keeps beside its images."""
        return self.base.beside(layout)

    def build_labels(self, layout: Layout, images: Store) -> Store:
        """Return the label store of the base."""
        return self.base.build_labels(layout, images)

    def label_values(self, layout: Layout) -> int:
        """Return the label values of the base."""
        return self.base.label_values(layout)

    def own_optimisers(self) -> Mapping[str, Optimiser]:
        """Return those of the base."""
        return self.base.own_optimisers()

    def describe(self) -> dict[str, Any]:
        """Return rank and base with the name."""
        return {"name": self.name, "rank": self.rank, "base": self.base.describe()}

    def _leaf(self, shape: tuple[int, int, int]) -> Leaf:
        stores.check_rank(self.rank, shape)
        return Leaf(
            f"rank {self.rank}",
            lambda count, item: stores.LowRank(count, item, self.rank),
            lambda item: stores.low_rank_values(item, self.rank),
        )


@dataclass(frozen=True)
class Tiled(Parametrization):
    """Every stored image of C×H×W is cut into f×f tiles; each tile, enlarged, is one image.

    Source: Kim et al., Dataset Condensation via Efficient Synthetic-Data Parameterization
    (IDC), section 3.2, uniform multi-formation.

    Args:
        factor: f, tiles along each side.
        padding: a value per channel that extends images whose sides f does not divide; empty
            for zeros, which is the mean of standardised pixels.

    Example:
        >>> Tiled(2).values(Layout(8, 1, (3, 32, 32))) == 2 * 3 * 32 * 32
        True
    """

    name: ClassVar[str] = "tiled"

    factor: int = 2
    padding: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        # a description that was JSON has a list
        object.__setattr__(self, "padding", tuple(map(float, self.padding)))

    @property
    def takes_unequal(self) -> bool:
        """Tiles are counted over all rows, whatever their class."""
        return True

    def build(self, layout: Layout, leaf: Leaf = DENSE) -> Store:
        """Return the tiles of as many stored images as the rows need."""
        tiles.check_factor(self.factor, layout.shape)
        stored = leaf.make(self._stored(layout), layout.shape)
        return tiles.Tiles(layout.rows, layout.shape, self.factor, self.padding, stored)

    def values(self, layout: Layout, leaf: Leaf = DENSE) -> int:
        """Return the values of the stored images."""
        tiles.check_factor(self.factor, layout.shape)
        return self._stored(layout) * leaf.values(layout.shape)

    def describe(self) -> dict[str, Any]:
        """Return factor and padding with the name."""
        return {"name": self.name, "factor": self.factor, "padding": list(self.padding)}

    def _stored(self, layout: Layout) -> int:
        return -(-layout.rows // self.factor**2)


@dataclass(frozen=True)
class OrderedSVD(Parametrization):
    """The n images of a class are U·Σ·V of b components, ordered by significance.

    Learnt labels are made of the same U and Σ, so a component is a piece of an image together
    with a piece of a label, and a smaller set is what is left without the least significant
    ones. The papers' count is that of the components, one image's values each.

    Source: Slimmable Dataset Condensation, section 3.4, equation 8.

    Args:
        components: b, from 1 to n; 0 for n.
        share: ``all`` for one U and Σ of all classes, ``class`` for one of each.

    Example:
        >>> OrderedSVD().values(Layout(10, 5, (3, 32, 32))) == 10 * 5 * 3 * 32 * 32
        True
    """

    name: ClassVar[str] = "ordered_svd"

    components: int = 0
    share: str = "all"

    def __post_init__(self) -> None:
        if self.share not in ("all", "class"):
            raise unknown("share", self.share, ("all", "class"))
        if type(self.components) is not int or self.components < 0:
            raise BadRequest(f"components {self.components!r}: a whole number, 0 or more")

    def build(self, layout: Layout, leaf: Leaf = DENSE) -> Store:
        """Return the components and what mixes them."""
        count = self._count(layout)
        kept = leaf.make(count * layout.classes, layout.shape)
        return ordered.OrderedImages(layout, count, self.share == "class", kept)

    def values(self, layout: Layout, leaf: Leaf = DENSE) -> int:
        """Return the values of the components."""
        return self._count(layout) * layout.classes * leaf.values(layout.shape)

    def beside(self, layout: Layout) -> int:
        """Return the values of U and Σ."""
        groups = layout.classes if self.share == "class" else 1
        return groups * self._count(layout) * (layout.per_class + 1)

    def build_labels(self, layout: Layout, images: Store) -> Store:
        """Return the components of the labels, mixed as those of ``images``."""
        assert isinstance(images, ordered.OrderedImages)
        return ordered.OrderedLabels(images)

    def label_values(self, layout: Layout) -> int:
        """Return the values of the components of the labels."""
        return self._count(layout) * layout.classes**2

    def _count(self, layout: Layout) -> int:
        if self.components > layout.per_class:
            raise BadRequest(
                f"{self.components} components for {layout.per_class} images per class: at most "
                "as many components as images"
            )
        return self.components or layout.per_class


def with_components(form: Parametrization, count: int) -> Parametrization:
    """Return a form of ordered components with another number of them; 0 for one per image."""
    if isinstance(form, LowRank):
        return replace(form, base=with_components(form.base, count))
    assert isinstance(form, OrderedSVD)
    return replace(form, components=count)


PARAMETRIZATIONS: Registry[type[Parametrization]] = Registry(
    "form",
    lambda thing: isinstance(thing, type) and issubclass(thing, Parametrization),
    (Pixels, LowRank, Tiled, OrderedSVD, Decoded),
)


def from_description(description: Mapping[str, Any]) -> Parametrization:
    """Build a parametrization from what `Parametrization.describe` returned.

    Raises:
        BadRequest: an unknown name or setting.
    """
    settings = dict(description)
    name = str(settings.pop("name", ""))
    if name not in PARAMETRIZATIONS:
        raise unknown("form", name, PARAMETRIZATIONS)
    kind = PARAMETRIZATIONS[name]
    known = {item.name for item in fields(kind)}  # pyright: ignore[reportArgumentType]
    for setting in settings:
        if setting not in known:
            raise unknown(f"setting of the form {name!r}", setting, known)
    if isinstance(settings.get("base"), Mapping):
        settings["base"] = from_description(settings["base"])
    return kind(**settings)
