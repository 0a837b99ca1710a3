"""Which rows a synthetic set has."""

from __future__ import annotations

from dataclasses import dataclass

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

    Raises:
        BadRequest: counts that are not one positive number for each class, n the largest.

    Example:
        >>> Layout(2, 3, (1, 8, 8), (3, 1)).class_of_row()
        tensor([0, 0, 0, 1])
    """

    classes: int
    per_class: int
    shape: Shape
    counts: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.counts is None:
            return
        if len(self.counts) != self.classes or min(self.counts) < 1:
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
    def is_equal(self) -> bool:
        """Whether every class has the same number of images."""
        return self.counts is None

    def sizes(self) -> tuple[int, ...]:
        """Return the number of images of every class."""
        return self.counts or (self.per_class,) * self.classes

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

    def class_of_row(self) -> Tensor:
        """Return the class of every row, int64."""
        return torch.arange(self.classes).repeat_interleave(torch.tensor(self.sizes()))
