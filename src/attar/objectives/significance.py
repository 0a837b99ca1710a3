"""What keeps ordered components skewed and orthogonal, so that the last ones can be dropped.

Source: Slimmable Dataset Condensation, equations 11 and 12.

Shape letters: K classes, b components per class, G groups that share U and Σ (1 or K), D values
of a row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attar.errors import BadRequest
from attar.objectives.base import Penalty
from attar.synthetic import Components, Synthetic, components_of


@dataclass(frozen=True)
class SignificancePenalty(Penalty):
    """skew·L_skew + ortho·L_ortho of a set that is made of ordered components.

    L_skew is 1 − s₁²/Σs², where s₁ is the largest significance whatever its sign: the mean over
    the groups that have a Σ of their own. L_ortho is ‖V_x·V_xᵀ − I‖² + ‖V_yᵀ·V_y − I‖², in sums
    of squares: the mean over classes. Where a class has fewer components than there are label
    values, V_yᵀ·V_y cannot be the identity, and V_y·V_yᵀ takes its place, as V_xᵀ·V_x does for
    V_x with more components than values. Where labels are not learnt, there is no V_y.

    Source: Slimmable Dataset Condensation, equations 11 and 12, with the weights of section 4.1.

    Args:
        skew: weight of L_skew, 0 or more.
        ortho: weight of L_ortho, 0 or more.
    """

    name: ClassVar[str] = "significance"

    skew: float = 1e-2
    ortho: float = 1e-4

    def __post_init__(self) -> None:
        for field in ("skew", "ortho"):
            value = getattr(self, field)
            if not (math.isfinite(value) and value >= 0):
                raise BadRequest(f"{field} {value}: a weight is 0 or more")

    def __call__(self, synthetic: Synthetic) -> Tensor:
        """Return the weighted sum, a scalar that reaches Σ, V_x and V_y."""
        total = self.skew * skewness(components(synthetic).images.significance)
        for matrix in _factors(synthetic).values():
            gram = _gram(matrix)
            identity = torch.eye(gram.shape[-1], device=gram.device)
            squares = (gram - identity).square().sum(dim=(1, 2))
            total = total + self.ortho * squares.mean()
        return total

    def check(self, synthetic: Synthetic) -> None:
        """Refuse a set that has no significances.

        Raises:
            BadRequest: the set is stored in another form.
        """
        components(synthetic)


def skewness(significance: Tensor) -> Tensor:
    """Return the mean over groups of 1 − s₁²/Σs² (equation 11), from 0 to 1 − 1/b.

    A group whose significances are all zero counts as 0.

    Args:
        significance: G×b, in any order and of any sign.
    """
    squares = significance.float().square()
    sums = squares.sum(dim=1)
    others = sums - squares.max(dim=1).values
    return (others / sums.clamp_min(torch.finfo(torch.float32).tiny)).mean()


@torch.no_grad()
def defect(synthetic: Synthetic) -> dict[str, float]:
    """Return how far U, V_x and V_y are from orthonormal: the largest entry of |Gram − I|.

    U is orthonormal but for rounding; V_x and V_y are only pushed towards it by
    `SignificancePenalty`. A set without learnt labels has no V_y.

    Returns:
        By ``U``, ``V_x`` and ``V_y``.

    Raises:
        BadRequest: the set is not made of ordered components.
    """
    mixing = components(synthetic).images.orthogonal().double()
    found = {"U": mixing.mT @ mixing}
    found |= {name: _gram(matrix.double()) for name, matrix in _factors(synthetic).items()}
    return {
        name: float((gram - torch.eye(gram.shape[-1]).to(gram)).abs().max())
        for name, gram in found.items()
    }


def components(synthetic: Synthetic) -> Components:
    """Return the stores of a set, which must be made of ordered components.

    Raises:
        BadRequest: it is of another form.
    """
    found = components_of(synthetic)
    if found is None:
        raise BadRequest(
            f"a set stored as {synthetic.parametrization.name!r} has no significances to "
            "penalize; choose a method whose sets are made of ordered components "
            "(ordered_svd), or leave the penalty out"
        )
    return found


def _factors(synthetic: Synthetic) -> dict[str, Tensor]:
    """Return V_x (K×b×D) and, where labels are learnt, V_y (K×b×K)."""
    own = components(synthetic)
    images, labels = own.images, own.labels
    device = images.significance.device
    rows = torch.arange(images.components.count, device=device)
    shape = images.kept, images.layout.classes, -1
    found = {"V_x": images.components(rows).view(shape).transpose(0, 1)}
    if labels is not None:
        found["V_y"] = labels.components.float().view(shape).transpose(0, 1)
    return found


def _gram(matrix: Tensor) -> Tensor:
    """Return the smaller of the two Gram matrices of …×b×D: of rows for b ≤ D, else of columns."""
    rows, columns = matrix.shape[-2:]
    return matrix @ matrix.mT if rows <= columns else matrix.mT @ matrix
