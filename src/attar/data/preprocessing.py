"""From stored pixels to what a network sees, and back: a property of the data."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from attar.data.whitening import Whitening
from attar.errors import BadRequest


@dataclass(frozen=True)
class Preprocessing:
    """Per-channel standardisation, then optional whitening.

    Rows of any shape have their channels first: the values of a vector are its channels.

    Args:
        mean: C means of pixels in [0, 1], or D of the values of a vector.
        std: as many standard deviations, each above zero.
        whitening: the fitted ZCA transform, or None.
        as_tensors: whether an artefact keeps mean and std as tensors of float32, which its ledger
            counts, and not in its header. They are rounded to that here.

    Raises:
        BadRequest: mean and std differ in length, or a deviation is not above zero.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    whitening: Whitening | None = field(default=None)
    as_tensors: bool = False

    def __post_init__(self) -> None:
        if not self.mean or len(self.mean) != len(self.std):
            raise BadRequest(
                f"{len(self.mean)} channel means but {len(self.std)} deviations; "
                "one of each per channel is needed"
            )
        if self.as_tensors:
            for name in ("mean", "std"):
                rounded = torch.tensor(getattr(self, name), dtype=torch.float32)
                object.__setattr__(self, name, tuple(rounded.tolist()))
        if not all(value > 0 for value in self.std):
            raise BadRequest(f"channel deviations {self.std} must all be above zero")

    @classmethod
    def none(cls, channels: int) -> Preprocessing:
        """Return the preprocessing that leaves pixels as they are."""
        return cls((0.0,) * channels, (1.0,) * channels)

    def apply(self, images: Tensor) -> Tensor:
        """Turn pixels in [0, 1] (B×C×H×W float), or other rows, into network inputs."""
        images = (images - self._column(self.mean, images)) / self._column(self.std, images)
        return images if self.whitening is None else self.whitening.apply(images)

    def invert(self, images: Tensor) -> Tensor:
        """Turn network inputs (B×C×H×W, or other rows) back into pixels, not clamped to [0, 1]."""
        if self.whitening is not None:
            images = self.whitening.invert(images)
        return images * self._column(self.std, images) + self._column(self.mean, images)

    @staticmethod
    def _column(values: tuple[float, ...], like: Tensor) -> Tensor:
        return torch.tensor(values, dtype=like.dtype, device=like.device).view(
            1, -1, *(1,) * (like.ndim - 2)
        )


def deviation_of(preprocessing: Preprocessing) -> float:
    """Return the deviation by which pixels are divided, the mean over channels."""
    return sum(preprocessing.std) / len(preprocessing.std)
