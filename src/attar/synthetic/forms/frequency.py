"""Images stored as some of the coefficients of their discrete cosine transform.

Source: Shin et al., Frequency Domain-based Dataset Distillation (FreD), section 3.2.

Shape letters: N rows, B rows asked for, C channels, H height, W width, k coefficients kept of each
channel, M masks (one, or one for each class or row).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from attar.errors import BadRequest, unknown
from attar.rng import Key
from attar.shapes import Shape
from attar.synthetic.forms.form import DENSE, Leaf, Parametrization, only_shapes
from attar.synthetic.layout import Layout
from attar.synthetic.stores import Store

LOW, BY_CLASS, BY_IMAGE = "low", "class", "image"
# a stored value holds as many places of a mask as floating-point types of 16 bits keep exactly
_BITS = 8


@dataclass(frozen=True)
class Frequency(Parametrization):
    """Every channel of an image is stored as k of its cosine coefficients; the others are zero.

    The transform is the orthonormal DCT-II of rows and columns. Where the places of the
    coefficients are chosen, they are stored, too, eight places in one value, and count: the
    authors choose them by class, by the variance of the images that the set starts from, and do
    not count them. Here the strongest are kept, by their mean square over channels (and images of
    a class); a start from noise keeps the lowest.

    Source: Shin et al., Frequency Domain-based Dataset Distillation (FreD), section 3.2.

    Args:
        keep: the share of the coefficients of a channel that is kept, above 0 to 1.
        chosen: ``low`` for the lowest frequencies u/H + v/W, ``class`` for the strongest of each
            class, ``image`` for the strongest of each image.

    Raises:
        BadRequest: a share out of its range, or an unknown choice.

    Example:
        >>> Frequency(0.25).values(Layout(10, 1, (3, 32, 32))) == 10 * 3 * 256
        True
    """

    name: ClassVar[str] = "frequency"

    keep: float = 0.25
    chosen: str = LOW

    def __post_init__(self) -> None:
        object.__setattr__(self, "keep", float(self.keep))
        if not 0 < self.keep <= 1:
            raise BadRequest(f"keep {self.keep:g}: above 0 to 1")
        if self.chosen not in (LOW, BY_CLASS, BY_IMAGE):
            raise unknown("chosen", self.chosen, (LOW, BY_CLASS, BY_IMAGE))

    @property
    def whole(self) -> int:
        """Eight places in one value."""
        return 0 if self.chosen == LOW else 2**_BITS - 1

    @property
    def takes_unequal(self) -> bool:
        """Every row is stored by itself, but for the places that a class shares."""
        return self.chosen != BY_CLASS

    @property
    def by_row(self) -> bool:
        """As `takes_unequal`."""
        return self.chosen != BY_CLASS

    @property
    def keeps_exactly(self) -> bool:
        """All coefficients are the image."""
        return self.keep == 1

    def build(self, layout: Layout, leaf: Leaf = DENSE) -> Store:
        """Return k coefficients of each channel, and their places where these are chosen."""
        stored = leaf.make(layout.rows, self._kept(layout.shape))
        return Waves(layout, stored, self.chosen)

    def values(self, layout: Layout, leaf: Leaf = DENSE) -> int:
        """Return the values of the coefficients and their places."""
        masks = {LOW: 0, BY_CLASS: layout.classes, BY_IMAGE: layout.rows}[self.chosen]
        each = leaf.values(self._kept(layout.shape))
        return layout.rows * each + masks * _packed(layout.shape)

    def _kept(self, shape: Shape) -> tuple[int]:
        # in one row: they have no rows and columns that could be factored
        return (shape[0] * max(1, round(self.keep * math.prod(shape[1:]))),)


class Waves(Store):
    """Rows that are sums of cosine waves.

    Args:
        layout: the rows.
        stored: holds N×(C·k) coefficients, in each channel lower frequencies first.
        chosen: how the places are.
    """

    tall: Tensor
    wide: Tensor
    order: Tensor
    owner: Tensor
    places: Tensor
    mask: Tensor

    def __init__(self, layout: Layout, stored: Store, chosen: str) -> None:
        super().__init__(layout.rows, layout.shape)
        self.stored = stored
        self.chosen = chosen
        _, height, width = layout.shape
        own: dict[str, Tensor] = {
            "tall": cosines(height).float(),
            "wide": cosines(width).float(),
            "order": by_frequency(height, width),
            "owner": layout.class_of_row(),
        }
        for name, tensor in own.items():
            self.register_buffer(name, tensor, persistent=False)
        count = stored.item[0] // layout.shape[0]
        masks = {LOW: 0, BY_CLASS: layout.classes, BY_IMAGE: layout.rows}[chosen]
        lowest = _lowest(max(1, masks), count)
        self.register_buffer("places", lowest, persistent=False)
        if masks:
            self.register_buffer("mask", packed(lowest, height * width))
            self.register_load_state_dict_post_hook(_read_places)

    def forward(self, index: Tensor) -> Tensor:
        """Return the images at ``index``."""
        channels, height, width = self.item
        known = self.stored(index).unflatten(1, (channels, -1))
        places = self._places(index).unsqueeze(1).expand(-1, channels, -1)
        flat = known.new_zeros(len(index), channels, height * width)
        flat = flat.scatter(2, self.order[places], known)
        return self.tall.T @ flat.view(-1, channels, height, width) @ self.wide

    def bound(self) -> float:
        """Return the largest size of a sum of k waves, none of which is above 2 / √(H·W)."""
        height, width = self.item[1:]
        return self.stored.bound() * self.places.shape[1] * 2 / math.sqrt(height * width)

    def start_from_noise(self, key: Key) -> None:
        """Start from noise in the lowest frequencies."""
        self._take(torch.arange(self.places.shape[1]).expand_as(self.places))
        self.stored.start_from_noise(key)

    @torch.no_grad()
    def fit(self, rows: Tensor) -> None:
        """Keep the coefficients of the rows: the lowest, or the strongest of class or image."""
        every = self.tall.to(rows) @ rows @ self.wide.to(rows).T
        every = every.flatten(2)[..., self.order.to(rows.device)]
        if self.chosen != LOW:
            energy = every.double().square().mean(dim=1)
            if self.chosen == BY_CLASS:
                own = self.owner.to(rows.device)
                sums = energy.new_zeros(len(self.places), energy.shape[1])
                energy = sums.index_add_(0, own, energy)
            # of equals the lower frequency, which comes first
            strongest = energy.argsort(dim=1, descending=True, stable=True)
            self._take(strongest[:, : self.places.shape[1]])
        places = self._places(torch.arange(len(rows), device=self.places.device)).to(rows.device)
        every = every.gather(2, places.unsqueeze(1).expand(-1, self.item[0], -1))
        self.stored.fit(every.flatten(1))

    def roles(self) -> Mapping[str, list[nn.Parameter]]:
        """Return the learnt tensors of the coefficients by role."""
        return self.stored.roles()

    def _places(self, index: Tensor) -> Tensor:
        """Return the places of the coefficients of rows, B×k, in the order of frequencies."""
        if self.chosen == LOW:
            return self.places.expand(len(index), -1)
        return self.places[self.owner[index] if self.chosen == BY_CLASS else index]

    def _take(self, places: Tensor) -> None:
        """Choose places, M×k."""
        self.places.copy_(places.sort(dim=1).values)
        if self.chosen != LOW:
            self.mask.copy_(packed(self.places.cpu(), len(self.order)))


def _read_places(waves: Waves, keys: object) -> None:
    """Find the places that a loaded mask tells."""
    del keys
    waves.places.copy_(unpacked(waves.mask.cpu(), waves.places.shape[1], len(waves.order)))


def _lowest(masks: int, count: int) -> Tensor:
    """Return the first ``count`` places for every mask."""
    if only_shapes():
        return torch.empty(masks, count, dtype=torch.long)
    return torch.arange(count).repeat(masks, 1)


def cosines(size: int) -> Tensor:
    """Return the matrix of the orthonormal DCT-II of ``size`` values, in float64."""
    if only_shapes():
        return torch.empty(size, size, dtype=torch.float64)
    wave, place = torch.arange(size, dtype=torch.float64).view(-1, 1), torch.arange(size)
    found = torch.cos(math.pi * wave * (2 * place + 1) / (2 * size)) * math.sqrt(2 / size)
    found[0] /= math.sqrt(2)
    return found


def by_frequency(height: int, width: int) -> Tensor:
    """Return the places u·W + v of all coefficients by rising u/H + v/W: triangles grow."""
    if only_shapes():
        return torch.empty(height * width, dtype=torch.long)
    down, right = torch.arange(height).view(-1, 1), torch.arange(width)
    # whole numbers, so that rounding does not choose among equals
    return (down * width + right * height).flatten().argsort(stable=True)


def packed(places: Tensor, size: int) -> Tensor:
    """Return masks as values from 0 to 255 in float32, eight places in each.

    Args:
        places: M×k, of ``size`` places.
        size: number of places.
    """
    if only_shapes():
        return torch.empty(len(places), -(-size // _BITS))
    bits = torch.zeros(len(places), -(-size // _BITS) * _BITS)
    bits.scatter_(1, places, 1.0)
    return bits.view(len(places), -1, _BITS) @ _weights()


def unpacked(mask: Tensor, count: int, size: int) -> Tensor:
    """Return the places that masks tell, M×count, in their order.

    A mask is not trusted: where it has fewer or more places, or values that are none, the first
    ``count`` of what it tells and then of the others are taken.
    """
    whole = mask.float().nan_to_num().round().clamp(0, 2**_BITS - 1).unsqueeze(2)
    bits = (whole / _weights()).floor().remainder(2).flatten(1)[:, :size]
    first = bits.argsort(dim=1, descending=True, stable=True)[:, :count]
    return first.sort(dim=1).values


def _weights() -> Tensor:
    return 2.0 ** torch.arange(_BITS)


def _packed(shape: Shape) -> int:
    return -(-math.prod(shape[1:]) // _BITS)
