"""Bases that all classes share, of which every image is a weighted sum.

Shape letters: N rows, B rows asked for, M bases, C channels, H height, W width, S and T height and
width of a basis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from attar.errors import BadRequest
from attar.optimisers import Optimiser
from attar.rng import Key
from attar.shapes import Shape
from attar.synthetic.forms.form import DENSE, Leaf, Parametrization
from attar.synthetic.forms.resized import enlarging
from attar.synthetic.layout import Layout
from attar.synthetic.stores import Store, rows_of
from attar.synthetic.table import Table, by_order


@dataclass(frozen=True)
class Addressed(Parametrization):
    """Every image is a sum of M small pictures with weights of its own, enlarged bilinearly.

    The pictures (bases) are shared by all images of all classes; the M weights of an image are its
    address. Both count, as the papers count. An image takes M values, so there are many of them,
    and another class costs no more than its addresses.

    Source: Deng and Russakovsky, Remember the Past: Distilling Datasets into Addressable Memories
    for Neural Networks, 2022, and their code.

    Args:
        bases: M, one or more.
        factor: the sides of an image are those of a basis times this; S and T are ceil(H / factor)
            and ceil(W / factor).

    Raises:
        BadRequest: a setting out of its range; when built or counted, a factor that leaves less
            than a pixel of an image.

    Example:
        >>> Addressed(16, 2).values(Layout(10, 115, (3, 32, 32))) == 16 * 3 * 16 * 16 + 1150 * 16
        True
    """

    name: ClassVar[str] = "addressed"
    less: ClassVar[str] = "fewer --set bases=…, a larger --set factor=…, --rank, --storage"

    bases: int = 16
    factor: int = 2

    def __post_init__(self) -> None:
        for name in ("bases", "factor"):
            value = getattr(self, name)
            if type(value) is not int or value < 1:
                raise BadRequest(f"{name} {value!r}: a whole number, 1 or more")

    @property
    def takes_unequal(self) -> bool:
        """Every row has an address, of whatever class it is."""
        return True

    def build(self, layout: Layout, leaf: Leaf = DENSE) -> AddressedImages:
        """Return the bases, in the form of the leaf, and an address for each row."""
        bases = leaf.make(self.bases, self.basis(layout.shape))
        return AddressedImages(layout.rows, layout.shape, bases)

    def values(self, layout: Layout, leaf: Leaf = DENSE) -> int:
        """Return the values of bases and addresses."""
        return self.bases * (leaf.values(self.basis(layout.shape)) + layout.rows)

    def table(self, layout: Layout) -> Table:
        """Return that all rows are made of the same bases, each in its own way."""
        return by_order(layout, layout.rows)

    def own_optimisers(self) -> dict[str, Optimiser]:
        """Return SGD at 0.1 with momentum 0.5, the norm of its whole gradient at most 2."""
        return {"images": Optimiser(0.1, 0.5, clip=2.0)}

    def basis(self, shape: Shape) -> tuple[int, int, int]:
        """Return C, S and T of a basis of images of ``shape``.

        Raises:
            BadRequest: a basis would be smaller than a pixel.
        """
        channels, height, width = shape
        if self.factor > min(height, width):
            raise BadRequest(
                f"factor {self.factor}: bases of images of {height}×{width} would have no pixel; "
                f"1 to {min(height, width)}"
            )
        return channels, -(-height // self.factor), -(-width // self.factor)


class AddressedImages(Store):
    """Row i is Σ_m a_im·E(b_m), E enlarging a basis to H×W.

    E is bilinear as PyTorch's ``interpolate`` has it (``align_corners=False``); it is linear, so
    the M bases are enlarged in place of the rows.

    Args:
        count: number of rows N.
        shape: C, H, W of a row.
        bases: holds M pictures of C×S×T.
    """

    tall: Tensor
    wide: Tensor

    def __init__(self, count: int, shape: Shape, bases: Store) -> None:
        super().__init__(count, shape)
        self.bases = bases
        self.addresses = nn.Parameter(torch.zeros(count, bases.count))
        for name, after, before in zip(("tall", "wide"), shape[1:], bases.item[1:], strict=True):
            matrix = enlarging(before, after, "bilinear").float()
            self.register_buffer(name, matrix, persistent=False)

    def forward(self, index: Tensor) -> Tensor:
        """Return the images at ``index``."""
        small = self.bases(torch.arange(self.bases.count, device=self.addresses.device))
        large = self.tall @ small @ self.wide.T
        rows = rows_of(self.addresses, index).float() @ large.flatten(1)
        return rows.view(len(index), *self.item)

    def bound(self) -> float:
        """Return the largest sum of sizes in an address, times that in a basis: E is an average."""
        sums = self.addresses.detach().float().abs().sum(dim=1)
        return self.bases.bound() * float(sums.max())

    @torch.no_grad()
    def start_from_noise(self, key: Key) -> None:
        """Draw bases and addresses as matrices of M×(C·S·T) and N×M, uniform after Glorot.

        Where bases are kept in fewer values, they come as near to these as they can.
        """
        small = torch.empty(self.bases.count, math.prod(self.bases.item))
        for name, matrix in (("bases", small), ("addresses", self.addresses)):
            bound = math.sqrt(6 / sum(matrix.shape))
            drawn = torch.rand(matrix.shape, generator=key.fold(name).generator())
            matrix.copy_(bound * (2 * drawn - 1))
        self.bases.fit(small.view(-1, *self.bases.item).to(self.addresses.device))

    @torch.no_grad()
    def fit(self, rows: Tensor) -> None:
        """Come nearest to ``rows`` in least squares: by the SVD of what bases can make of them.

        Where bases are kept in fewer values, they come nearest to those of the SVD, and the
        addresses are the best for them.
        """
        rows = rows.double().cpu()
        # E = Q·R on either side: what lies outside the span of Q no basis can make
        (tall, high), (wide, broad) = (
            torch.linalg.qr(one.double().cpu()) for one in (self.tall, self.wide)
        )
        inside = (tall.T @ rows @ wide).flatten(1)
        _, scale, vectors = torch.linalg.svd(inside, full_matrices=False)
        kept = min(self.bases.count, len(scale))
        pictures = rows.new_zeros(self.bases.count, inside.shape[1])
        # as large as in the rows, so that addresses are about as large as one
        pictures[:kept] = vectors[:kept] * scale[:kept, None] / math.sqrt(len(rows))
        small = pictures.view(-1, *self.bases.item)
        small = torch.linalg.solve(high, small)
        small = torch.linalg.solve(broad, small.mT).mT
        self.bases.fit(small.float().to(self.addresses.device))
        found = self.bases(torch.arange(self.bases.count, device=self.addresses.device))
        found = (high @ found.double().cpu() @ broad.T).flatten(1)
        self.addresses.copy_((inside @ torch.linalg.pinv(found)).float())


def addresses_of(images: Store) -> Tensor | None:
    """Return the addresses of images, N×M; None where they are stored otherwise."""
    return images.addresses if isinstance(images, AddressedImages) else None
