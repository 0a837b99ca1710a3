"""Images that stay between two values, whatever is stored of them.

Shape letters: B rows asked for, C channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from attar.errors import BadRequest
from attar.shapes import Shape
from attar.synthetic.forms.form import DENSE, Leaf, Parametrization, Wrapping
from attar.synthetic.forms.pixels import Pixels
from attar.synthetic.layout import Layout
from attar.synthetic.stores import Store


@dataclass(frozen=True)
class Bounded(Wrapping):
    """What ``base`` makes is clipped whenever it is read; see `Clip` for the way back.

    What is stored is that of ``base``, under the same names.

    Args:
        low: the least value of each channel, or one for all; empty for none.
        high: the largest; likewise.
        base: what is bounded.

    Raises:
        BadRequest: a bound is no number, or a least value is not below the largest.
    """

    name: ClassVar[str] = "bounded"

    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    base: Parametrization = field(default_factory=Pixels)

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            # a description that was JSON has a list
            object.__setattr__(self, name, tuple(map(float, getattr(self, name))))
        if not all(map(math.isfinite, (*self.low, *self.high))):
            raise BadRequest(f"bounds {self.low} and {self.high}: finite numbers are needed")
        count = max(len(self.low), len(self.high))
        lows, highs = (one * count if len(one) == 1 else one for one in (self.low, self.high))
        if any(low >= high for low, high in zip(lows, highs, strict=False)):
            raise BadRequest(f"bounds {self.low} and {self.high}: each least below each largest")

    @property
    def pictures(self) -> frozenset[str]:
        """Those of the base, which stores them."""
        return self.base.pictures

    def check_shape(self, shape: Shape) -> None:
        """Refuse rows that the base cannot keep, or that have other channels."""
        self.base.check_shape(shape)
        for values in (self.low, self.high):
            if len(values) not in (0, 1, shape[0]):
                raise BadRequest(
                    f"{len(values)} bounds for {shape[0]} channel(s); one of each, or one for all"
                )

    def build(self, layout: Layout, leaf: Leaf = DENSE) -> Store:
        """Return what the base builds, whose rows are clipped when they are read."""
        self.check_shape(layout.shape)
        store = self.base.build(layout, leaf)
        store.register_forward_hook(_Limits(self.low, self.high))
        return store

    def values(self, layout: Layout, leaf: Leaf = DENSE) -> int:
        """Return those of the base."""
        return self.base.values(layout, leaf)


def within(form: Parametrization, low: Sequence[float], high: Sequence[float]) -> Parametrization:
    """Return a form whose images lie between these values, by channel."""
    return Bounded(tuple(low), tuple(high), form)


class Clip(torch.autograd.Function):
    """Values clipped to bounds; a gradient reaches those outside, but for what leads further out.

    Inside, and where a step against the gradient leads back, it passes as it is (straight through);
    where that would lead further out it is zero, as that of clipping is. So no value is lost that
    has once left.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Return ``values`` between ``low`` and ``high``, which are of C×1×…."""
        ctx.save_for_backward(values < low, values > high)
        return values.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None]:
        """Return the gradient of the values, and none of the bounds."""
        (slope,) = slopes
        below, above = ctx.saved_tensors
        lost = (below & (slope > 0)) | (above & (slope < 0))
        return slope.masked_fill(lost, 0.0), None, None


class _Limits:
    """Clips what a store reads; a hook that is called after it."""

    def __init__(self, low: Sequence[float], high: Sequence[float]) -> None:
        self.low, self.high = low, high

    def __call__(self, store: nn.Module, given: Any, rows: Tensor) -> Tensor:
        """Return B×C×… rows between the bounds."""
        return Clip.apply(rows, *limits(self.low, self.high, rows))  # pyright: ignore[reportReturnType]


def limits(low: Sequence[float], high: Sequence[float], rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return bounds as tensors that B×C×… rows are compared with."""
    axes = (1,) * (rows.ndim - 2)
    lowest, highest = rows.new_tensor(low or [-math.inf]), rows.new_tensor(high or [math.inf])
    return lowest.view(-1, *axes), highest.view(-1, *axes)
