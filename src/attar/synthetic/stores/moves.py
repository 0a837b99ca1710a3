"""Rows of stored tensors that were put in another order while they are learnt, some made anew."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Move:
    """What became of the rows of the tensors of a store.

    Args:
        source: K, of each row where it was before.
        fresh: those of the K that begin anew.
        values: what the tensors that do not begin at zero hold there.
        counts: how many rows each owner has now.
    """

    source: Tensor
    fresh: Tensor
    values: Tensor
    counts: Tensor

    @torch.no_grad()
    def apply(self, rows: Tensor) -> None:
        """Move the rows of a tensor in place, or what an optimiser keeps of them."""
        moved = rows[self.source.to(rows.device)]
        moved[self.fresh.to(rows.device)] = 0.0
        rows.copy_(moved)
