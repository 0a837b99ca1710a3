"""Which rows a synthetic set has."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """Which rows there are: what an objective may know of a synthetic set.

    Args:
        classes: K.
        per_class: images per class n; row i belongs to class i // n.
        shape: C, H, W of one image.
    """

    classes: int
    per_class: int
    shape: tuple[int, int, int]

    def __len__(self) -> int:
        return self.rows

    @property
    def rows(self) -> int:
        """Number of rows; unlike ``len``, it may be more than an index can count."""
        return self.classes * self.per_class

    def first(self, size: int) -> Tensor:
        """Return the rows of the first ``size`` images of every class, int64."""
        starts = torch.arange(self.classes).view(-1, 1) * self.per_class
        return (starts + torch.arange(size)).flatten()

    def class_of_row(self) -> Tensor:
        """Return the class of every row, int64."""
        return torch.arange(self.classes).repeat_interleave(self.per_class)
