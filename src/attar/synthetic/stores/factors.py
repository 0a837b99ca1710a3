"""An array of rows that is kept as low-rank factors.

Shape letters: N rows, B rows asked for, C channels, H height, W width, r rank.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from attar.errors import BadRequest
from attar.rng import Key
from attar.synthetic.stores.store import Store, largest
from attar.synthetic.stores.touched import rows_of


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
        return rows_of(self.left, index).float() @ rows_of(self.right, index).float()

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


def check_rank(rank: int, item: tuple[int, ...]) -> None:
    """Refuse a rank that rows of shape ``item`` cannot have."""
    if len(item) < 2:
        raise BadRequest(
            f"low-rank factors need rows with a height and a width, and {item} is stored of each; "
            "choose a form that stores pictures, such as pixels or resized"
        )
    highest = min(item[-2:])
    if type(rank) is not int:
        raise BadRequest(f"--rank {rank!r}: a whole number is needed")
    if not 1 <= rank <= highest:
        raise BadRequest(
            f"--rank {rank}: images of {item[-2]}×{item[-1]} have ranks 1 to {highest}"
        )


def low_rank_values(item: tuple[int, ...], rank: int) -> int:
    """Return how many values the factors of a row store.

    Raises:
        BadRequest: the row has no height and width, or the rank is out of range.
    """
    check_rank(rank, item)
    *lead, height, width = item
    return math.prod(lead) * rank * (height + width)
