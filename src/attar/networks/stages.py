"""The maps on the way through a network, which layerwise comparisons look at."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

_ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.Sigmoid, nn.SiLU, nn.GELU, nn.Tanh)
# what follows an activation without making another map of it
_SHAPES = (nn.Flatten, nn.Identity)


def stages(module: nn.Module, images: Tensor, most: int) -> list[Tensor]:
    """Return the last maps of a network, each flattened to B×D, in the order of its layers.

    These are what activations and blocks (of residual networks, say) give, and at the end the
    features, which are what is left where a network is no sequence of layers. What makes the
    features is not told twice.

    Args:
        module: with ``embed``; its layers are its ``blocks`` or its ``body``.
        images: network inputs.
        most: how many maps, from the end; there may be fewer.
    """
    layers = getattr(module, "blocks", getattr(module, "body", None))
    if not isinstance(layers, nn.Sequential):
        return [module.embed(images).flatten(1)]  # pyright: ignore[reportCallIssue]
    maps, found, told = images, [], False
    for layer in _flat(layers):
        maps = layer(maps)
        if isinstance(layer, _ACTIVATIONS) or any(layer.children()):
            found.append(maps)
            told = True
        elif not isinstance(layer, _SHAPES):
            told = False
    if not told:
        found.append(maps)
    return [one.flatten(1) for one in found[-most:]]


def _flat(layers: nn.Sequential) -> Iterator[nn.Module]:
    for layer in layers:
        if isinstance(layer, nn.Sequential):
            yield from _flat(layer)
        else:
            yield layer
