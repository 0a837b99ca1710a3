"""The four ZCA whitenings of the field: fitted in chunks, applied, inverted, stored.

All four multiply a flattened image by a symmetric matrix U·diag((s + λ)^-½)·Uᵀ, where U and s
are the eigenvectors and eigenvalues of a covariance. They differ in what goes into it:

===== ============================== ======================== ==================================
kind  input                          centring                 λ (default strength .1)
===== ============================== ======================== ==================================
mtt   pixels in [0, 1]               feature mean, n − 1      strength itself
frepo standardised pixels            feature mean, n          strength · trace / d
rtp   pixels; per-image mean removed none, n                  strength · trace / d
      and unit norm
kip   as rtp                         none, n                  as rtp
===== ============================== ======================== ==================================

With fewer images than features, the released code of frepo and kip leaves the d − n directions
of least variance as they are (factor 1 instead of λ^-½), and so do these two here. With n ≥ d,
``kip`` equals ``rtp``. Letters: n images, d = C·H·W features, B images in a batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from attar.data.covariance import (
    brightness_and_scale,
    centred_unit,
    feature_mean,
    flat_chunks,
    second_moment,
)
from attar.data.inverting import is_invertible
from attar.data.rows import Rows
from attar.errors import ArtefactError, BadRequest, unknown

KINDS = ("mtt", "frepo", "rtp", "kip")
PER_IMAGE = ("rtp", "kip")
RANK_CONTROLLED = ("frepo", "kip")
# 64×64 colour: the matrix is 0.6 GB and its decomposition takes many minutes already
MOST_FEATURES = 12_288


@dataclass(frozen=True, eq=False)
class Whitening:
    """A fitted ZCA transform; make one with `fit_whitening`.

    Args:
        kind: ``mtt``, ``frepo``, ``rtp`` or ``kip``.
        mean: d floats. For mtt and frepo the feature mean that is subtracted; for rtp and kip
            the average brightness of the fitted images, used by `invert` only.
        matrix: d×d, symmetric.
        scale: for rtp and kip the average norm of the centred fitted images, used by `invert`
            only; 1 otherwise.
    """

    kind: str
    mean: Tensor
    matrix: Tensor
    scale: float = 1.0
    _placed: dict[tuple[str, torch.device, torch.dtype], Tensor] = field(
        default_factory=dict, init=False, repr=False
    )

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise unknown("whitening", self.kind, KINDS)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Whitening):
            return NotImplemented
        return (
            (self.kind, self.scale) == (other.kind, other.scale)
            and torch.equal(self.mean.cpu(), other.mean.cpu())
            and torch.equal(self.matrix.cpu(), other.matrix.cpu())
        )

    def __hash__(self) -> int:
        return hash((self.kind, self.scale, len(self.mean)))

    @cached_property
    def inverse(self) -> Tensor:
        """The inverse of ``matrix`` (d×d), computed in float64 on first use."""
        return torch.linalg.inv(self.matrix.double()).to(self.matrix.dtype)

    def is_invertible(self) -> bool:
        """Tell whether `invert` can undo `apply`, without computing the inverse where it can."""
        return is_invertible(self.matrix)

    def apply(self, images: Tensor) -> Tensor:
        """Whiten B×C×H×W images; the shape stays.

        Images are pixels in [0, 1], or standardised pixels for frepo. Differentiable.

        Raises:
            BadRequest: the images have another number of features than the fitted ones.
        """
        flat = self._flat(images)
        centred = centred_unit(flat) if self.kind in PER_IMAGE else flat - self._on("mean", images)
        return (centred @ self._on("matrix", images)).reshape(images.shape)

    def invert(self, images: Tensor) -> Tensor:
        """Undo `apply` on B×C×H×W images.

        Exact for mtt and frepo. For rtp and kip each image comes back up to its own mean and
        scale, which `apply` discarded: the average mean and scale of the fitted images stand
        in for them, so that the result can be looked at.
        """
        flat = self._flat(images) @ self._on("inverse", images)
        return (flat * self.scale + self._on("mean", images)).reshape(images.shape)

    def tensors(self) -> dict[str, Tensor]:
        """Return what an artefact must keep to whiten and to rebuild pixels.

        ``mean`` (d), ``scale`` (one value) and ``triangle``, the d·(d+1)/2 values of the
        matrix on and above its diagonal (18.9 MB at 32×32 colour). The inverse is computed
        again when it is needed.
        """
        size = len(self.mean)
        rows, columns = torch.triu_indices(size, size, device=self.matrix.device)
        return {
            "mean": self.mean,
            "scale": torch.tensor([self.scale], dtype=torch.float64),
            "triangle": self.matrix[rows, columns],
        }

    @staticmethod
    def stored(features: int) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """Return shape and type of what `tensors` gives, for images of d features."""
        return {
            "mean": ((features,), torch.float32),
            "scale": ((1,), torch.float64),
            "triangle": ((features * (features + 1) // 2,), torch.float32),
        }

    @classmethod
    def from_tensors(cls, kind: str, tensors: Mapping[str, Tensor]) -> Whitening:
        """Rebuild a whitening from what `tensors` gave.

        Raises:
            ArtefactError: a tensor is missing or has the wrong size.
        """
        missing = {"mean", "scale", "triangle"} - set(tensors)
        if missing:
            raise ArtefactError(f"stored whitening {kind!r} lacks {', '.join(sorted(missing))}")
        mean, triangle = tensors["mean"], tensors["triangle"]
        size = mean.numel()
        if triangle.numel() != size * (size + 1) // 2:
            raise ArtefactError(
                f"stored whitening {kind!r} has {triangle.numel()} matrix values; "
                f"{size} features need {size * (size + 1) // 2}"
            )
        rows, columns = torch.triu_indices(size, size, device=triangle.device)
        matrix = triangle.new_empty(size, size)
        matrix[rows, columns] = triangle
        matrix[columns, rows] = triangle
        return cls(kind, mean, matrix, float(tensors["scale"]))

    def _flat(self, images: Tensor) -> Tensor:
        flat = images.flatten(1)
        if flat.shape[1] != len(self.mean):
            raise BadRequest(
                f"images of shape {tuple(images.shape[1:])} have {flat.shape[1]} features, but "
                f"the whitening was fitted on {len(self.mean)}; use images of the fitted size"
            )
        return flat

    def _on(self, name: str, like: Tensor) -> Tensor:
        """Return a tensor of this transform on the device and in the type of ``like``."""
        # kept: moving the matrix for every batch would cost more than the product
        key = (name, like.device, like.dtype)
        if key not in self._placed:
            # a tensor made in inference mode could not take part in a later gradient
            with torch.inference_mode(False):
                self._placed[key] = getattr(self, name).to(like.device, like.dtype)
        return self._placed[key]


def fit_whitening(
    kind: str,
    inputs: Rows,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    strength: float = 0.1,
    chunk: int = 2048,
) -> Whitening:
    """Fit a whitening to a training set without holding its floats.

    Args:
        kind: ``mtt``, ``frepo``, ``rtp`` or ``kip``; see the table above.
        inputs: n×C×H×W pixels, uint8 in 0…255 or floating in [0, 1].
        mean: C means to subtract from pixels in [0, 1] first (frepo); default none.
        std: C deviations to divide by (frepo); default none.
        strength: the regulariser; see the table. RememberThePast takes 100 for SVHN.
        chunk: images turned into floats at a time.

    Raises:
        BadRequest: an unknown kind, fewer than two images, more than 12,288 features, or a
            strength that is not above zero.
    """
    check_fit(kind, inputs, strength)
    count, features = len(inputs), math.prod(inputs.shape[1:])

    def rows() -> Iterator[Tensor]:
        return flat_chunks(inputs, mean, std, chunk)

    if kind in PER_IMAGE:
        covariance = second_moment(map(centred_unit, rows()), features) / count
        brightness, scale = brightness_and_scale(rows(), count)
        centre = torch.full((features,), brightness)
    else:
        centre = feature_mean(rows(), features, count)
        offset = centre.to(inputs.device)
        covariance = second_moment((part - offset for part in rows()), features)
        covariance /= count - 1 if kind == "mtt" else count
        scale = 1.0
    matrix = inverse_root(kind, covariance, strength, count)
    return Whitening(kind, centre.to(inputs.device), matrix.float().to(inputs.device), scale)


def check_fit(kind: str, inputs: Rows, strength: float) -> None:
    """Refuse what `fit_whitening` cannot fit."""
    if kind not in KINDS:
        raise unknown("whitening", kind, KINDS)
    if len(inputs.shape) != 4 or len(inputs) < 2:
        raise BadRequest(
            f"whitening {kind!r} needs two or more images, n×C×H×W, not {tuple(inputs.shape)}"
        )
    features = math.prod(inputs.shape[1:])
    if features > MOST_FEATURES:
        raise BadRequest(
            f"whitening images of {features} values each needs a {features}×{features} matrix; "
            f"at most {MOST_FEATURES} are supported (64×64 colour): resize, or use zca 'none'"
        )
    if not strength > 0:
        raise BadRequest(f"whitening strength {strength} must be above zero")


def inverse_root(kind: str, covariance: Tensor, strength: float, count: int) -> Tensor:
    """Return U·diag((s + λ)^-½)·Uᵀ of a d×d float64 covariance of ``count`` images."""
    features = len(covariance)
    added = strength if kind == "mtt" else strength * float(covariance.trace()) / features
    values, vectors = torch.linalg.eigh(covariance)  # ascending
    roots = (values.clamp_min(0) + added).rsqrt()
    if kind in RANK_CONTROLLED and count < features:
        roots[: features - count] = 1.0
    matrix = (vectors * roots) @ vectors.T
    return (matrix + matrix.T) / 2  # exactly symmetric, so that a triangle stores it
