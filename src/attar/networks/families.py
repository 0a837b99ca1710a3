"""The networks that have names, and the options that each takes.

A family is a class (or a partial of one) that is called with channels, size and classes. Its
other parameters are its options: an ``int`` takes a whole number, a ``Literal`` one of its
values. One that takes ``depth`` has it behind its name, as in ``convnet3``.
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping

from torch import nn

from attar.errors import BadRequest, unknown
from attar.networks.convnet import ConvNet
from attar.networks.densenet import DenseNet121
from attar.networks.efficientnet import EfficientNetV2S
from attar.networks.freponet import FRePoNet
from attar.networks.layers import Size
from attar.networks.plain import MLP, VGG11, AlexNet, LeNet
from attar.networks.resnet import ResNet

# from channels, (height, width) and classes to a module with `embed`
Factory = Callable[[int, Size, int], nn.Module]

FAMILIES: dict[str, Callable[..., nn.Module]] = {
    "convnet": ConvNet,
    "frepo": FRePoNet,
    "mlp": MLP,
    "lenet": LeNet,
    "alexnet": AlexNet,
    "vgg11": VGG11,
    "resnet10": functools.partial(ResNet, blocks=(1, 1, 1, 1)),
    "resnet18": functools.partial(ResNet, blocks=(2, 2, 2, 2)),
    "densenet121": DenseNet121,
    "efficientnetv2s": EfficientNetV2S,
}
# every block is made, even where nothing is computed; a number of channels costs nothing by itself
MOST_BLOCKS, _MOST = 1000, 10**6
_GIVEN = ("channels", "size", "classes")


def options_of(family: str) -> dict[str, tuple[str, ...]]:
    """Return the options of a family: the values of each, the default first.

    An option that takes a whole number has its default alone.
    """
    made, given = _class_of(family), _settings_of(family)
    annotations = typing.get_type_hints(made.__init__)
    options = {}
    for name, parameter in inspect.signature(made).parameters.items():
        if name in (*_GIVEN, "depth", *given):
            continue
        default = str(parameter.default)
        values = typing.get_args(annotations[name])
        options[name] = (default, *(value for value in values if value != default))
    return options


def has_depth(family: str) -> bool:
    """Whether a number behind the family's name says how many blocks there are."""
    return "depth" in inspect.signature(_class_of(family)).parameters


def factory_of(family: str, depth: int | None, options: Mapping[str, str]) -> Factory:
    """Return what makes a network of a family.

    Raises:
        BadRequest: an option that it does not have, or a value that the option does not take.
    """
    allowed = options_of(family)
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
            settings[option] = whole_number(value, _MOST, f"network option {option}={value}")
    return functools.partial(FAMILIES[family], **settings)


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
    """Return name, summary and options of every family, for listings."""
    found = []
    for family in FAMILIES:
        said = (_class_of(family).__doc__ or "").strip().splitlines()[0].rstrip(".")
        options = "; ".join(
            f"{name}={', '.join(values)}" for name, values in options_of(family).items()
        )
        found.append((family + ("N" if has_depth(family) else ""), said, options))
    return found


def _class_of(family: str) -> Callable[..., nn.Module]:
    made = FAMILIES[family]
    return made.func if isinstance(made, functools.partial) else made


def _settings_of(family: str) -> Mapping[str, object]:
    made = FAMILIES[family]
    return made.keywords if isinstance(made, functools.partial) else {}
