"""Symmetric systems with a ridge, which is raised where the given one leaves them singular."""

from __future__ import annotations

import torch
from torch import Tensor

# where even the given ridge leaves the system singular, the next one tried is at least this
_LEAST_RIDGE = 1e-12


def regularised_factor(gram: Tensor, scale: Tensor, ridge: float) -> tuple[Tensor, float]:
    """Return the Cholesky factor of ``gram + ridge·scale·I``, and the ridge that it took.

    Where that is singular, the ridge is raised tenfold until it is not. The factor is NaN where
    there is none, which takes a matrix that is not finite.
    """
    scale = torch.where(scale > 0, scale, 1.0)
    identity = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
    while True:
        factor, failed = torch.linalg.cholesky_ex(gram + identity * (ridge * scale))
        if not failed:
            return factor, ridge
        if ridge >= 1:
            return torch.full_like(factor, torch.nan), ridge
        ridge = max(10 * ridge, _LEAST_RIDGE)


def solved(gram: Tensor, labels: Tensor, ridge: float) -> Tensor:
    """Return (G + λ·tr(G)/N·I)⁻¹Y, N×K, which can be differentiated for both.

    Args:
        gram: G, N×N, symmetric and positive semidefinite.
        labels: Y, N×K.
        ridge: λ, 0 or more.
    """
    factor, _ = regularised_factor(gram, gram.trace() / len(gram), ridge)
    return torch.cholesky_solve(labels.to(gram.dtype), factor)
