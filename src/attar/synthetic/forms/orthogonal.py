"""Orthonormal factors of ordered components, and those of a smaller set.

Shape letters: K classes, n images per class, b components per class, G groups that share U and
Σ (1 or K).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from attar.errors import BadRequest


@torch.no_grad()
def smaller(coefficients: Tensor, significance: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return U and Σ of ``count`` images per class made of the first ``count`` components.

    The components stay as they are, so their first ``count``·K rows are the smaller set. Its
    images stand for those with the most energy Σ_j (U[i, j]·s[j])² in what is kept (of equals,
    the first): U' is the orthonormal matrix nearest to their rows of U, and Σ' is Σ times the one
    factor that keeps their energy. With U the identity, these are the first images themselves.

    Any orthonormal U' and any Σ' > 0 leave the least squares solution alone: for X = U·Σ·V_x and
    Y = U·Σ·V_y with independent rows of V_x, pinv(X)·Y = pinv(V_x)·V_y. So the choice decides how
    the images look and weigh, not what linear regression on them finds.

    Args:
        coefficients: G×n×b, the learnt matrix or its orthogonal factor U.
        significance: G×b, not negative, each row falling, as `OrderedImages.settle` leaves it.
        count: k, from 1 to b.

    Returns:
        U' (G×k×k, orthonormal columns) and Σ' (G×k), in the types given.

    Raises:
        BadRequest: a count outside 1 to b.
    """
    most = significance.shape[1]
    if not 1 <= count <= most:
        raise BadRequest(f"{count} components of {most}: from 1 to {most} can be kept")
    kept = significance[:, :count].double()
    mixing = orthogonal_factor(coefficients.double())[..., :count]
    energy = (mixing * kept.unsqueeze(1)).square().sum(dim=2)
    share = energy / energy.amax(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
    # in float32, so that rounding does not choose among equals
    order = share.float().argsort(dim=1, descending=True, stable=True)
    rows = order[:, :count].sort(dim=1).values
    chosen = mixing.gather(1, rows.unsqueeze(2).expand(-1, -1, count))
    before = kept.square().sum(dim=1)
    ratio = energy.gather(1, rows).sum(dim=1) / before.where(before > 0, 1.0)
    scale = ratio.where(before > 0, 1.0).sqrt().unsqueeze(1)
    mixed = orthogonal_factor(chosen)
    return mixed.to(coefficients.dtype), (kept * scale).to(significance.dtype)


def orthogonal_factor(matrix: Tensor) -> Tensor:
    """Return P·Qᵀ of the singular value decomposition P·S·Qᵀ: the nearest orthonormal columns.

    Differentiable, also where singular values are equal, as they are at the identity.

    Args:
        matrix: …×n×b with n ≥ b.
    """
    return _OrthogonalFactor.apply(matrix)  # pyright: ignore[reportReturnType]


class _OrthogonalFactor(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:
        # on the CPU: the matrices are small, and every device gives the same U
        left, scale, right = torch.linalg.svd(matrix.double().cpu(), full_matrices=False)
        ctx.save_for_backward(left, scale, right)
        return (left @ right).to(matrix)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        left, scale, right = ctx.saved_tensors
        slope = gradients[0].double().cpu()
        tiny = torch.finfo(torch.float64).eps * scale.amax(dim=-1)[..., None, None]
        inside = left.mT @ slope @ right.mT
        sums = (scale.unsqueeze(-1) + scale.unsqueeze(-2)).clamp_min(tiny)
        found = left @ ((inside - inside.mT) / sums) @ right
        outside = slope @ right.mT - left @ inside
        found = found + (outside / scale.unsqueeze(-2).clamp_min(tiny)) @ right
        return found.to(gradients[0])
