"""An array of rows that is kept as it is.

Shape letters: N rows, B rows asked for.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from attar.rng import Key
from attar.synthetic.stores.store import Store, largest
from attar.synthetic.stores.touched import rows_of


class Dense(Store):
    """The rows themselves.

    Example:
        >>> store = Dense(4, (1, 8, 8))
        >>> store(torch.tensor([2])).shape
        torch.Size([1, 1, 8, 8])
    """

    def __init__(self, count: int, item: tuple[int, ...]) -> None:
        super().__init__(count, item)
        self.values = nn.Parameter(torch.zeros(count, *item))

    def forward(self, index: Tensor) -> Tensor:
        """Return the rows at ``index``."""
        return rows_of(self.values, index).float()

    def bound(self) -> float:
        """Return the largest size of a value."""
        return largest(self.values)

    @torch.no_grad()
    def confine(self, low: Tensor, high: Tensor) -> None:
        """Clip every value."""
        self.values.clamp_(low, high)

    @torch.no_grad()
    def start_from_noise(self, key: Key) -> None:
        """Draw every value from N(0, 1)."""
        self.values.copy_(torch.randn(self.values.shape, generator=key.generator()))

    @torch.no_grad()
    def fit(self, rows: Tensor) -> None:
        """Take the rows as they are."""
        self.values.copy_(rows)


def dense_values(item: tuple[int, ...]) -> int:
    """Return how many values a dense row stores."""
    return math.prod(item)
