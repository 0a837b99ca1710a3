"""How one array of synthetic rows is stored: as it is, or as low-rank factors.

A store behaves as an array N×*item of float32 and keeps something smaller. New forms are a
store here and its choice in `attar.synthetic.parametrization`.

Shape letters: N rows, B rows asked for, C channels, H height, W width, r rank.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from attar.errors import BadRequest
from attar.rng import Key


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

    def bound(self) -> float:
        """Return what no value on the way to a row exceeds in size; infinity where it is open."""
        return math.inf

    def settle(self, labels: Store | None) -> None:
        """Bring what is stored into the order in which it is kept; the rows stay as they are.

        Args:
            labels: the store of learnt labels that goes with it.
        """
        del labels

    def roles(self) -> Mapping[str, list[nn.Parameter]]:
        """Return the learnt tensors by the role that an optimiser is chosen for."""
        return {"images": list(self.parameters())}


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
        return self.values[index].float()

    def bound(self) -> float:
        """Return the largest size of a value."""
        return largest(self.values)

    @torch.no_grad()
    def start_from_noise(self, key: Key) -> None:
        """Draw every value from N(0, 1)."""
        self.values.copy_(torch.randn(self.values.shape, generator=key.generator()))

    @torch.no_grad()
    def fit(self, rows: Tensor) -> None:
        """Take the rows as they are."""
        self.values.copy_(rows)


class LowRank(Store):
    """Each channel of each row is A·B with A of H×r and B of r×W.

    Source: the low-rank plugin for dataset condensation, section 3.2.

    Args:
        count: number of rows N.
        item: shape of a row; its last two dimensions are H and W.
        rank: r, in 1…min(H, W).

    Raises:
        BadRequest: the rows have no height and width, or the rank is out of range.
    """

    def __init__(self, count: int, item: tuple[int, ...], rank: int) -> None:
        super().__init__(count, item)
        check_rank(rank, item)
        *lead, height, width = item
        self.rank = rank
        self.left = nn.Parameter(torch.zeros(count, *lead, height, rank))
        self.right = nn.Parameter(torch.zeros(count, *lead, rank, width))

    def forward(self, index: Tensor) -> Tensor:
        """Return A·B of the rows at ``index``."""
        return self.left[index].float() @ self.right[index].float()

    def bound(self) -> float:
        """Return r times the largest sizes in A and in B."""
        return self.rank * largest(self.left) * largest(self.right)

    @torch.no_grad()
    def start_from_noise(self, key: Key) -> None:
        """Draw A and B from N(0, 1), as the authors do: pixels then have variance r."""
        for name, factor in (("left", self.left), ("right", self.right)):
            factor.copy_(torch.randn(factor.shape, generator=key.fold(name).generator()))

    @torch.no_grad()
    def fit(self, rows: Tensor) -> None:
        """Set A and B by the singular value decomposition truncated to r.

        The root of each singular value goes to either side, so that both factors have the
        same scale and one learning rate serves both.
        """
        left, scale, right = torch.linalg.svd(rows.double().cpu(), full_matrices=False)
        root = scale[..., : self.rank].sqrt()
        self.left.copy_(left[..., : self.rank] * root.unsqueeze(-2))
        self.right.copy_(root.unsqueeze(-1) * right[..., : self.rank, :])


def largest(values: Tensor) -> float:
    """Return the largest size of a value; 0 where there are none."""
    if not values.numel():
        return 0.0
    low, high = values.detach().aminmax()
    return max(-float(low), float(high))


def check_rank(rank: int, item: tuple[int, ...]) -> None:
    """Refuse a rank that rows of shape ``item`` cannot have."""
    if len(item) < 2:
        raise BadRequest(f"low-rank factors need rows with a height and a width, not {item}")
    highest = min(item[-2:])
    if type(rank) is not int:
        raise BadRequest(f"--rank {rank!r}: a whole number is needed")
    if not 1 <= rank <= highest:
        raise BadRequest(
            f"--rank {rank}: images of {item[-2]}×{item[-1]} have ranks 1 to {highest}"
        )


def dense_values(item: tuple[int, ...]) -> int:
    """Return how many values a dense row stores."""
    return math.prod(item)


def low_rank_values(item: tuple[int, ...], rank: int) -> int:
    """Return how many values the factors of a row store.

    Raises:
        BadRequest: the row has no height and width, or the rank is out of range.
    """
    check_rank(rank, item)
    *lead, height, width = item
    return math.prod(lead) * rank * (height + width)
