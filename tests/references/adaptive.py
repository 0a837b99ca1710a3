"""Factors with a rank of each channel, one matrix after the other, in float64."""

import torch
from torch import Tensor


def shared_out(rows: Tensor, components: int) -> list[int]:
    """Return how many components each channel of each row keeps: one, then the largest."""
    matrices = rows.double().reshape(-1, *rows.shape[-2:])
    counts = [1] * len(matrices)
    others = [
        (float(value), -number)
        for number, matrix in enumerate(matrices)
        for value in torch.linalg.svdvals(matrix)[1:]
    ]
    for _, number in sorted(others, reverse=True)[: components - len(matrices)]:
        counts[-number] += 1
    return counts


def truncated(rows: Tensor, counts: list[int]) -> Tensor:
    """Return the best approximation of each channel at its rank."""
    matrices = rows.double().reshape(-1, *rows.shape[-2:])
    found = []
    for matrix, count in zip(matrices, counts, strict=True):
        u, s, v = torch.linalg.svd(matrix, full_matrices=False)
        total = torch.zeros_like(matrix)
        for k in range(count):
            total += s[k] * torch.outer(u[:, k], v[k])
        found.append(total)
    return torch.stack(found).view(rows.shape)


def product(left: Tensor, right: Tensor, counts: list[int], shape: tuple[int, ...]) -> Tensor:
    """Return the rows that components make, those of a channel after those of another."""
    found, at = [], 0
    for count in counts:
        total = torch.zeros(*shape[-2:], dtype=torch.float64)
        for k in range(at, at + count):
            total = total + torch.outer(left[k].double(), right[k].double())
        found.append(total)
        at += count
    return torch.stack(found).view(shape)


def out_of_reach(slope: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """Return what is left of a gradient G without what moves of l and r alone can follow.

    Args:
        slope: H×W.
        left: R×H.
        right: R×W.
    """
    rest = slope.double()
    for vectors, side in ((left.double(), 0), (right.double(), 1)):
        u, s, _ = torch.linalg.svd(vectors.T, full_matrices=False)
        basis = u[:, s > 1e-12 * s[0]]
        rest = rest - (basis @ (basis.T @ rest) if side == 0 else (rest @ basis) @ basis.T)
    return rest
