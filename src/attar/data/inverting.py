"""Whether a symmetric matrix can be inverted, told in less time than it takes to invert it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# steps of conjugate gradients: whitenings of the usual strengths take some tens
_MOST_STEPS = 200
# a random vector has about 1/√d of itself in each direction (1/111 at the largest d), so that one
# of which the matrix makes nothing leaves more than this
_CLOSE = 1e-4
# matrices up to this size are factorized at once, within some milliseconds
_SMALL = 512
# an eigenvalue below this share of their root mean square is nothing but rounding in float32
_LEAST = 1e-6


def is_invertible(matrix: Tensor) -> bool:
    """Tell whether a symmetric d×d matrix is positive definite by more than rounding.

    Of a large one, conjugate gradients solve one system with a fixed random right-hand side. Where
    they come near, the matrix is such a one, and well conditioned as whitening matrices are; a
    step costs d² operations. Where they do not, a Cholesky factorization in float64 decides.
    """
    if not bool(matrix.isfinite().all()) or not bool((matrix.diagonal() > 0).all()):
        return False
    return (len(matrix) > _SMALL and _is_solved(matrix)) or _is_positive(matrix)


def _is_solved(matrix: Tensor) -> bool:
    generator = torch.Generator().manual_seed(0)
    residual = torch.randn(len(matrix), generator=generator).to(matrix)
    # so that no scale of the matrix is too small or too large
    scale = matrix.diagonal().mean()
    direction, square = residual.clone(), residual.square().sum()
    wanted = _CLOSE**2 * square
    for _ in range(_MOST_STEPS):
        turned = matrix @ direction / scale
        along = direction @ turned
        # what is next to nothing may be positive by rounding, and then ends the search at once
        if not along > _LEAST * direction.square().sum():
            return False
        residual = residual - square / along * turned
        before, square = square, residual.square().sum()
        if square <= wanted:
            return True
        direction = residual + square / before * direction
    return False


def _is_positive(matrix: Tensor) -> bool:
    wide = matrix.double()
    usual = wide.norm() / math.sqrt(len(wide))
    wide.diagonal().sub_(_LEAST * usual)
    return not bool(torch.linalg.cholesky_ex(wide).info)
