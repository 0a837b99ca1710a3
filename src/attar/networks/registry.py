"""Networks by name: ``convnet3``, or with options ``convnet3:width=64,norm=batch``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, cast, get_args

import torch
from torch import Tensor, nn

from attar.errors import BadRequest, unknown
from attar.networks.convnet import Activation, ConvNet, Norm, Pooling
from attar.rng import Key


class Embedder(Protocol):
    """What every network offers: scores, and the features before the last linear layer."""

    def __call__(self, images: Tensor) -> Tensor:
        """Return scores, B×classes."""
        ...

    def embed(self, images: Tensor) -> Tensor:
        """Return features, B×features."""
        ...


Factory = Callable[[int, tuple[int, int], int], nn.Module]


@dataclass(frozen=True)
class Network:
    """A network for images of one size, from which freshly initialised modules are drawn.

    Args:
        name: as on the command line.
        factory: from channels, (height, width) and classes to a module with `embed`.
        channels: of the images.
        size: height and width in pixels.
        classes: number of classes.
        mixes: whether images of a batch affect each other in training; None to look for batch
            normalization.
        vectorizes: whether several can be trained in one step.
    """

    name: str
    factory: Factory = field(repr=False, compare=False)
    channels: int
    size: tuple[int, int]
    classes: int
    mixes: bool | None = field(default=None, repr=False, compare=False)
    vectorizes: bool = field(default=True, repr=False, compare=False)

    def draw(self, key: Key, device: str | torch.device = "cpu") -> nn.Module:
        """Return a module initialised from ``key``; the same key gives the same weights."""
        with key.seeding_global():
            module = self.factory(self.channels, self.size, self.classes)
        return module.to(device)

    def mixes_samples(self) -> bool:
        """Whether a module in training mode lets images of a batch affect each other."""
        if self.mixes is not None:
            return self.mixes
        with torch.device("meta"):
            module = self.factory(self.channels, self.size, self.classes)
        kinds = nn.modules.batchnorm._BatchNorm
        return any(isinstance(part, kinds) for part in module.modules())


def _convnet(depth: int, options: Mapping[str, str]) -> Factory:
    allowed: dict[str, tuple[str, ...]] = {
        "norm": get_args(Norm),
        "activation": get_args(Activation),
        "pooling": get_args(Pooling),
    }
    settings: dict[str, object] = {"depth": depth}
    for option, value in options.items():
        if option == "width":
            if not value.isdecimal() or int(value) < 1:
                raise BadRequest(f"network option width={value}: a whole number above 0")
            settings["width"] = int(value)
        elif option not in allowed:
            raise unknown("network option", option, ["width", *allowed])
        elif value not in allowed[option]:
            raise unknown(f"value of network option {option}", value, allowed[option])
        else:
            settings[option] = value

    def factory(channels: int, size: tuple[int, int], classes: int) -> nn.Module:
        return ConvNet(channels, size, classes, **cast("dict[str, int]", settings))  # pyright: ignore[reportArgumentType]

    return factory


# how the name of a user's own module begins, before a colon
OWN = "own"
# A family's name is followed by a number that says its depth.
FAMILIES: dict[str, Callable[[int, Mapping[str, str]], Factory]] = {"convnet": _convnet}


def build(name: str, channels: int, size: tuple[int, int], classes: int) -> Network:
    """Return the network called ``name`` for images of this size.

    Args:
        name: family, depth and options, such as ``convnet3`` or ``convnet4:norm=batch``.
        channels: of the images.
        size: height and width in pixels.
        classes: number of classes.

    Raises:
        BadRequest: an unknown name or option, or a network that this size is too small for.
    """
    head, _, tail = name.partition(":")
    if head == OWN:
        raise BadRequest(
            f"network {name!r} is a module given from Python; give the module itself there, or a "
            "name such as convnet3"
        )
    found = re.fullmatch(r"([a-z]+?)(\d+)", head)
    if found is None or found[1] not in FAMILIES:
        raise unknown("network", head, [f"{family}3" for family in FAMILIES])
    options = {}
    for part in filter(None, tail.split(",")):
        option, equals, value = part.partition("=")
        if not equals:
            raise BadRequest(f"network {name!r}: write options as option=value, not {part!r}")
        options[option] = value
    network = Network(name, FAMILIES[found[1]](int(found[2]), options), channels, size, classes)
    try:
        with torch.device("meta"):
            network.factory(channels, size, classes)
    except RuntimeError as error:
        raise BadRequest(f"network {name!r} cannot be built: {error}") from error
    return network
