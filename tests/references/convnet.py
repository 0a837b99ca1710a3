"""The ConvNet from its weights, layer by layer (FACTS 1.2)."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

EPSILON = 1e-5


def embed(
    weights: Mapping[str, Tensor],
    images: Tensor,
    norm: str = "instance",
    activation: str = "relu",
    pooling: str = "average",
) -> Tensor:
    """Return the flattened map after the last block."""
    return maps_of(weights, images, norm, activation, pooling)[-1]


def maps_of(
    weights: Mapping[str, Tensor],
    images: Tensor,
    norm: str = "instance",
    activation: str = "relu",
    pooling: str = "average",
) -> list[Tensor]:
    """Return what the activation of every block gives, and the map after the last block, flat.

    Four layers are numbered per block.
    """
    maps, found = images, []
    depth = sum(f"blocks.{4 * block}.weight" in weights for block in range(20))
    for block in range(depth):
        padding = 3 if block == 0 and images.shape[1] == 1 else 1
        maps = functional.conv2d(
            maps,
            weights[f"blocks.{4 * block}.weight"],
            weights[f"blocks.{4 * block}.bias"],
            padding=padding,
        )
        if norm != "none":
            maps = normalise(maps, norm)
            scale = weights[f"blocks.{4 * block + 1}.weight"]
            shift = weights[f"blocks.{4 * block + 1}.bias"]
            if norm != "layer":
                scale, shift = scale[:, None, None], shift[:, None, None]
            maps = maps * scale + shift
        maps = activate(maps, activation)
        found.append(maps.reshape(len(maps), -1))
        maps = pool(maps, pooling)
    return [*found, maps.reshape(len(maps), -1)]


def scores(weights: Mapping[str, Tensor], images: Tensor, **options: str) -> Tensor:
    """Return class scores."""
    features = embed(weights, images, **options)
    return features @ weights["classifier.weight"].T + weights["classifier.bias"]


def normalise(maps: Tensor, norm: str) -> Tensor:
    """Subtract the mean and divide by the deviation, over what the norm's name says."""
    batch, channels, height, width = maps.shape
    if norm == "group":
        groups = maps.reshape(batch, 4, channels // 4, height, width)
        return standardise(groups, (2, 3, 4)).reshape(maps.shape)
    over = {"instance": (2, 3), "batch": (0, 2, 3), "layer": (1, 2, 3)}[norm]
    return standardise(maps, over)


def standardise(values: Tensor, over: tuple[int, ...]) -> Tensor:
    """Return values of mean 0 and (biased) variance 1 over some dimensions."""
    centred = values - values.mean(dim=over, keepdim=True)
    variance = (centred**2).mean(dim=over, keepdim=True)
    return centred / (variance + EPSILON) ** 0.5


def activate(maps: Tensor, activation: str) -> Tensor:
    """Apply the non-linearity."""
    if activation == "relu":
        return maps * (maps > 0)
    if activation == "leakyrelu":
        return torch.where(maps > 0, maps, 0.01 * maps)
    sigmoid = 1 / (1 + (-maps).exp())
    return sigmoid if activation == "sigmoid" else maps * sigmoid


def pool(maps: Tensor, pooling: str) -> Tensor:
    """Join every 2×2 block; an odd row or column at the end is dropped."""
    if pooling == "none":
        return maps
    height, width = maps.shape[2] // 2 * 2, maps.shape[3] // 2 * 2
    corners = torch.stack([maps[:, :, y:height:2, x:width:2] for y in range(2) for x in range(2)])
    return corners.amax(dim=0) if pooling == "max" else corners.sum(dim=0) / 4
