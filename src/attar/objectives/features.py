"""Features of any number of images, holding the graph of a chunk at most."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from attar.compute import Compute, Functional
from attar.objectives.derivatives import Tensors


def features_of(
    embedding: Functional, tensors: Tensors, images: Tensor, compute: Compute
) -> Tensor:
    """Return the features of images, B×f float32; they can be differentiated once, for images.

    More images than `Compute.graph_chunk` go forward in chunks without a graph, and a second
    time on the way back; so the images must not affect each other.

    Args:
        embedding: from tensors and images to features.
        tensors: of the network; no gradient reaches them.
        images: B×C×H×W network inputs.
        compute: says how large a chunk is.
    """
    if len(images) <= compute.graph_chunk:
        return embedding(tensors, images)
    return _InChunks.apply(images, embedding, tensors, compute)  # pyright: ignore[reportReturnType]


def sums_of(
    embedding: Functional, tensors: Tensors, images: Tensor, weights: Tensor, compute: Compute
) -> Tensor:
    """Return weighted sums of features, M×f float32, differentiable as `features_of` is.

    In chunks, the features of all images are never there at once, either.

    Args:
        embedding: from tensors and images to features.
        tensors: of the network; no gradient reaches them.
        images: B×C×H×W network inputs.
        weights: M×B, of each image in each sum.
        compute: says how large a chunk is.
    """
    if len(images) <= compute.graph_chunk:
        return weights @ embedding(tensors, images)
    return _SumsInChunks.apply(images, weights, embedding, tensors, compute)  # pyright: ignore[reportReturnType]


class _InChunks(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, images: Tensor, embedding: Functional, tensors: Tensors, compute: Compute
    ) -> Tensor:
        ctx.save_for_backward(images)
        ctx.embedding, ctx.tensors, ctx.chunk = embedding, tensors, compute.graph_chunk
        return torch.cat([embedding.chunk(tensors, part) for part in images.split(compute.chunk)])

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *slopes: Tensor
    ) -> tuple[Tensor, None, None, None]:
        (images,) = ctx.saved_tensors
        parts = zip(images.split(ctx.chunk), slopes[0].split(ctx.chunk), strict=True)
        return torch.cat([_pulled(ctx, part, slope) for part, slope in parts]), None, None, None


class _SumsInChunks(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        images: Tensor,
        weights: Tensor,
        embedding: Functional,
        tensors: Tensors,
        compute: Compute,
    ) -> Tensor:
        ctx.save_for_backward(images, weights)
        ctx.embedding, ctx.tensors, ctx.chunk = embedding, tensors, compute.graph_chunk
        parts = images.split(compute.chunk), weights.split(compute.chunk, dim=1)
        found = (own @ embedding.chunk(tensors, part) for part, own in zip(*parts, strict=True))
        return functools.reduce(torch.add, found)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *slopes: Tensor
    ) -> tuple[Tensor, None, None, None, None]:
        images, weights = ctx.saved_tensors
        parts = zip(images.split(ctx.chunk), weights.split(ctx.chunk, dim=1), strict=True)
        found = [_pulled(ctx, part, own.T @ slopes[0]) for part, own in parts]
        return torch.cat(found), None, None, None, None


def _pulled(ctx: Any, part: Tensor, slope: Tensor) -> Tensor:
    """Return the gradient for a chunk of images, from that for their features."""
    # the last one is filled up, so that all have one shape
    filled = part.new_zeros(ctx.chunk, *part.shape[1:])
    filled[: len(part)] = part
    with torch.enable_grad():
        features = ctx.embedding(ctx.tensors, filled.requires_grad_())
        weighted = (features[: len(part)] * slope).sum()
    return torch.autograd.grad(weighted, filled)[0][: len(part)]
