"""What a form of storage is: a frozen choice that builds stores, and answers for itself.

A parametrization says how images are made of arrays; a leaf says how each of those arrays is
kept. `Wrapping` is a choice of leaf, so it wraps any parametrization and knows none of them.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch

from attar.budget import LESS
from attar.data.modality import rows_of
from attar.errors import BadRequest
from attar.kinds import Settings
from attar.optimisers import Optimiser
from attar.options import with_settings
from attar.shapes import Shape, is_picture
from attar.synthetic import stores
from attar.synthetic.beginning import Beginning
from attar.synthetic.layout import Layout
from attar.synthetic.stores import Store
from attar.synthetic.table import Table, by_order


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


class Parametrization(Settings, ABC):
    """A frozen dataclass: the settings of one form, how to build it, and what holds of it.

    Only `build` and `values` have to be written. A field called ``base`` that holds another form
    says that this one wraps it; see `Wrapping`.
    """

    name: ClassVar[str]
    # whether rows must have channels, a height and a width
    needs_sides: ClassVar[bool] = True
    # settings that `--set` cannot change once the form is chosen, each with the reason
    fixed: ClassVar[Mapping[str, str]] = {}
    # stored tensors that the papers do not count, by name, and what they are for
    uncounted: ClassVar[Mapping[str, str]] = {}
    # last names of stored tensors that tell of others, and bear no coarser steps than they need
    telling: ClassVar[frozenset[str]] = frozenset()
    # why its values must be kept as floating-point numbers; empty where they may be coded
    uncoded: ClassVar[str] = ""
    # options that store images in less, for the message that a budget holds none
    less: ClassVar[str] = LESS

    @property
    def whole(self) -> int:
        """The largest whole number that it stores to say what other values are; 0 for none."""
        return 0

    @property
    def inner(self) -> Parametrization | None:
        """The form that it wraps; None for one that stands by itself."""
        base = getattr(self, "base", None)
        return base if isinstance(base, Parametrization) else None

    def around(self, base: Parametrization) -> Self:
        """Return the form with another one inside it."""
        return dataclasses.replace(self, base=base)  # pyright: ignore[reportCallIssue, reportArgumentType]

    @property
    def takes_unequal(self) -> bool:
        """Whether classes may have different numbers of images."""
        return False

    @property
    def by_row(self) -> bool:
        """Whether every stored tensor has one row for each image, and none is shared.

        Then the first images of each class are a set of their own, and sets in this form are
        merged by putting their rows together.
        """
        return False

    @property
    def by_base(self) -> bool:
        """Whether every stored tensor has one row for each base of its `table`."""
        return True

    @property
    def keeps_exactly(self) -> bool:
        """Whether any images that are given to `Store.fit` are read again as they were."""
        return False

    @property
    def pictures(self) -> frozenset[str]:
        """Names of the tensors of a set that are pictures, as network inputs, if any."""
        return frozenset()

    @property
    def keeps_bounds(self) -> bool:
        """Whether images lie within any bounds that what is stored of them is within.

        A run that shall stay in them then moves what is stored back (`Store.confine`).
        """
        return False

    @property
    def per_stored(self) -> int:
        """How many images are cut out of one stored image; 1 where none is cut."""
        return 1

    def check_shape(self, shape: Shape) -> None:
        """Refuse rows that this form cannot keep.

        Raises:
            BadRequest: it needs rows with a height and a width, and these have none.
        """
        if self.needs_sides and not is_picture(shape):
            raise BadRequest(
                f"the form {self.name!r} needs images with a height and a width, and these are "
                f"{rows_of(shape)}; choose --form pixels, or a method of that form such as dm"
            )

    @abstractmethod
    def build(self, layout: Layout, leaf: Leaf = DENSE) -> Store:
        """Return an empty store of the images of ``layout``."""

    @abstractmethod
    def values(self, layout: Layout, leaf: Leaf = DENSE) -> int:
        """Return how many values that store keeps and the papers count, without building it."""

    def beside(self, layout: Layout) -> int:
        """Return how many values it keeps that the papers do not count: those of `uncounted`."""
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

    def shapes(self, layout: Layout, *, learned_labels: bool = False) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the tensors of a set, by name, without taking memory for them."""
        with torch.device("meta"):
            images = self.build(layout)
            stores = {"images": images}
            if learned_labels:
                stores["labels"] = self.build_labels(layout, images)
        return {
            f"{part}.{name}": tuple(tensor.shape)
            for part, store in stores.items()
            for name, tensor in store.state_dict().items()
        }

    def table(self, layout: Layout) -> Table:
        """Return of what each row is made; by default each is stored by itself."""
        return by_order(layout, 1)

    def variants(self, layout: Layout) -> int:
        """Return how many images are made of every base, which stand for one another; 1 for one.

        They lie one after the other, so that a training may take one of them for all. Where bases
        have unequal numbers of them, it is 1.
        """
        del layout
        return 1

    def real_bases(self, layout: Layout) -> tuple[int, ...] | None:
        """Return of how many real images each class starts, where `Store.keep` takes them as bases.

        None where every image of the set starts as one, and `Store.fit` takes them.
        """
        del layout
        return None

    def own_optimisers(self) -> Mapping[str, Optimiser]:
        """Return how it is updated, by role, where it stores more than images or their factors."""
        return {}

    def smaller(self, *, nested: bool = False) -> Parametrization | None:
        """Return the form of the smaller sets that a stored one begins with; None for none.

        Args:
            nested: whether the first images of every class are a set of their own, as a run
                with ``nested`` makes them.
        """
        return self if nested and self.by_row else None

    def beginning(self, layout: Layout, count: int) -> Beginning[Parametrization]:
        """Say how the set of ``count`` images per class is read out of one of ``layout``.

        Only asked where `smaller` returns a form.
        """
        return Beginning(
            dataclasses.replace(layout, per_class=count),
            self,
            tuple(layout.rows_of(label)[:count] for label in range(layout.classes)),
            layout.rows,
        )

    def settings(self) -> dict[str, Any]:
        """Return the settings that ``--set`` knows, by name: its fields without a form inside.

        What it may not change, `fixed`, is among them, so that it is refused with its reason.
        """
        fields = dataclasses.fields(self)  # pyright: ignore[reportArgumentType]
        return {item.name: getattr(self, item.name) for item in fields if item.name != "base"}

    def spelt(self, given: Mapping[str, str]) -> Mapping[str, str]:
        """Return settings as text, where a word stands for others, as the fields that there are."""
        return given

    def changed(self, given: Mapping[str, Any]) -> Parametrization:
        """Return the form with other settings, as values or as the text of ``--set``.

        Raises:
            BadRequest: an unknown setting, a value that it refuses, or a setting that is `fixed`.
        """
        found = with_settings(self, given)
        for name, reason in self.fixed.items():
            if getattr(found, name) != getattr(self, name):
                raise BadRequest(f"--set {name}={getattr(found, name)}: {reason}")
        return found

    def describe(self) -> dict[str, Any]:
        """Return the settings with the name, as `from_description` reads them."""
        fields = dataclasses.fields(self)  # pyright: ignore[reportArgumentType]
        found = {item.name: _plain(getattr(self, item.name)) for item in fields}
        return {"name": self.name, **found}


