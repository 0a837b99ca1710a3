"""Images stored as smaller pictures, which are enlarged by bicubic interpolation.

Shape letters: N rows, B rows asked for, C channels, H height, W width, S and T height and width of
a stored picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from attar.errors import BadRequest
from attar.rng import Key
from attar.shapes import Shape
from attar.synthetic.forms.form import DENSE, Leaf, Parametrization, only_shapes
from attar.synthetic.layout import Layout
from attar.synthetic.stores import Store


@dataclass(frozen=True)
class Resized(Parametrization):
    """Every image is stored as a picture of C×S×T and enlarged bicubically to C×H×W.

    Args:
        side: the longer side of a stored picture in pixels; the other is in proportion. 0 for half
            of the image.
        height: S, where it is not to be in proportion; 0 otherwise.
        width: T, likewise.

    Raises:
        BadRequest: a negative number; when built or counted, a picture larger than the image.

    Example:
        >>> Resized(16).values(Layout(10, 1, (3, 32, 32))) == 10 * 3 * 16 * 16
        True
    """

    name: ClassVar[str] = "resized"

    side: int = 0
    height: int = 0
    width: int = 0

    def __post_init__(self) -> None:
        for name in ("side", "height", "width"):
            value = getattr(self, name)
            if type(value) is not int or value < 0:
                raise BadRequest(f"{name} {value!r}: a whole number of pixels, or 0 to leave it")

    @property
    def takes_unequal(self) -> bool:
        """Every row is stored by itself."""
        return True

    @property
    def by_row(self) -> bool:
        """Every row is stored by itself."""
        return True

    @property
    def pictures(self) -> frozenset[str]:
        """What is stored."""
        return frozenset({"images.stored.values"})

    def build(self, layout: Layout, leaf: Leaf = DENSE) -> Store:
        """Return one smaller picture for each row."""
        stored = leaf.make(layout.rows, self.stored_shape(layout.shape))
        return Enlarged(layout.rows, layout.shape, stored)

    def values(self, layout: Layout, leaf: Leaf = DENSE) -> int:
        """Return the values of the smaller pictures."""
        return layout.rows * leaf.values(self.stored_shape(layout.shape))

    def stored_shape(self, shape: Shape) -> tuple[int, int, int]:
        """Return C, S and T of what is stored of an image of ``shape``.

        Raises:
            BadRequest: it would be larger than the image.
        """
        channels, *sides = shape
        longest = max(sides)
        aim = self.side or -(-longest // 2)
        found = []
        for name, size in zip(("height", "width"), sides, strict=True):
            own = getattr(self, name)
            found.append(own or max(1, round(size * aim / longest)))
            if found[-1] > size:
                told = f"{name} {own}" if own else f"side {self.side}"
                raise BadRequest(
                    f"{told}: images of {sides[0]}×{sides[1]} are stored at 1 to "
                    f"{size if own else longest} pixels; give {name if own else 'side'}="
                    f"{-(-(size if own else longest) // 2)}, or another form"
                )
        return (channels, found[0], found[1])


class Enlarged(Store):
    """Rows that are enlarged from smaller pictures.

    Bicubic as PyTorch's ``interpolate`` has it (a = −0.75, pixels as areas, edges repeated),
    written as two products: their way back is exact to repeat, on GPUs, too.

    Args:
        count: number of rows N.
        shape: C, H, W of a row.
        stored: holds N pictures of C×S×T.
    """

    tall: Tensor
    wide: Tensor

    def __init__(self, count: int, shape: Shape, stored: Store) -> None:
        super().__init__(count, shape)
        self.stored = stored
        for name, after, before in zip(("tall", "wide"), shape[1:], stored.item[1:], strict=True):
            self.register_buffer(name, enlarging(before, after).float(), persistent=False)

    def forward(self, index: Tensor) -> Tensor:
        """Return the enlarged pictures at ``index``."""
        return self.tall @ self.stored(index) @ self.wide.T

    def bound(self) -> float:
        """Return the largest size of a value: each is a sum of stored ones with these weights."""
        weights = (float(one.abs().sum(dim=1).max()) for one in (self.tall, self.wide))
        return self.stored.bound() * next(weights) * next(weights)

    def start_from_noise(self, key: Key) -> None:
        """Start the stored pictures from noise."""
        self.stored.start_from_noise(key)

    @torch.no_grad()
    def fit(self, rows: Tensor) -> None:
        """Store the pictures that come nearest to the rows when enlarged, by least squares."""
        smaller = (shrinking(*one.shape[::-1]) for one in (self.tall, self.wide))
        self.stored.fit(next(smaller).to(rows) @ rows @ next(smaller).to(rows).T)

    def confine(self, low: Tensor, high: Tensor) -> None:
        """Keep the stored pictures within bounds; what is enlarged may go a little beyond."""
        self.stored.confine(low, high)

    def roles(self) -> Mapping[str, list[nn.Parameter]]:
        """Return the learnt tensors of the stored pictures by role."""
        return self.stored.roles()


def enlarging(before: int, after: int, mode: str = "bicubic") -> Tensor:
    """Return the matrix that enlarges one side, after×before in float64.

    Args:
        before: the side of the smaller picture.
        after: of the larger one.
        mode: ``bicubic`` or ``bilinear``, as PyTorch has it.
    """
    if only_shapes():
        return torch.empty(after, before, dtype=torch.float64)
    unit = torch.eye(before, dtype=torch.float64).view(before, 1, before, 1)
    return (
        functional.interpolate(unit, size=(after, 1), mode=mode, align_corners=False)
        .view(before, after)
        .T.contiguous()
    )


def shrinking(before: int, after: int) -> Tensor:
    """Return the matrix whose result comes nearest when it is enlarged again, before×after.

    On 32×32 photographs at 16×16 it loses 0.8 dB less than an antialiased shrinking does.

    Args:
        before: the side of the smaller picture, which is what it makes.
        after: the side of the larger one, which it is applied to.
    """
    return torch.linalg.pinv(enlarging(before, after))
