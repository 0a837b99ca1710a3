"""What each layer of an infinitely wide network makes of the covariances of its input.

Two matrices go through the layers for two sets of images: the covariance of the values (of the
Gaussian process, "nngp") and the neural tangent kernel ("ntk"); Jacot et al. 2018, Arora et al.
2019. Both lie in one of two layouts, whichever the later layers need:

- *pairs*: A×H×W×B×H×W, every position of each of A images with every one of each of B;
- *places*: H×W×A×B, every position with the same one.

For every image of one set with itself, B is 1 and the second image of a pair is the first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

# below this 1 − cos² is rounding, and the slope of an angle there is taken as 0
_LEVEL = 1e-12
# of a deviation: an image of zeros without biases has none
_LEAST = 1e-150


@dataclass(frozen=True)
class Conv:
    """A convolution of stride 1, or with a kernel of 1 a linear layer at every position.

    Args:
        kernel: its height and width.
        padding: zeros around the map.
    """

    kernel: int
    padding: int

    def side(self, side: int) -> int:
        """Return the height or width of the map behind it."""
        return side + 2 * self.padding - self.kernel + 1


# an empty name stands for a layer that changes nothing
Step = Conv | Literal["relu", "pool", "mean", "flatten", ""]


@dataclass(frozen=True)
class Covariances:
    """The matrices at one layer.

    Args:
        nngp: covariance of the values.
        ntk: neural tangent kernel; None where it is not asked for.
        pairs: whether the layout is that of pairs.
    """

    nngp: Tensor
    ntk: Tensor | None
    pairs: bool

    def each(self, change: Any) -> Covariances:
        """Return both changed in the same way."""
        ntk = None if self.ntk is None else change(self.ntk)
        return Covariances(change(self.nngp), ntk, self.pairs)


def patches(images: Tensor, conv: Conv, weight: float, bias: float) -> Tensor:
    """Return for A×C×H×W images what the first convolution sees, A×H×W×F.

    The inner products of these F values are the covariances behind it.
    """
    count, channels, height, width = images.shape
    seen = images
    if conv != Conv(1, 0):
        seen = functional.unfold(images, conv.kernel, padding=conv.padding)
    seen = seen.reshape(count, -1, conv.side(height), conv.side(width)).movedim(1, -1)
    seen = seen * math.sqrt(weight / (channels * conv.kernel**2))
    return torch.cat([seen, torch.full_like(seen[..., :1], math.sqrt(bias))], dim=-1)


def begin(first: Tensor, second: Tensor | None, *, pairs: bool, ntk: bool) -> Covariances:
    """Return the covariances of patches: of two sets, or of each image with itself."""
    a, h, w, f = first.shape
    flat = first.reshape(a, h * w, f)
    if second is None:
        if pairs:
            found = (flat @ flat.mT).view(a, h, w, 1, h, w)
        else:
            found = flat.square().sum(dim=2).T.reshape(h, w, a, 1)
    elif pairs:
        b = len(second)
        found = (flat.view(a * h * w, f) @ second.reshape(b * h * w, f).T).view(a, h, w, b, h, w)
    else:
        other = second.reshape(len(second), h * w, f)
        found = (flat.transpose(0, 1) @ other.permute(1, 2, 0)).view(h, w, a, len(second))
    return Covariances(found, found if ntk else None, pairs)


def linear(at: Covariances, conv: Conv, weight: float, bias: float) -> Covariances:
    """Return the covariances behind a convolution or a linear layer."""
    dims = ((1, 4), (2, 5)) if at.pairs else ((0,), (1,))

    def through(values: Tensor) -> Tensor:
        if conv != Conv(1, 0):
            for several in dims:
                values = _Box.apply(values, several, conv.kernel, conv.padding)  # pyright: ignore[reportAssignmentType]
        return values * (weight / conv.kernel**2)

    nngp = through(at.nngp) + bias
    return Covariances(nngp, None if at.ntk is None else nngp + through(at.ntk), at.pairs)


def relu(at: Covariances, first: Tensor, second: Tensor) -> Covariances:
    """Return the covariances behind a ReLU.

    Args:
        at: those before it.
        first: deviations of the values of the first images, which go with the matrices.
        second: of the second ones.
    """
    if at.ntk is None:
        nngp, _ = _Relu.apply(at.nngp, None, first, second)  # pyright: ignore[reportGeneralTypeIssues]
        return Covariances(nngp, None, at.pairs)
    nngp, ntk = _Relu.apply(at.nngp, at.ntk, first, second)  # pyright: ignore[reportGeneralTypeIssues]
    return Covariances(nngp, ntk, at.pairs)


def pool(at: Covariances) -> Covariances:
    """Return the covariances behind 2×2 average pooling, odd borders dropped; of pairs."""

    def halved(values: Tensor) -> Tensor:
        for dim in (1, 2, 4, 5):
            half = values.shape[dim] // 2
            values = values.narrow(dim, 0, 2 * half).unflatten(dim, (half, 2))
            values = values.select(dim + 1, 0) + values.select(dim + 1, 1)
        return values / 16

    return at.each(halved)


def mean(at: Covariances) -> Covariances:
    """Return the covariances behind global average pooling; of pairs, from there on of places."""
    found = at.each(lambda values: values.mean(dim=(1, 2, 4, 5))[None, None])
    return Covariances(found.nngp, found.ntk, pairs=False)


def flatten(at: Covariances) -> Covariances:
    """Return the covariances of flattened maps, one place."""
    return places(at).each(lambda values: values.mean(dim=(0, 1), keepdim=True))


def places(at: Covariances) -> Covariances:
    """Return the covariances of every position with the same one."""
    if not at.pairs:
        return at
    # A×B×H×W, then H×W×A×B
    found = at.each(
        lambda values: values.diagonal(dim1=1, dim2=4).diagonal(dim1=1, dim2=3).permute(2, 3, 0, 1)
    )
    return Covariances(found.nngp, found.ntk, pairs=False)


def deviations(nngp: Tensor, *, pairs: bool) -> Tensor:
    """Return the deviations of values, A×H×W, of covariances of each image with itself."""
    if pairs:
        found = nngp[:, :, :, 0].diagonal(dim1=1, dim2=3).diagonal(dim1=1, dim2=2)
    else:
        found = nngp[..., 0].movedim(2, 0)
    return found.clamp_min(_LEAST**2).sqrt()


class _Box(torch.autograd.Function):
    """Sums over windows that move along several dimensions at once."""

    @staticmethod
    def forward(
        ctx: Any, values: Tensor, dims: tuple[int, ...], kernel: int, padding: int
    ) -> Tensor:
        ctx.dims, ctx.kernel, ctx.padding = dims, kernel, padding
        before = values.shape[dims[0]]
        after = before + 2 * padding - kernel + 1
        shape = [after if dim in dims else size for dim, size in enumerate(values.shape)]
        found = values.new_zeros(shape)
        for offset in range(-padding, kernel - padding):
            low, high = max(0, -offset), min(after, before - offset)
            into, part = found, values
            for dim in dims:
                into = into.narrow(dim, low, high - low)
                part = part.narrow(dim, low + offset, high - low)
            into += part
        return found

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *slopes: Tensor
    ) -> tuple[Tensor, None, None, None]:
        back = _Box.apply(slopes[0], ctx.dims, ctx.kernel, ctx.kernel - 1 - ctx.padding)
        return back, None, None, None  # pyright: ignore[reportReturnType]


class _Relu(torch.autograd.Function):
    """Arc-cosine kernels of degree 1 and 0 (Cho & Saul 2009).

    With k the covariance, a and b the deviations, c = k/(ab) = cos θ and s = sin θ: the covariance
    becomes ab·(s + (π − θ)·c)/2π, and the tangent kernel is multiplied by (π − θ)/2π.
    """

    @staticmethod
    def forward(
        ctx: Any, nngp: Tensor, ntk: Tensor | None, a: Tensor, b: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        cosine = (nngp / a).div_(b).clamp_(-1, 1)
        level = torch.addcmul(cosine.new_ones(()), cosine, cosine, value=-1)
        share = torch.acos(cosine).mul_(-1 / (2 * math.pi)).add_(0.5)
        found = _sine(level).mul_(1 / (2 * math.pi)).addcmul_(share, cosine)
        found.mul_(a).mul_(b)
        ctx.save_for_backward(ntk, a, b, cosine, level, share)
        return found, None if ntk is None else ntk * share

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *slopes: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        ntk, a, b, cosine, level, share = ctx.saved_tensors
        of_nngp, of_ntk = slopes
        back = torch.zeros_like(cosine)
        # for log a and for log b alike
        stretch = torch.zeros_like(cosine)
        if of_nngp is not None:
            back += of_nngp * share
            stretch += of_nngp * _sine(level) * (a * b) / (2 * math.pi)
        if ntk is not None and of_ntk is not None:
            turned = of_ntk * ntk * level.clamp_min(_LEVEL).rsqrt() * (level > _LEVEL)
            turned /= 2 * math.pi
            back += turned / a / b
            stretch -= turned * cosine
        found: list[Tensor | None] = [back, None, None, None]
        if ctx.needs_input_grad[1] and of_ntk is not None:
            found[1] = of_ntk * share
        for place, deviation in ((2, a), (3, b)):
            if ctx.needs_input_grad[place]:
                found[place] = (stretch / deviation).sum_to_size(deviation.shape)
        return tuple(found)


def _sine(level: Tensor) -> Tensor:
    """Return √level; on a CPU a fourth of the time of `torch.sqrt` in float64."""
    return level.clamp_min(_LEAST).rsqrt_().mul_(level)
