"""How much of a set is lost where its pixels are shown or kept between black and white."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

# what rounding of float32 comes to, on the way from pixels to network inputs and back
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Clipping:
    """The pixel values of a set that lie outside [0, 1].

    Args:
        outside: how many do.
        values: how many there are in all.
        lowest: of all values.
        highest: of all values.
    """

    outside: int
    values: int
    lowest: float
    highest: float

    @property
    def share(self) -> float:
        """Percentage of the values that lie outside."""
        return 100 * self.outside / self.values

    def __str__(self) -> str:
        share = f"{self.share:.0f}" if self.share >= 10 else f"{self.share:.2g}"
        told = share if self.share >= 0.01 else "less than 0.01"
        return (
            f"{told} % of the pixel values lie outside [0, 1] (they run from {self.lowest:.3g} to "
            f"{self.highest:.3g})"
        )


def clipping_of(pixels: Tensor) -> Clipping | None:
    """Return what of pixels lies outside [0, 1] by more than `TOLERANCE`; None where nothing."""
    if not pixels.numel():
        return None
    low, high = map(float, pixels.aminmax())
    if low >= -TOLERANCE and high <= 1 + TOLERANCE:
        return None
    outside = int(((pixels < -TOLERANCE) | (pixels > 1 + TOLERANCE)).sum())
    return Clipping(outside, pixels.numel(), low, high)
