"""Bases that hallucinators, shared by all classes, turn into images of the size of the base.

Shape letters: B bases asked for, S hallucinators, c channels of a base, C channels of an image,
H height, W width, k side of a kernel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from attar.errors import BadRequest
from attar.optimisers import Optimiser
from attar.rng import Key
from attar.shapes import Shape, least_side
from attar.synthetic.forms.form import DENSE, Leaf, Parametrization
from attar.synthetic.forms.variants import Variants, uniform
from attar.synthetic.layout import Layout
from attar.synthetic.stores import Store, largest
from attar.synthetic.stores.rounding import rounded
from attar.synthetic.table import Table, by_class

_FOR_ALL = "hallucinators, which all classes share"
# under any objective but the published one, whose rates stand in its recipe; and for `fit`
_RATES = {"images": 0.01, "hallucinators": 0.001}
_FITTING = {"images": 0.1, "hallucinators": 0.01}


@dataclass(frozen=True)
class Hallucinated(Parametrization):
    """Every base passes through every one of several hallucinators.

    S hallucinators, shared by all classes, make S images of one base, so n images of a class take
    ceil(n / S) bases. The papers count the bases alone; the hallucinators are lines of the ledger
    beside them. A start from real images keeps one as each base and draws the hallucinators.

    Source: Liu et al. 2022, Dataset Distillation via Factorization (HaBa), section 3.2, and their
    code.

    Args:
        hallucinators: S, one or more.
        channels: c of a base, such as 1 for grey bases of coloured images; 0 for those of an image.
        kernel: k, from 1 to the least side of an image.

    Raises:
        BadRequest: a setting out of its range; when built or counted, images that are smaller than
            a kernel.

    Example:
        >>> form, layout = Hallucinated(), Layout(10, 5, (3, 32, 32))
        >>> form.values(layout) == 10 * 3 * 32 * 32, form.beside(layout)
        (True, 27840)
    """

    name: ClassVar[str] = "hallucinated"
    less: ClassVar[str] = "fewer --set hallucinators=…, --rank, --storage"
    uncounted: ClassVar[Mapping[str, str]] = {
        f"images.{name}": _FOR_ALL
        for name in (
            "encoders",
            "encoder_biases",
            "scales",
            "shifts",
            "decoders",
            "decoder_biases",
        )
    }

    hallucinators: int = 5
    channels: int = 0
    kernel: int = 3

    def __post_init__(self) -> None:
        for name, least in {"hallucinators": 1, "channels": 0, "kernel": 1}.items():
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise BadRequest(f"{name} {value!r}: a whole number, {least} or more")

    def check_shape(self, shape: Shape) -> None:
        """Refuse rows without sides, and images that are smaller than a kernel."""
        super().check_shape(shape)
        if least_side(shape) < self.kernel:
            raise BadRequest(
                f"kernel {self.kernel}: hallucinators do not fit into images of "
                f"{shape[1]}×{shape[2]}; give 1 to {least_side(shape)} (--set "
                f"kernel={least_side(shape)}), or larger images"
            )
        if self.channels > shape[0]:
            raise BadRequest(
                f"channels {self.channels}: a base with more channels than the {shape[0]} of an "
                f"image takes more than that; give 1 to {shape[0]}, or 0 for as many"
            )

    def build(self, layout: Layout, leaf: Leaf = DENSE) -> HallucinatedImages:
        """Return the bases of every class, in the form of the leaf, and the hallucinators."""
        self.check_shape(layout.shape)
        bases = leaf.make(self._bases(layout), self._base(layout.shape))
        return HallucinatedImages(layout, self.hallucinators, self.kernel, bases)

    def values(self, layout: Layout, leaf: Leaf = DENSE) -> int:
        """Return the values of the bases."""
        self.check_shape(layout.shape)
        return self._bases(layout) * leaf.values(self._base(layout.shape))

    def beside(self, layout: Layout) -> int:
        """Return the values of all hallucinators, whatever their number of rows."""
        return sum(map(math.prod, self._shapes(layout.shape).values()))

    def table(self, layout: Layout) -> Table:
        """Return of which base each row is made, and by which hallucinator."""
        return by_class(layout, self.hallucinators)

    def variants(self, layout: Layout) -> int:
        """Return S, where every base is seen by every hallucinator."""
        return 1 if layout.per_class % self.hallucinators else self.hallucinators

    def real_bases(self, layout: Layout) -> tuple[int, ...]:
        """Return the bases of every class: each starts as one real image."""
        return (self._bases(layout) // layout.classes,) * layout.classes

    def own_optimisers(self) -> dict[str, Optimiser]:
        """Return Adam for bases and hallucinators, at 0.01 and 0.001."""
        return {role: Optimiser(lr, kind="adam") for role, lr in _RATES.items()}

    def _bases(self, layout: Layout) -> int:
        return layout.classes * -(-layout.per_class // self.hallucinators)

    def _base(self, shape: Shape) -> tuple[int, int, int]:
        return (self.channels or shape[0], shape[1], shape[2])

    def _shapes(self, shape: Shape) -> dict[str, tuple[int, ...]]:
        return parts(self.hallucinators, self._base(shape)[0], shape, self.kernel)


class HallucinatedImages(Variants):
    """Row i of a class is its base i div S through hallucinator i mod S.

    A hallucinator is a convolution without padding, an affine map with a scale and a shift for
    every value, and a transposed convolution back to H×W; both kernels are k×k and have biases.
    Images are network inputs, without bounds.

    Args:
        layout: the rows.
        hallucinators: S.
        kernel: k.
        bases: holds the bases of all classes, those of a class one after the other, c×H×W each.
    """

    encoders: nn.Parameter
    encoder_biases: nn.Parameter
    scales: nn.Parameter
    shifts: nn.Parameter
    decoders: nn.Parameter
    decoder_biases: nn.Parameter

    def __init__(self, layout: Layout, hallucinators: int, kernel: int, bases: Store) -> None:
        super().__init__(layout, hallucinators)
        self.bases = bases
        for name, shape in parts(hallucinators, bases.item[0], layout.shape, kernel).items():
            start = torch.ones if name == "scales" else torch.zeros
            self.register_parameter(name, nn.Parameter(start(shape)))

    @property
    def stored(self) -> Store:
        """What holds the bases."""
        return self.bases

    def decode(self, bases: Tensor, variant: int) -> Tensor:
        """Return the images that one hallucinator makes of bases.

        Args:
            bases: B×c×H×W.
            variant: which hallucinator, from 0.

        Returns:
            B×C×H×W.
        """
        encoder, bias, scale, shift, decoder, last = (
            rounded(one)[variant].float() for one in self._own()
        )
        hidden = scale * functional.conv2d(bases, encoder, bias) + shift
        return functional.conv_transpose2d(hidden, decoder, last)

    def bound(self) -> float:
        """Return the bound of what any step of any hallucinator makes of bases within theirs."""
        encoder, bias, scale, shift, decoder, last = self._own()
        base = self.bases.bound()
        encoded = _weight(encoder, (2, 3, 4)) * base + largest(bias)
        moved = largest(scale) * encoded + largest(shift)
        made = _weight(decoder, (1, 3, 4)) * moved + largest(last)
        return max(base, encoded, moved, made)

    @torch.no_grad()
    def start_from_noise(self, key: Key) -> None:
        """Start the bases from noise and draw the hallucinators.

        Kernels and biases are uniform within 1/√(k²·channels), as layers of PyTorch begin; scales
        are 1, shifts 0.
        """
        self.bases.start_from_noise(key.fold("bases"))
        self.scales.fill_(1.0)
        self.shifts.zero_()
        for name in ("encoder", "decoder"):
            kernels = self.get_parameter(f"{name}s")
            reach = 1 / math.sqrt(math.prod(kernels.shape[2:]))
            uniform(kernels, reach, key.fold(name))
            uniform(self.get_parameter(f"{name}_biases"), reach, key.fold(name, "bias"))

    @torch.no_grad()
    def keep(self, images: Tensor) -> None:
        """Take images as the bases, grey ones as the mean of their channels."""
        grey = self.bases.item[0] < images.shape[1]
        shown = images.mean(dim=1, keepdim=True).expand(-1, self.bases.item[0], -1, -1)
        self.bases.keep(shown if grey else images)

    def fit(self, rows: Tensor) -> None:
        """Come near ``rows`` by `descend`; bases begin as the mean of what is made of them."""
        self.start_from_noise(Key(0).fold("fit"))
        place = torch.arange(self.count)
        base = place // self.per_class * self.in_class + place % self.per_class // self.each
        total = rows.new_zeros(self.bases.count, *rows.shape[1:]).index_add_(0, base, rows)
        self.keep(total / base.bincount().view(-1, 1, 1, 1))
        self.descend(rows, _FITTING)

    def roles(self) -> Mapping[str, list[nn.Parameter]]:
        """Return the learnt tensors: the bases as images, and the hallucinators."""
        return {**self.bases.roles(), "hallucinators": self._own()}

    def _own(self) -> list[nn.Parameter]:
        return [
            self.encoders,
            self.encoder_biases,
            self.scales,
            self.shifts,
            self.decoders,
            self.decoder_biases,
        ]


def parts(
    hallucinators: int, channels: int, shape: Shape, kernel: int
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of what hallucinators are made of, by name.

    Args:
        hallucinators: S.
        channels: c.
        shape: C, H, W of an image.
        kernel: k.
    """
    made, height, width = shape
    hidden = (hallucinators, made, height - kernel + 1, width - kernel + 1)
    return {
        "encoders": (hallucinators, made, channels, kernel, kernel),
        "encoder_biases": (hallucinators, made),
        "scales": hidden,
        "shifts": hidden,
        "decoders": (hallucinators, made, made, kernel, kernel),
        "decoder_biases": (hallucinators, made),
    }


def _weight(kernels: Tensor, summed: tuple[int, ...]) -> float:
    """Return the most by which convolutions enlarge a value."""
    return float(kernels.detach().double().abs().sum(dim=summed).max())
