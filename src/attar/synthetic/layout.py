"""Which rows a synthetic set has, and of which of its classes a run holds them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from attar.errors import BadRequest
from attar.shapes import Shape


@dataclass(frozen=True)
class Layout:
    """Which rows there are: what an objective may know of a synthetic set.

    Args:
        classes: K.
        per_class: images per class n; where classes differ, the most that one has. Rows are
            stored class after class.
        shape: of one image: C, H, W of a picture, D of a vector.
        counts: images of each class where they differ; None where each has n.
        whole: of the larger set of which these are some classes, the others having no rows here;
            see `of_classes`. None where they are all.

    Raises:
        BadRequest: counts that are not one positive number for each class (in a slice, for one
            class at least), n the largest.

    Example:
        >>> Layout(2, 3, (1, 8, 8), (3, 1)).class_of_row()
        tensor([0, 0, 0, 1])
    """

    classes: int
    per_class: int
    shape: Shape
    counts: tuple[int, ...] | None = None
    whole: Layout | None = None

    def __post_init__(self) -> None:
        if self.counts is None:
            return
        least = 0 if self.is_slice else 1
        if len(self.counts) != self.classes or min(self.counts) < least or max(self.counts) < 1:
            raise BadRequest(
                f"{len(self.counts)} numbers of images, the least {min(self.counts, default=0)}; "
                f"one of at least 1 is needed for each of {self.classes} classes"
            )
        if max(self.counts) != self.per_class:
            raise BadRequest(
                f"the largest of {self.counts} is not {self.per_class} images per class"
            )

    def __len__(self) -> int:
        return self.rows

    @property
    def rows(self) -> int:
        """Number of rows; unlike ``len``, it may be more than an index can count."""
        return self.classes * self.per_class if self.counts is None else sum(self.counts)

    @property
    def is_slice(self) -> bool:
        """Whether these are some classes of a larger set."""
        return self.whole is not None

    @property
    def is_equal(self) -> bool:
        """Whether every class has the same number of images."""
        return self.counts is None

    def sizes(self) -> tuple[int, ...]:
        """Return the number of images of every class."""
        return self.counts or (self.per_class,) * self.classes

    def present(self) -> list[int]:
        """Return the classes that have rows: all, unless this is a slice."""
        return [label for label, size in enumerate(self.sizes()) if size]

    def rows_of(self, label: int) -> range:
        """Return the rows of one class."""
        if self.counts is None:
            return range(label * self.per_class, (label + 1) * self.per_class)
        first = sum(self.counts[:label])
        return range(first, first + self.counts[label])

    def place(self, row: int) -> tuple[int, int]:
        """Return the class of a row, and its number among the images of that class."""
        if self.counts is None:
            return divmod(row, self.per_class)
        label = int(self.class_of_row()[row])
        return label, row - self.rows_of(label).start

    def first(self, size: int) -> Tensor:
        """Return the rows of the first ``size`` images of every class, int64.

        A class with fewer gives all it has.
        """
        if self.counts is None:
            starts = torch.arange(self.classes).view(-1, 1) * self.per_class
            return (starts + torch.arange(size)).flatten()
        own = (self.rows_of(label) for label in range(self.classes))
        return torch.cat([torch.arange(rows.start, rows.stop)[:size] for rows in own])

    def of_classes(self, labels: Collection[int]) -> Layout:
        """Return the layout of some classes alone; they keep their numbers, and so their draws.

        Args:
            labels: of the classes.

        Raises:
            BadRequest: none, or one that there is not.

        Example:
            >>> Layout(4, 2, (1, 8, 8)).of_classes([1, 3]).class_of_row()
            tensor([1, 1, 3, 3])
        """
        wanted = set(labels)
        if not wanted or not wanted <= set(range(self.classes)):
            raise BadRequest(
                f"classes {sorted(wanted)}: some of 0 to {self.classes - 1} are needed"
            )
        sizes = (n if label in wanted else 0 for label, n in enumerate(self.sizes()))
        counts = tuple(sizes)
        return replace(self, per_class=max(counts), counts=counts, whole=self.whole or self)

    def index_of(self, labels: Collection[int]) -> Tensor:
        """Return the rows of some classes, int64, in their order here."""
        wanted = torch.tensor(sorted(set(labels)))
        return torch.isin(self.class_of_row(), wanted).nonzero().flatten()

    def class_of_row(self) -> Tensor:
        """Return the class of every row, int64."""
        return torch.arange(self.classes).repeat_interleave(
            torch.tensor(self.sizes()), output_size=self.rows
        )
