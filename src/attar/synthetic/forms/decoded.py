"""Latent codes that several small decoders turn into images, every code through every decoder.

Shape letters: B codes asked for, D decoders, M codes, c channels of a code, h hidden
channels, C channels, H height, W width, u upsamplings.
"""

from __future__ import annotations

import itertools
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
from attar.shapes import Shape
from attar.synthetic.forms.form import DENSE, Leaf, Parametrization
from attar.synthetic.forms.variants import Variants
from attar.synthetic.layout import Layout
from attar.synthetic.stores import Store, largest
from attar.synthetic.stores.rounding import rounded
from attar.synthetic.table import Table, by_class

SLOPE = 0.2
_SIDE = 3
# start from noise: so many codes tell how far an image spreads
_SAMPLE = 64
# fit: the learning rates at the beginning
_RATES = {"images": 0.1, "decoders": 0.01}


@dataclass(frozen=True)
class Decoded(Parametrization):
    """Every latent code passes through every one of several tiny decoders.

    D decoders, shared by all classes, make D images of one code, so n images of a class take
    ceil(n / D) codes. Codes and decoders both count, as the papers count. Decoders that no row
    uses, where n is below D, are stored all the same.

    Source: Knowledge Factorization and Sharing (Lee et al. 2022), as section 2.1 of Dataset
    Condensation via Expert Subspace Projection tells it. The shapes of codes and decoders are
    not published; those of `DecodedImages` are ours.

    Args:
        decoders: D, one or more.
        channels: c of a code, one or more.
        upsamplings: u, how often a decoder doubles the sides: those of a code are ceil(H / 2^u)
            and ceil(W / 2^u).
        hidden: channels of a decoder between codes and images, one or more.

    Raises:
        BadRequest: a setting out of its range; when built or counted, a code that is larger than
            an image, or more upsamplings than an image can be halved.

    Example:
        >>> Decoded(4, 3, 2, 8).values(Layout(10, 32, (3, 32, 32))) == 80 * 192 + 4 * 1027
        True
    """

    name: ClassVar[str] = "decoded"

    decoders: int = 4
    channels: int = 3
    upsamplings: int = 2
    hidden: int = 8

    def __post_init__(self) -> None:
        lowest = {"decoders": 1, "channels": 1, "upsamplings": 0, "hidden": 1}
        for name, least in lowest.items():
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise BadRequest(f"{name} {value!r}: a whole number, {least} or more")

    def build(self, layout: Layout, leaf: Leaf = DENSE) -> DecodedImages:
        """Return the codes of every class, in the form of the leaf, and the decoders."""
        code = self._code(layout, leaf)
        codes = leaf.make(self._codes(layout), code)
        return DecodedImages(layout, self.decoders, self.upsamplings, self.hidden, codes)

    def values(self, layout: Layout, leaf: Leaf = DENSE) -> int:
        """Return the values of codes and decoders."""
        code = self._code(layout, leaf)
        return self._codes(layout) * leaf.values(code) + self.decoder_values(layout.shape)

    def decoder_values(self, shape: Shape) -> int:
        """Return the values of all decoders of images of ``shape``, whatever their number."""
        shapes = kernels(self.channels, self.hidden, shape[0], self.upsamplings)
        return self.decoders * sum(math.prod(kernel) + kernel[0] for kernel in shapes)

    def table(self, layout: Layout) -> Table:
        """Return of which code each row is made, and by which decoder."""
        return by_class(layout, self.decoders)

    def own_optimisers(self) -> dict[str, Optimiser]:
        """Return Adam for codes and decoders, at 0.1 and 0.01 with linear decay, as published."""
        rates = {"images": 0.1, "decoders": 0.01}
        return {role: Optimiser(lr, kind="adam", schedule="linear") for role, lr in rates.items()}

    def _codes(self, layout: Layout) -> int:
        return layout.classes * -(-layout.per_class // self.decoders)

    def _code(self, layout: Layout, leaf: Leaf) -> tuple[int, int, int]:
        """Return the shape of a code, refused where it makes no sense for the images."""
        channels, height, width = layout.shape
        most = min(height, width).bit_length() - 1
        if self.upsamplings > most:
            raise BadRequest(
                f"upsamplings {self.upsamplings}: images of {height}×{width} can be halved "
                f"{most} times; 0 to {most}"
            )
        factor = 2**self.upsamplings
        code = (self.channels, -(-height // factor), -(-width // factor))
        if leaf.values(code) > math.prod(layout.shape):
            raise BadRequest(
                f"codes of {self.channels}×{code[1]}×{code[2]} take {leaf.values(code)} values, "
                f"more than an image of {channels}×{height}×{width} itself "
                f"({math.prod(layout.shape)}); lower channels, or raise upsamplings"
            )
        return code


class DecodedImages(Variants):
    """Row i of a class is its code i div D through decoder i mod D.

    A decoder is a chain of 3×3 convolutions with biases, zeros beyond the border, and a leaky
    rectifier (slope 0.2) between them: one at the size of the code, then one after each of u
    doublings of the sides, which repeat every pixel. Channels go from c over h to C; without
    doublings there are two convolutions. What is larger than H×W is cut at the lower and right
    border. Images are network inputs, without bounds.

    Args:
        layout: the rows.
        decoders: D.
        upsamplings: u.
        hidden: h.
        codes: holds the codes of all classes, those of a class one after the other, each of
            c×ceil(H / 2^u)×ceil(W / 2^u).
    """

    def __init__(
        self, layout: Layout, decoders: int, upsamplings: int, hidden: int, codes: Store
    ) -> None:
        super().__init__(layout, decoders)
        self.upsamplings = upsamplings
        self.codes = codes
        shapes = kernels(codes.item[0], hidden, layout.shape[0], upsamplings)
        self.kernels = nn.ParameterList(torch.zeros(decoders, *shape) for shape in shapes)
        self.biases = nn.ParameterList(torch.zeros(decoders, shape[0]) for shape in shapes)

    @property
    def stored(self) -> Store:
        """What holds the codes."""
        return self.codes

    def decode(self, bases: Tensor, variant: int) -> Tensor:
        """Return the images that one decoder makes of codes.

        Args:
            bases: B×c×height×width.
            variant: which decoder, from 0.

        Returns:
            B×C×H×W.
        """
        # on a CPU, thin convolutions take half the time when channels lie together
        images = bases.contiguous(memory_format=torch.channels_last)
        for layer, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            kernel, bias = rounded(kernel)[variant].float(), rounded(bias)[variant].float()
            if layer:
                images = functional.leaky_relu(images, SLOPE)
            if layer and self.upsamplings:
                images = functional.conv_transpose2d(
                    images, _doubling(kernel), bias, stride=2, padding=1
                )
            else:
                images = functional.conv2d(images, kernel, bias, padding=1)
        return images[..., : self.item[1], : self.item[2]]

    def bound(self) -> float:
        """Return the bound of what any layer of any decoder makes of codes within theirs."""
        found = most = self.codes.bound()
        for kernel, bias in zip(self.kernels, self.biases, strict=True):
            # doubling repeats pixels, and the rectifier makes nothing larger
            weight = float(kernel.detach().double().abs().sum(dim=(2, 3, 4)).max())
            found = weight * found + largest(bias)
            most = max(most, found)
        return most

    @torch.no_grad()
    def start_from_noise(self, key: Key) -> None:
        """Start the codes from noise and draw decoders that make images of unit variance.

        Kernels are from N(0, 2 / ((1 + 0.2²)·inputs)) and biases zero; the last kernel of every
        decoder is then scaled by what the first codes become.
        """
        self.codes.start_from_noise(key.fold("codes"))
        for layer, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            scale = math.sqrt(2 / (1 + SLOPE**2) / math.prod(kernel.shape[2:]))
            noise = torch.randn(kernel.shape, generator=key.fold("kernel", layer).generator())
            kernel.copy_(scale * noise)
            bias.zero_()
        codes = self.codes(torch.arange(min(_SAMPLE, self.codes.count)))
        for decoder in range(self.each):
            spread = self.decode(codes, decoder).std()
            self.kernels[-1][decoder] /= spread.clamp(min=1e-6)

    def fit(self, rows: Tensor) -> None:
        """Come near ``rows`` by `descend` from one fixed start."""
        self.start_from_noise(Key(0).fold("fit"))
        self.descend(rows, _RATES)

    def roles(self) -> Mapping[str, list[nn.Parameter]]:
        """Return the learnt tensors: the codes as images, and the decoders."""
        return {**self.codes.roles(), "decoders": [*self.kernels, *self.biases]}


def kernels(
    channels: int, hidden: int, made: int, upsamplings: int
) -> list[tuple[int, int, int, int]]:
    """Return the shapes of a decoder's kernels, output channels first.

    Args:
        channels: c of a code.
        hidden: h.
        made: C of an image.
        upsamplings: u.
    """
    widths = [channels, *[hidden] * max(1, upsamplings), made]
    return [(after, before, _SIDE, _SIDE) for before, after in itertools.pairwise(widths)]


def _doubling(kernel: Tensor) -> Tensor:
    """Return the transposed kernel that doubles the sides and then applies ``kernel``.

    Repeating every pixel and convolving with 3×3 is a transposed convolution of stride 2 with
    4×4, at less than half the multiplications.

    Args:
        kernel: out×in×3×3.

    Returns:
        in×out×4×4.
    """
    wide = functional.pad(kernel.flip(-1, -2).transpose(0, 1), (1, 1, 1, 1))
    upper = wide[..., :-1, :] + wide[..., 1:, :]
    return upper[..., :-1] + upper[..., 1:]
