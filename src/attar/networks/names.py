"""Networks by name: ``convnet3``, or with options ``convnet3:width=64,norm=batch``."""

from __future__ import annotations

import bisect
import re

from torch import nn

from attar.data.modality import rows_of
from attar.errors import BadRequest, unknown
from attar.networks import from_timm
from attar.networks.families import FAMILIES, MOST_BLOCKS, TIMM, factory_of, whole_number
from attar.networks.layers import Size, TooSmall
from attar.networks.own import Own, from_module
from attar.networks.paper_names import in_our_words
from attar.networks.registry import OWN, Factory, Network
from attar.networks.weight import check_fits, without_memory
from attar.shapes import Shape, is_picture, sides

# the largest side in pixels that is tried where one is too small
_LARGEST = 1024


def make(given: str | Network | Own, channels: int, size: Size, classes: int) -> Network:
    """Return the network that a name, a module or a function stands for.

    Raises:
        BadRequest: as `build` and `from_module` do.
    """
    if isinstance(given, Network):
        return given
    if isinstance(given, str):
        return build(given, channels, size, classes)
    return from_module(given, channels, size, classes)


def make_for(given: str | Network | Own, shape: Shape, classes: int) -> Network:
    """Return the network that a name, a module or a function stands for, for rows of a shape.

    Raises:
        BadRequest: as `make` does.
    """
    return make(given, shape[0], sides(shape), classes)


def outlined_for(name: str, shape: Shape, classes: int) -> nn.Module:
    """Return a network with shapes in place of values, however large its name asks it to be.

    Args:
        name: as `build` takes it, from where it is not trusted, such as the header of a file.
        shape: of an image.
        classes: number of classes.

    Raises:
        NeedsWeights: as `attar.networks.from_timm.outlined` does.
        BadRequest: as `build` does.
    """
    head, colon, tail = in_our_words(name).partition(":")
    if head == TIMM and colon and is_picture(shape):
        return from_timm.outlined(tail, shape[0], sides(shape), classes)
    network = build(name, shape[0], sides(shape), classes)
    return _try(network.factory, network.channels, network.size, classes)


def build(name: str, channels: int, size: Size, classes: int) -> Network:
    """Return the network called ``name`` for images of this size.

    Args:
        name: family and options, such as ``resnet18``, ``convnet3`` or ``convnet4:norm=batch``;
            ``timm:NAME``; or a name of the papers, such as ``ConvNetBN``.
        channels: of the images.
        size: height and width in pixels; empty for vectors, whose values are the channels.
        classes: number of classes.

    Raises:
        BadRequest: an unknown name or option, a network that these images are too small for
            (says the smallest square that works), or one that there is no memory for.
    """
    name = in_our_words(name)
    head, colon, tail = name.partition(":")
    _refuse_own(name, head)
    if not is_picture((channels, *size)) and not (head in FAMILIES and FAMILIES[head].any_shape):
        _refuse_no_pictures(name, head, (channels, *size))
    if head == TIMM and colon:
        return from_timm.build(tail, channels, size, classes)
    family, depth = _parsed(head)
    options = _options(name, head, tail)
    factory = factory_of(family, depth, options)
    try:
        check_fits(_try(factory, channels, size, classes), f"network {name!r}")
    except TooSmall:
        raise _too_small(name, family, depth, options, (channels, size, classes)) from None
    except RuntimeError as error:
        raise BadRequest(f"network {name!r} cannot be built: {error}") from error
    return Network(name, factory, channels, size, classes)


def check_name(name: str) -> None:
    """Refuse a name that stands for no network, whatever the images are.

    Args:
        name: as `build` takes it.

    Raises:
        BadRequest: an unknown name or option.
    """
    name = in_our_words(name)
    head, colon, tail = name.partition(":")
    _refuse_own(name, head)
    if head == TIMM and colon:
        from_timm.check_name(tail)
    else:
        factory_of(*_parsed(head), _options(name, head, tail))


def _refuse_own(name: str, head: str) -> None:
    if head == OWN:
        raise BadRequest(
            f"network {name!r} is a module given from Python; give the module itself there, or a "
            "name such as convnet3"
        )


def _options(name: str, head: str, tail: str) -> dict[str, str]:
    """Return the options of a name, which stand behind the colon."""
    if ":" in tail:
        commas = f"{head}:{tail.replace(':', ',')}"
        raise BadRequest(f"network {name!r}: options have commas between them, as in {commas}")
    options = dict[str, str]()
    for part in filter(None, tail.split(",")):
        option, equals, value = part.partition("=")
        if not equals:
            raise BadRequest(f"network {name!r}: write options as option=value, not {part!r}")
        if option in options:
            raise BadRequest(f"network {name!r}: option {option!r} stands twice")
        options[option] = value
    return options


def _refuse_no_pictures(name: str, head: str, shape: Shape) -> None:
    """Refuse a network of pictures for other rows, or a name that is none."""
    if head != TIMM:
        _parsed(head)
    able = " or ".join(one.name for one in FAMILIES.values() if one.any_shape)
    raise BadRequest(
        f"network {name!r} takes images with a height and a width, and these are "
        f"{rows_of(shape)}; choose {able}, or from Python a module of your own"
    )


def _parsed(head: str) -> tuple[str, int | None]:
    """Return family and depth of a name without options."""
    found = re.fullmatch(r"(\w+?)(\d+)", head)
    # packages of others are looked at last
    for families in (FAMILIES.own, FAMILIES):
        if head in families and not families[head].depth:
            return head, None
        if found is not None and found[1] in families and families[found[1]].depth:
            # of no blocks at all a network itself says what the least is
            return found[1], whole_number(found[2], MOST_BLOCKS, f"network {head!r}: the depth", 0)
    known = [f"{one.name}3" if one.depth else one.name for one in FAMILIES.values()]
    raise unknown("network", head, [*known, f"{TIMM}:NAME"])


def _try(factory: Factory, channels: int, size: Size, classes: int) -> nn.Module:
    """Make a network without memory or arithmetic."""
    return without_memory(lambda: factory(channels, size, classes))


def _too_small(
    name: str,
    family: str,
    depth: int | None,
    options: dict[str, str],
    given: tuple[int, Size, int],
) -> BadRequest:
    """Return the refusal of a size, with the smallest square that works."""
    channels, size, classes = given

    def works(side: int, **others: str) -> bool:
        try:
            _try(factory_of(family, depth, options | others), channels, (side, side), classes)
        except BadRequest:
            return False
        return True

    said = f"network {name!r} cannot take images of {size[0]}×{size[1]}"
    least = 1 + bisect.bisect_left(range(1, _LARGEST + 1), True, key=works)
    if least > _LARGEST:
        return BadRequest(f"{said}, nor of any size up to {_LARGEST}×{_LARGEST}")
    hint = ""
    if "norm" in FAMILIES[family].options and works(min(size), norm="group"):
        hint = "; with norm=group, layer or none it takes these"
    return BadRequest(
        f"{said}: it needs {least}×{least} or more; give --resize {least}, or another network{hint}"
    )
