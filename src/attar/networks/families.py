"""The networks that have names, one line each, and the options that each takes.

A family is a class that is called with channels, size and classes. Its other parameters are its
options: an ``int`` takes a whole number, a ``Literal`` one of its values. One that takes ``depth``
has it behind its name, as in ``convnet3``. This list is free of torch, so that it appears at once;
the class lies where ``home`` says.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from attar.errors import BadRequest, unknown
from attar.lazy import named
from attar.registry import Registry

if TYPE_CHECKING:
    from torch import nn

    from attar.networks.registry import Factory

# how a network of timm is named, before a colon
TIMM = "timm"
# every block is made, even where nothing is computed; a number of channels costs nothing by itself
MOST_BLOCKS, _MOST = 1000, 10**6


@dataclass(frozen=True)
class Family:
    """Networks of one name.

    Args:
        name: as on the command line, without the depth.
        summary: one line for people.
        home: the class, or a function, of channels, size, classes and options; or where it lies,
            as ``module.Class`` in this package, to be imported when it is first made.
        options: the values of each, the default first; one that takes a whole number has its
            default alone.
        depth: whether a number behind the name says how many blocks there are.
        settings: further parameters of the class, which the name stands for.
        any_shape: whether it takes rows of any shape, such as vectors.
    """

    name: str
    summary: str
    home: str | Callable[..., nn.Module]
    options: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    depth: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    any_shape: bool = False

    @property
    def made(self) -> Callable[..., nn.Module]:
        """The class."""
        return named("attar.networks", self.home) if isinstance(self.home, str) else self.home


def _first(default: str, *values: str) -> tuple[str, ...]:
    return (default, *(value for value in values if value != default))


def _norm(default: str) -> tuple[str, ...]:
    return _first(default, "instance", "batch", "group", "layer", "none")


_RESIDUAL = "Residual network with the stem for small images: four stages of two-convolution blocks"
_RESIDUAL_OPTIONS = {"norm": _norm("instance"), "pooling": ("stride", "average")}

FAMILIES: Registry[Family] = Registry(
    "network",
    lambda thing: isinstance(thing, Family),
    (
        Family(
            "convnet",
            "Blocks of 3×3 convolution, norm, activation and 2×2 pooling, then one linear layer",
            "convnet.ConvNet",
            {
                "width": ("128",),
                "norm": _norm("instance"),
                "activation": ("relu", "leakyrelu", "sigmoid", "swish"),
                "pooling": ("average", "max", "none"),
            },
            depth=True,
        ),
        Family(
            "frepo",
            "FRePo's network: as ConvNet, but widths double, and norms come before convolutions",
            "freponet.FRePoNet",
            {"width": ("128",), "norm": _norm("batch")},
            depth=True,
        ),
        Family(
            "mlp",
            "Multilayer perceptron with two hidden layers of 128, for pictures and vectors",
            "plain.MLP",
            {"width": ("128",), "depth": ("2",)},
            any_shape=True,
        ),
        Family(
            "lenet",
            "LeNet: two 5×5 convolutions with max-pooling, then layers of 120 and 84",
            "plain.LeNet",
        ),
        Family(
            "alexnet",
            "AlexNet for small images: five convolutions of stride 1, three max-poolings",
            "plain.AlexNet",
            {"norm": _norm("none")},
        ),
        Family(
            "vgg11",
            "VGG11 with one linear layer: eight 3×3 convolutions, five max-poolings",
            "plain.VGG11",
            {"norm": _norm("instance")},
        ),
        Family(
            "resnet10",
            _RESIDUAL,
            "resnet.ResNet",
            _RESIDUAL_OPTIONS,
            settings={"blocks": (1, 1, 1, 1)},
        ),
        Family(
            "resnet18",
            _RESIDUAL,
            "resnet.ResNet",
            _RESIDUAL_OPTIONS,
            settings={"blocks": (2, 2, 2, 2)},
        ),
        Family(
            "densenet121",
            "DenseNet-121 with the stem for small images: four dense blocks of growth 32",
            "densenet.DenseNet121",
            {"norm": _norm("batch")},
        ),
        Family(
            "efficientnetv2s",
            "EfficientNetV2-S with the stem for small images: six stages of inverted bottlenecks",
            "efficientnet.EfficientNetV2S",
            {"norm": _norm("batch")},
        ),
    ),
)


def factory_of(family: str, depth: int | None, options: Mapping[str, str]) -> Factory:
    """Return what makes a network of a family.

    Raises:
        BadRequest: an option that it does not have, or a value that the option does not take.
    """
    found = FAMILIES[family]
    allowed = found.options
    settings: dict[str, object] = {} if depth is None else {"depth": depth}
    for option, value in options.items():
        if not allowed:
            raise BadRequest(f"network {family} takes no options, such as {option}={value}")
        if option not in allowed:
            raise unknown("network option", option, allowed)
        values = allowed[option]
        if len(values) > 1:
            if value not in values:
                raise unknown(f"value of network option {option}", value, values)
            settings[option] = value
        else:
            most = MOST_BLOCKS if option == "depth" else _MOST
            settings[option] = whole_number(value, most, f"network option {option}={value}")
    return functools.partial(found.made, **found.settings, **settings)


def whole_number(text: str, most: int, said: str, least: int = 1) -> int:
    """Return a number of blocks, channels or the like.

    Raises:
        BadRequest: it is none, or one that no network has.
    """
    # a longer text is not even turned into a number
    fits = text.isdecimal() and len(text) <= len(str(most))
    if not fits or not least <= int(text) <= most:
        raise BadRequest(f"{said}: a whole number above 0, and at most {most}")
    return int(text)


def rows() -> list[tuple[str, str, str]]:
    """Return name, summary and options of every network by name, for listings."""
    found = []
    for family in FAMILIES.values():
        options = "; ".join(f"{name}={', '.join(given)}" for name, given in family.options.items())
        found.append((family.name + ("N" if family.depth else ""), family.summary, options))
    return [*found, (f"{TIMM}:NAME", "Any network of timm, freshly drawn (extra 'timm')", "")]
