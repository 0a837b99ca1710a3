"""What a form of storage is: a frozen choice that builds stores of arrays that a leaf keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from attar.optimisers import Optimiser
from attar.synthetic import stores
from attar.synthetic.layout import Layout
from attar.synthetic.stores import Store


@dataclass(frozen=True)
class Leaf:
    """How an array with rows and columns is kept.

    Args:
        name: what messages call it.
        make: from a number of rows and the shape of one to the store.
        values: from the shape of a row to the number of values kept for it.
    """

    name: str
    make: Callable[[int, tuple[int, ...]], Store]
    values: Callable[[tuple[int, ...]], int]


DENSE = Leaf("dense", stores.Dense, stores.dense_values)


class Parametrization(ABC):
    """A frozen dataclass: the settings of one form and how to build it."""

    name: ClassVar[str]

    @property
    def takes_unequal(self) -> bool:
        """Whether classes may have different numbers of images."""
        return False

    @abstractmethod
    def build(self, layout: Layout, leaf: Leaf = DENSE) -> Store:
        """Return an empty store of the images of ``layout``."""

    @abstractmethod
    def values(self, layout: Layout, leaf: Leaf = DENSE) -> int:
        """Return how many values that store keeps and the papers count, without building it."""

    def beside(self, layout: Layout) -> int:
        """Return how many values it keeps that the papers do not count."""
        del layout
        return 0

    def build_labels(self, layout: Layout, images: Store) -> Store:
        """Return an empty store of learnt labels, K values for each row.

        Args:
            layout: the rows.
            images: what `build` returned, for forms whose labels are made as images are.
        """
        del images
        return stores.Dense(layout.rows, (layout.classes,))

    def label_values(self, layout: Layout) -> int:
        """Return how many values the store of learnt labels keeps."""
        return layout.rows * layout.classes

    def own_optimisers(self) -> Mapping[str, Optimiser]:
        """Return how it is updated, by role, where it stores more than images or their factors."""
        return {}

    def describe(self) -> dict[str, Any]:
        """Return the settings with the name, as `from_description` reads them."""
        return {"name": self.name, **asdict(self)}  # pyright: ignore[reportArgumentType]
