"""What keeps the addresses of a set short.

Source: the code of Deng and Russakovsky, Remember the Past, 2022.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attar.errors import BadRequest
from attar.objectives.base import Penalty
from attar.synthetic import Synthetic, addresses_of


@dataclass(frozen=True)
class AddressNorm(Penalty):
    """norm_weight·‖A‖, the 2-norm (not squared) of all addresses of a set as one vector.

    A set in a form without addresses has none of it.

    Args:
        norm_weight: 0 or more.
    """

    name: ClassVar[str] = "address_norm"

    norm_weight: float = 1e-4

    def __post_init__(self) -> None:
        if not (math.isfinite(self.norm_weight) and self.norm_weight >= 0):
            raise BadRequest(f"norm_weight {self.norm_weight:g}: a weight is 0 or more")

    def __call__(self, synthetic: Synthetic) -> Tensor:
        """Return the term, a scalar that reaches the addresses, where there are some."""
        addresses = addresses_of(synthetic.images)
        if addresses is None:
            return torch.zeros(())
        return self.norm_weight * addresses.float().norm()
