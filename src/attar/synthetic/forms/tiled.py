"""Stored images that are cut into tiles, each of which is one image of the set.

Source: Kim et al., Dataset Condensation via Efficient Synthetic-Data Parameterization (IDC),
section 3.2, "multi-formation"; the uniform form of the authors' code.

Shape letters: N rows, B rows asked for, C channels, H height, W width, f factor, S and T height
and width of a tile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from attar.errors import BadRequest
from attar.rng import Key
from attar.shapes import Shape
from attar.synthetic.forms.form import DENSE, Leaf, Parametrization
from attar.synthetic.layout import Layout
from attar.synthetic.stores import Store, largest
from attar.synthetic.table import Table, by_order


@dataclass(frozen=True)
class Tiled(Parametrization):
    """Every stored image of C×H×W is cut into f×f tiles; each tile, enlarged, is one image.

    Source: Kim et al., Dataset Condensation via Efficient Synthetic-Data Parameterization
    (IDC), section 3.2, uniform multi-formation.

    Args:
        factor: f, tiles along each side.
        padding: a value per channel that extends images whose sides f does not divide; empty
            for zeros, which is the mean of standardised pixels.

    Example:
        >>> Tiled(2).values(Layout(8, 1, (3, 32, 32))) == 2 * 3 * 32 * 32
        True
    """

    name: ClassVar[str] = "tiled"

    factor: int = 2
    padding: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        # a description that was JSON has a list
        object.__setattr__(self, "padding", tuple(map(float, self.padding)))

    @property
    def takes_unequal(self) -> bool:
        """Tiles are counted over all rows, whatever their class."""
        return True

    @property
    def pictures(self) -> frozenset[str]:
        """What is stored."""
        return frozenset({"images.stored.values"})

    @property
    def keeps_bounds(self) -> bool:
        """Enlarging takes means of stored pixels; the padding must lie within, too."""
        return not self.padding

    @property
    def per_stored(self) -> int:
        """Every tile is an image."""
        return self.factor**2

    def build(self, layout: Layout, leaf: Leaf = DENSE) -> Store:
        """Return the tiles of as many stored images as the rows need."""
        check_factor(self.factor, layout.shape)
        stored = leaf.make(self._stored(layout), layout.shape)
        return Tiles(layout.rows, layout.shape, self.factor, self.padding, stored)

    def values(self, layout: Layout, leaf: Leaf = DENSE) -> int:
        """Return the values of the stored images."""
        check_factor(self.factor, layout.shape)
        return self._stored(layout) * leaf.values(layout.shape)

    def table(self, layout: Layout) -> Table:
        """Return of which stored image each row is which tile."""
        return by_order(layout, self.factor**2)

    def _stored(self, layout: Layout) -> int:
        return -(-layout.rows // self.factor**2)


class Tiles(Store):
    """Row i is tile i mod f² of stored image i div f², enlarged bilinearly to C×H×W.

    Tiles are counted line by line. Where f does not divide H or W, a stored image is first
    extended at its lower and right border by the values of ``padding``.

    Args:
        count: number of rows N.
        shape: C, H, W of a row, and of a stored image.
        factor: f, tiles along each side.
        padding: C values; empty for zeros.
        stored: holds ceil(N / f²) images of ``shape``.

    Raises:
        BadRequest: the padding is not of C values.
    """

    edge: Tensor

    def __init__(
        self,
        count: int,
        shape: Shape,
        factor: int,
        padding: Sequence[float],
        stored: Store,
    ) -> None:
        super().__init__(count, shape)
        channels = shape[0]
        if len(padding) not in (0, channels):
            raise BadRequest(
                f"{len(padding)} padding values for {channels} channel(s); one of each is needed"
            )
        self.factor = factor
        self.stored = stored
        edge = torch.tensor(padding or [0.0] * channels, dtype=torch.float32)
        self.register_buffer("edge", edge.view(channels, 1, 1), persistent=False)

    def forward(self, index: Tensor) -> Tensor:
        """Return the enlarged tiles at ``index``."""
        per_image = self.factor**2
        # every stored image is made once, whatever the number of its tiles asked for
        needed, place = torch.unique(index // per_image, return_inverse=True)
        tiles = self._cut(self._extended(self.stored(needed)))
        picked = tiles[place, index % per_image]
        return functional.interpolate(
            picked, size=tuple(self.item[1:]), mode="bilinear", align_corners=False
        )

    def bound(self) -> float:
        """Return the largest size of a value; enlarging takes means of them."""
        return max(self.stored.bound(), largest(self.edge))

    def confine(self, low: Tensor, high: Tensor) -> None:
        """Clip the stored images."""
        self.stored.confine(low, high)

    def keep(self, images: Tensor) -> None:
        """Take the stored images as they are."""
        self.stored.keep(images)

    def start_from_noise(self, key: Key) -> None:
        """Start the stored images from noise."""
        self.stored.start_from_noise(key)

    @torch.no_grad()
    def fit(self, rows: Tensor) -> None:
        """Set every tile by least squares, so that it comes nearest to its row when enlarged."""
        channels, height, width = self.item
        tall, wide = self._enlarging(height), self._enlarging(width)
        lines, columns = tall.shape[1], wide.shape[1]
        tiles = self._cut(self._extended(torch.zeros(1, channels, height, width).to(rows)))
        tiles = tiles.double().repeat(self.stored.count, 1, 1, 1, 1)
        for row, wanted in enumerate(rows.double().cpu()):
            image, tile = divmod(row, self.factor**2)
            down, right = divmod(tile, self.factor)
            # the part of a tile that is padding is given; the rest is solved for
            free = (min(lines, height - down * lines), min(columns, width - right * columns))
            fixed = tiles[image, tile].clone()
            fixed[:, : free[0], : free[1]] = 0
            left = wanted - tall @ fixed @ wide.T
            solved = torch.linalg.pinv(tall[:, : free[0]]) @ left
            solved = solved @ torch.linalg.pinv(wide[:, : free[1]]).T
            tiles[image, tile, :, : free[0], : free[1]] = solved
        self.stored.fit(self._joined(tiles).to(rows))

    def roles(self) -> Mapping[str, list[nn.Parameter]]:
        """Return the learnt tensors of the stored images by role."""
        return self.stored.roles()

    def _extended(self, images: Tensor) -> Tensor:
        """Return stored images with a height and width that f divides."""
        _, height, width = self.item
        more = (-height % self.factor, -width % self.factor)
        if more == (0, 0):
            return images
        shape = (len(images), self.item[0], height + more[0], width + more[1])
        mask = functional.pad(images.new_ones(1, 1, height, width), (0, more[1], 0, more[0]))
        padded = functional.pad(images, (0, more[1], 0, more[0]))
        return padded + (1 - mask) * self.edge.to(images).expand(shape)

    def _cut(self, images: Tensor) -> Tensor:
        """Return B×C×(f·S)×(f·T) images as B×f²×C×S×T tiles, line by line."""
        count, channels, height, width = images.shape
        f = self.factor
        tiles = images.reshape(count, channels, f, height // f, f, width // f)
        return tiles.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)

    def _joined(self, tiles: Tensor) -> Tensor:
        """Undo `_cut` and `_extended`."""
        count, _, channels, lines, columns = tiles.shape
        f = self.factor
        images = tiles.reshape(count, f, f, channels, lines, columns).permute(0, 3, 1, 4, 2, 5)
        images = images.reshape(count, channels, f * lines, f * columns)
        return images[..., : self.item[1], : self.item[2]].contiguous()

    def _enlarging(self, size: int) -> Tensor:
        """Return the matrix that enlarges one side of a tile to ``size``, in float64."""
        side = -(-size // self.factor)
        unit = torch.eye(side, dtype=torch.float64).unsqueeze(0)
        return functional.interpolate(unit, size=size, mode="linear", align_corners=False)[0].T


def check_factor(factor: int, shape: Sequence[int]) -> None:
    """Refuse a factor that images of ``shape`` cannot be cut by."""
    if type(factor) is not int:
        raise BadRequest(f"--factor {factor!r}: a whole number is needed")
    highest = min(shape[-2:])
    # with fewer pixels than (f − 1) tiles take, the last tiles would be padding only
    for size in shape[-2:]:
        side = -(-size // max(factor, 1))
        if factor < 1 or (factor - 1) * side >= size:
            raise BadRequest(
                f"--factor {factor}: images of {shape[-2]}×{shape[-1]} cannot be cut into "
                f"{factor}×{factor} tiles; 1 to {highest}, such as 2"
            )