def _plain(value: object) -> object:
    if isinstance(value, Parametrization):
        return value.describe()
    return list(value) if isinstance(value, tuple) else value


class Wrapping(Parametrization):
    """A form that keeps the arrays of another in its own way: what is asked of it, that answers.

    A subclass has a field ``base``, and passes a leaf of its own to it in `build` and `values`.
    """

    base: Parametrization

    @property
    def takes_unequal(self) -> bool:
        """As the base does."""
        return self.base.takes_unequal

    @property
    def by_row(self) -> bool:
        """As the base does."""
        return self.base.by_row

    @property
    def by_base(self) -> bool:
        """As the base does."""
        return self.base.by_base

    @property
    def per_stored(self) -> int:
        """As the base does."""
        return self.base.per_stored

    @property
    def uncounted(self) -> Mapping[str, str]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Those of the base."""
        return self.base.uncounted

    @property
    def uncoded(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As of the base."""
        return self.base.uncoded

    @property
    def whole(self) -> int:
        """That of the base."""
        return self.base.whole

    @property
    def telling(self) -> frozenset[str]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Those of the base."""
        return self.base.telling

    @property
    def less(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Those of the base."""
        return self.base.less

    def beside(self, layout: Layout) -> int:
        """Return what the base keeps beside its images."""
        return self.base.beside(layout)

    def build_labels(self, layout: Layout, images: Store) -> Store:
        """Return the label store of the base."""
        return self.base.build_labels(layout, images)

    def label_values(self, layout: Layout) -> int:
        """Return the label values of the base."""
        return self.base.label_values(layout)

    def table(self, layout: Layout) -> Table:
        """Return that of the base."""
        return self.base.table(layout)

    def variants(self, layout: Layout) -> int:
        """Return those of the base."""
        return self.base.variants(layout)

    def real_bases(self, layout: Layout) -> tuple[int, ...] | None:
        """Return those of the base."""
        return self.base.real_bases(layout)

    def own_optimisers(self) -> Mapping[str, Optimiser]:
        """Return those of the base."""
        return self.base.own_optimisers()

    def settings(self) -> dict[str, Any]:
        """Return those of the base; its own are chosen with the form."""
        return self.base.settings()

    def changed(self, given: Mapping[str, Any]) -> Parametrization:
        """Return the form with another base."""
        return self.around(self.base.changed(given))

    def smaller(self, *, nested: bool = False) -> Parametrization | None:
        """Return what the base does, wrapped."""
        found = self.base.smaller(nested=nested)
        return None if found is None else self.around(found)

    def beginning(self, layout: Layout, count: int) -> Beginning[Parametrization]:
        """Read as the base is read."""
        found = self.base.beginning(layout, count)
        return dataclasses.replace(found, form=self.around(found.form))


def only_shapes() -> bool:
    """Whether stores are built for their shapes alone (`Parametrization.shapes`).

    Values need not be worked out then. torch 2.15 does some of it (``eye``, arithmetic with a
    range) in Python there, and imports its compiler and sympy for that: 2 to 6 seconds.
    """
    return torch.get_default_device().type == "meta"
