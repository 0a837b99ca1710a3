"""Latent codes and the decoders that all classes share, as a choice of form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from attar.errors import BadRequest
from attar.optimisers import Optimiser
from attar.synthetic import decoded
from attar.synthetic.form import DENSE, Leaf, Parametrization
from attar.synthetic.layout import Layout


@dataclass(frozen=True)
class Decoded(Parametrization):
    """Every latent code passes through every one of several tiny decoders.

    D decoders, shared by all classes, make D images of one code, so n images of a class take
    ceil(n / D) codes. Codes and decoders both count, as the papers count. Decoders that no row
    uses, where n is below D, are stored all the same.

    Source: Knowledge Factorization and Sharing (Lee et al. 2022), as section 2.1 of Dataset
    Condensation via Expert Subspace Projection tells it. The shapes of codes and decoders are
    not published; those of `attar.synthetic.decoded` are ours.

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

    def build(self, layout: Layout, leaf: Leaf = DENSE) -> decoded.DecodedImages:
        """Return the codes of every class, in the form of the leaf, and the decoders."""
        code = self._code(layout, leaf)
        codes = leaf.make(self._codes(layout), code)
        return decoded.DecodedImages(layout, self.decoders, self.upsamplings, self.hidden, codes)

    def values(self, layout: Layout, leaf: Leaf = DENSE) -> int:
        """Return the values of codes and decoders."""
        code = self._code(layout, leaf)
        return self._codes(layout) * leaf.values(code) + self.decoder_values(layout.shape)

    def decoder_values(self, shape: tuple[int, int, int]) -> int:
        """Return the values of all decoders of images of ``shape``, whatever their number."""
        shapes = decoded.kernels(self.channels, self.hidden, shape[0], self.upsamplings)
        return self.decoders * sum(math.prod(kernel) + kernel[0] for kernel in shapes)

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
