"""What a store is: rows of one shape that are kept in some smaller way.

Shape letters: N rows, B rows asked for.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping

from torch import Tensor, nn

from attar.rng import Key
from attar.synthetic.stores.moves import Move


class Store(nn.Module, ABC):
    """N rows of one shape, read by index and trained through their stored form."""

    def __init__(self, count: int, item: tuple[int, ...]) -> None:
        super().__init__()
        self.count = count
        self.item = item

    @abstractmethod
    def forward(self, index: Tensor) -> Tensor:
        """Return the rows at ``index`` (B), as B×*item float32, differentiably."""

    @abstractmethod
    def start_from_noise(self, key: Key) -> None:
        """Set the stored values as the published methods do when they start from noise."""

    @abstractmethod
    def fit(self, rows: Tensor) -> None:
        """Set the stored values so that the rows come nearest to ``rows`` (N×*item)."""

    def keep(self, images: Tensor) -> None:
        """Take images that are stored, where one of them makes several rows, as they are.

        Args:
            images: as many as are stored, in the order of the rows made of them.
        """
        self.fit(images)

    def bound(self) -> float:
        """Return what no value on the way to a row exceeds in size; infinity where it is open."""
        return math.inf

    def confine(self, low: Tensor, high: Tensor) -> None:
        """Move what is stored to where the rows lie within bounds; see `keeps_bounds` of forms.

        Args:
            low: the least values, to be compared with rows.
            high: the largest.

        Raises:
            NotImplementedError: this store knows no such way.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot be confined")

    def settle(self, labels: Store | None) -> None:
        """Bring what is stored into the order in which it is kept; the rows stay as they are.

        Args:
            labels: the store of learnt labels that goes with it.
        """
        del labels

    def adapt(self, step: int, steps: int | None) -> Move | None:
        """Give what is stored to the rows that need it most, after an update.

        What it does follows from the step, the stored values and their gradient in that step
        alone, so that a run that is resumed does the same.

        Args:
            step: updates done.
            steps: of the whole run; None where it is not known.

        Returns:
            How the rows of its own tensors have moved; None where they are where they were.
        """
        del step, steps
        return None

    def follow(self, move: Move) -> None:
        """Move what is stored as `adapt` of another store of the same form has moved its own.

        Raises:
            NotImplementedError: this store moves nothing.
        """
        raise NotImplementedError(f"{type(self).__name__} moves nothing")

    def roles(self) -> Mapping[str, list[nn.Parameter]]:
        """Return the learnt tensors by the role that an optimiser is chosen for."""
        return {"images": list(self.parameters())}


def largest(values: Tensor) -> float:
    """Return the largest size of a value; 0 where there are none."""
    if not values.numel():
        return 0.0
    low, high = values.detach().aminmax()
    return max(-float(low), float(high))
