"""Kernels of infinitely wide networks, and regression with them."""

from attar.kernels.gram import KINDS, Infinite
from attar.kernels.reading import infinite
from attar.kernels.solving import regularised_factor, solved

__all__ = ["KINDS", "Infinite", "infinite", "regularised_factor", "solved"]
