"""A user's own module as a network: drawn anew, and parted before its last linear layer."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

from torch import Tensor, nn

from attar.errors import BadRequest
from attar.networks import behaviour, drawing, probe
from attar.networks.layers import Size
from attar.networks.registry import OWN, Network
from attar.options import described
from attar.rng import Key

# what `network=` takes from Python
Own = nn.Module | Callable[[], nn.Module]


class Parted(nn.Module):
    """A module without its last linear layer, and that layer.

    Args:
        body: gives features, B×D.
        head: makes scores of them, B×K.
    """

    def __init__(self, body: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.head = head

    def embed(self, images: Tensor) -> Tensor:
        """Return the features before the last linear layer, B×D."""
        return self.body(images).flatten(1)

    def forward(self, images: Tensor) -> Tensor:
        """Return class scores, B×K."""
        return self.head(self.body(images))


def from_module(given: Own, channels: int, size: Size, classes: int) -> Network:
    """Return the network of a user's own module; what is given is never changed.

    A module is copied, and the copy initialised by the ``reset_parameters()`` of its parts,
    children first: weights that it has, such as pretrained ones, are not used. A function is
    called for every network. All parameters are drawn and trained, frozen ones too, as float32.

    Args:
        given: a module that takes B×C×H×W images and returns the B×K scores of its last
            ``nn.Linear``, or a function (or class) that returns a new one without arguments.
        channels: of the images.
        size: height and width in pixels.
        classes: number of classes, K.

    Raises:
        BadRequest: what is given is no such module; says what is missing.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
        >>> from_module(net, 1, (8, 8), 10).draw(Key(0)).head
        Linear(in_features=144, out_features=10, bias=True)
    """
    return as_network(given, channels, size, classes, f"network={described(given)}")


def as_network(
    given: Own,
    channels: int,
    size: Size,
    classes: int,
    said: str,
    name: str | None = None,
) -> Network:
    """Return the network of a module or function, as `from_module` does.

    Args:
        given: as there.
        channels: of the images.
        size: height and width in pixels.
        classes: number of classes.
        said: what messages begin with.
        name: of the network; None for the module's class and a digest of its structure.

    Raises:
        BadRequest: what is given is no such module.
    """
    images = probe.example_images(channels, size)
    # building and probing leave the global generator as it was
    with Key(0).fold("own network").seeding_global():
        if isinstance(given, nn.Module):
            draw = drawing.from_instance(given, images, said)
        elif callable(given):
            draw = drawing.from_function(given, images, said)
        else:
            raise BadRequest(
                f"network={given!r}: a name such as 'convnet3', an nn.Module, or a function "
                "that returns a new one"
            )
        drawing.check_drawing(draw, said)
        first = draw()
        if name is None:
            name = f"{OWN}:{type(first).__name__}-{_digest(first, isinstance(given, nn.Module))}"
        path = probe.last_linear(first, images, classes, said)

        def parted() -> nn.Module:
            return part(draw(), path)

        facts = behaviour.check_parts(draw, parted, images, said)

    def factory(channels: int, size: Size, classes: int) -> nn.Module:
        return parted()

    return Network(name, factory, channels, size, classes, facts.mixes, facts.vectorizes)


def part(module: nn.Module, path: str) -> Parted:
    """Return ``module``, which is changed, parted before the layer at ``path``."""
    head = module.get_submodule(path)
    for owner in list(module.modules()):
        for name, child in list(owner._modules.items()):
            if child is head:
                setattr(owner, name, nn.Identity())
    return Parted(module, head).train()


def _digest(module: nn.Module, by_reset: bool) -> str:
    """Return 8 hex digits of how a module is built and drawn."""
    shapes = [(name, tuple(tensor.shape)) for name, tensor in module.state_dict().items()]
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(module))
    return hashlib.blake2b(repr((text, shapes, by_reset)).encode(), digest_size=4).hexdigest()
