"""Features of any number of images, holding the graph of a chunk at most."""

from __future__ import annotations

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
        found = []
        for part, slope in zip(images.split(ctx.chunk), slopes[0].split(ctx.chunk), strict=True):
            # the last one is filled up, so that all have one shape
            filled = part.new_zeros(ctx.chunk, *part.shape[1:])
            filled[: len(part)] = part
            with torch.enable_grad():
                features = ctx.embedding(ctx.tensors, filled.requires_grad_())
                weighted = (features[: len(part)] * slope).sum()
            found.append(torch.autograd.grad(weighted, filled)[0][: len(part)])
        return torch.cat(found), None, None, None
