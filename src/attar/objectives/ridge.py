"""Ridge regression in closed form, with a way back to features and labels.

Source: the Slimmable Dataset Condensation paper, equation 1, with the regularization of FRePo
(Zhou et al. 2022).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from attar.kernels import regularised_factor


def ridge_solution(
    features: Tensor, labels: Tensor, ridge: float = 1e-6, *, relative: bool = True
) -> Tensor:
    """Return the weights w = Xᵀ(XXᵀ + λ·tr(XXᵀ)/N·I)⁻¹Y of the regression of Y on X.

    Computed in float64: the rounding of a float32 Gram matrix is as large as the usual λ. The
    smaller of the Gram matrices of rows and of columns is factored. Where it is singular in
    spite of λ, λ is raised tenfold until it is not; features that are all zero give w = 0.
    Features or labels that are NaN or Inf give weights that are NaN; nothing is raised.

    Args:
        features: X, N×f.
        labels: Y, N×K.
        ridge: λ, relative to the mean square norm of a row; 0 or more.
        relative: False for λ itself in place of λ·tr(XXᵀ)/N.

    Returns:
        f×K, of the type of the features. It can be differentiated once, for both.
    """
    return _Ridge.apply(features, labels, ridge, relative)  # pyright: ignore[reportReturnType]


class _Ridge(torch.autograd.Function):
    """The way back needs the factor found on the way forward, and products of N·K·f at most."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, labels: Tensor, ridge: float, relative: bool) -> Tensor:
        x, y = features.double(), labels.double()
        ctx.by_rows = len(x) <= x.shape[1]
        ctx.relative = relative
        scale = x.square().sum() / len(x) if relative else x.new_ones(())
        if ctx.by_rows:
            factor, ctx.ridge = regularised_factor(x @ x.mT, scale, ridge)
            dual = torch.cholesky_solve(y, factor)
            found = x.mT @ dual
        else:
            factor, ctx.ridge = regularised_factor(x.mT @ x, scale, ridge)
            found = torch.cholesky_solve(x.mT @ y, factor)
            dual = y - x @ found
        ctx.save_for_backward(features, labels, factor, dual, found)
        return found.to(features.dtype)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *slopes: Tensor
    ) -> tuple[Tensor, Tensor, None, None]:
        features, labels, factor, dual, found = ctx.saved_tensors
        x, slope = features.double(), slopes[0].double()
        # with A the regularized XXᵀ and B the regularized XᵀX:
        # A⁻¹X·slope, and what is left of the slope, r·B⁻¹·slope by rows and B⁻¹·slope by columns
        if ctx.by_rows:
            back = torch.cholesky_solve(x @ slope, factor)
            left = slope - x.mT @ back
            trace = (dual * back).sum()
        else:
            left = torch.cholesky_solve(slope, factor)
            back = x @ left
            trace = (left * found).sum()
        change = dual @ left.mT - back @ found.mT
        if ctx.relative:
            change = change - x * (trace * (2 * ctx.ridge / len(x)))
        return change.to(features.dtype), back.to(labels.dtype), None, None
