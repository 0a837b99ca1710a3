"""Latent codes that several small decoders turn into images, every code through every decoder.

Shape letters: N rows, B rows asked for, D decoders, M codes, c channels of a code, h hidden
channels, C channels, H height, W width, u upsamplings.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from attar.rng import Key
from attar.synthetic.layout import Layout
from attar.synthetic.stores import Store, largest

SLOPE = 0.2
_SIDE = 3
# start from noise: so many codes tell how far an image spreads
_SAMPLE = 64
# fit: updates, codes per update, and the learning rates of codes and decoders at the beginning
_UPDATES = 300
_BATCH = 256
_RATES = {"images": 0.1, "decoders": 0.01}


class DecodedImages(Store):
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
        super().__init__(layout.rows, layout.shape)
        self.per_class = layout.per_class
        self.decoders = decoders
        self.upsamplings = upsamplings
        self.codes = codes
        shapes = kernels(codes.item[0], hidden, layout.shape[0], upsamplings)
        self.kernels = nn.ParameterList(torch.zeros(decoders, *shape) for shape in shapes)
        self.biases = nn.ParameterList(torch.zeros(decoders, shape[0]) for shape in shapes)

    def forward(self, index: Tensor) -> Tensor:
        """Return the images at ``index``, each code and each image made once."""
        rows, again = torch.unique(index, return_inverse=True)
        owner, place = rows // self.per_class, rows % self.per_class
        each = -(-self.per_class // self.decoders)
        code = owner * each + place // self.decoders
        needed, where = torch.unique(code, return_inverse=True)
        codes = self.codes(needed)
        images = [codes.new_zeros(0, *self.item)]
        order = [rows[:0]]
        for decoder in range(self.decoders):
            mine = (place % self.decoders == decoder).nonzero().flatten()
            if len(mine):
                images.append(self.decode(codes[where[mine]], decoder))
                order.append(mine)
        back = torch.cat(order).argsort()
        return torch.cat(images)[back[again]].contiguous()

    def decode(self, codes: Tensor, decoder: int) -> Tensor:
        """Return the images that one decoder makes of codes.

        Args:
            codes: B×c×height×width.
            decoder: which, from 0.

        Returns:
            B×C×H×W.
        """
        # on a CPU, thin convolutions take half the time when channels lie together
        images = codes.contiguous(memory_format=torch.channels_last)
        for layer, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            kernel, bias = kernel[decoder].float(), bias[decoder].float()
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
        for decoder in range(self.decoders):
            spread = self.decode(codes, decoder).std()
            self.kernels[-1][decoder] /= spread.clamp(min=1e-6)

    @torch.enable_grad()
    def fit(self, rows: Tensor) -> None:
        """Come near ``rows`` by gradient descent on codes and decoders, from one fixed start.

        300 updates by Adam of the mean squared difference, at learning rates that fall linearly
        from 0.1 (codes) and 0.01 (decoders), each on the rows of at most 256 codes in turn. The
        D images of one code share what it holds, so unlike images come out blurred: what is
        reached is near the rows, not nearest to them.
        """
        self.start_from_noise(Key(0).fold("fit"))
        roles = self.roles()
        groups = [{"params": roles[role], "lr": rate} for role, rate in _RATES.items()]
        optimiser = torch.optim.Adam(groups)
        schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, _UPDATES)
        batches = self._batches()
        for update in range(_UPDATES):
            index = batches[update % len(batches)]
            loss = (self(index) - rows[index]).square().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
        optimiser.zero_grad()

    def _batches(self) -> list[Tensor]:
        """Return the rows in parts that need at most 256 codes each, all classes mixed."""
        rows = torch.arange(self.count)
        each = -(-self.per_class // self.decoders)
        owner, code = rows // self.per_class, rows % self.per_class // self.decoders
        parts = -(-self.codes.count // _BATCH)
        turn = (owner * each + code) % parts
        return [rows[turn == part] for part in range(parts)]

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
