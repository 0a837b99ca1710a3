"""What the snapshots of a trajectory span, and projections onto it.

Source: Ma et al., Dataset Condensation via Expert Subspace Projection, 2023, equations 2, 3, 5
and 7. Shape letters: P parameters, T + 1 snapshots, R dimensions of the span.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

# What a direction must have of the largest one to be counted; below this, rounding of the
# snapshots to float32 decides where it points.
RANK_CUTOFF = 1e-6

# (T + 1)×P snapshots → the rows that span the space
SPANS: dict[str, Callable[[Tensor], Tensor]] = {
    "snapshots": lambda snapshots: snapshots,
    "differences": lambda snapshots: snapshots[1:] - snapshots[:1],
}


@dataclass(frozen=True)
class Span:
    """A linear space of parameter vectors.

    Args:
        basis: E transposed, R×P, rows of length 1 at right angles to each other.
    """

    basis: Tensor

    def onto(self, vector: Tensor) -> Tensor:
        """Return E·Eᵀ·``vector``, its nearest point in the space (equation 5); P values."""
        return (self.basis @ vector) @ self.basis

    def beside(self, vector: Tensor) -> Tensor:
        """Return what of ``vector`` lies outside the space, at right angles to it; P values."""
        return vector - self.onto(vector)


def spanned(snapshots: Tensor, kind: str) -> Span:
    """Return what snapshots span.

    It is found in float64, by QR and the singular value decomposition of the small factor, so that
    snapshots close to each other, and repeated ones, leave the basis orthonormal. A direction with
    a singular value of less than `RANK_CUTOFF` times the largest is no part of the space.

    Args:
        snapshots: (T + 1)×P.
        kind: a name in `SPANS`: ``snapshots`` for the vectors themselves, ``differences`` for
            theirs from the first one.

    Returns:
        The space, of at most T + 1 or T dimensions, in float32; of none where all vectors are zero.
    """
    columns = SPANS[kind](snapshots.double()).T
    orthonormal, small = torch.linalg.qr(columns)
    turned, sizes, _ = torch.linalg.svd(small, full_matrices=False)
    counted = sizes > RANK_CUTOFF * sizes[0]
    return Span((orthonormal @ turned[:, counted]).T.float().contiguous())


@dataclass(frozen=True)
class Size:
    """How large a residual is, with slopes for the residual and for the vector it is of.

    Args:
        value: a scalar.
        residual: the slope for the residual, the vector held fixed; P values.
        vector: the slope for the vector, the residual held fixed; None for 0.
    """

    value: Tensor
    residual: Tensor
    vector: Tensor | None = None


def _absolute(residual: Tensor, vector: Tensor) -> Size:
    del vector
    return Size(residual.abs().sum(), residual.sign())


def _euclidean(residual: Tensor, vector: Tensor) -> Size:
    del vector
    length, unit = _length_and_unit(residual)
    return Size(length, unit)


def _relative(residual: Tensor, vector: Tensor) -> Size:
    (length, unit), (whole, along) = _length_and_unit(residual), _length_and_unit(vector)
    whole = whole.clamp_min(torch.finfo(whole.dtype).tiny)
    return Size(length / whole, unit / whole, -(length / whole**2) * along)


def _length_and_unit(vector: Tensor) -> tuple[Tensor, Tensor]:
    length = torch.linalg.vector_norm(vector)
    return length, vector / length.clamp_min(torch.finfo(length.dtype).tiny)


# a residual and the vector that it is of → its norm; 0 for a slope where there is none
NORMS: dict[str, Callable[[Tensor, Tensor], Size]] = {
    "l1": _absolute,
    "l2": _euclidean,
    "relative": _relative,
}
