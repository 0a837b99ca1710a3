"""Networks of timm by their names there: ``timm:NAME``, freshly drawn, never pretrained."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from attar.errors import BadRequest
from attar.networks import probe
from attar.networks.families import TIMM
from attar.networks.layers import Size
from attar.networks.own import as_network
from attar.networks.registry import Network
from attar.networks.weight import check_fits, without_memory
from attar.rng import Key


class NeedsWeights(BadRequest):
    """This timm tells the shapes of a network with its weights alone."""


def build(name: str, channels: int, size: Size, classes: int) -> Network:
    """Return timm's network ``name``, with weights drawn as timm draws them.

    Where it is made for one image size, as vision transformers are, it is made for this one.

    Args:
        name: as timm lists it, without the tag of pretrained weights.
        channels: of the images.
        size: height and width in pixels.
        classes: number of classes.

    Raises:
        BadRequest: timm is not installed, does not know the name, or its network cannot be
            condensed with or trained: see `from_module`.
    """
    said = f"network {TIMM}:{name}"
    timm = _known(name, said)
    settings: dict[str, Any] = {"in_chans": channels, "num_classes": classes}
    sized = settings | _sized(timm, name, size)
    _check_fits(functools.partial(timm.create_model, name, **sized), said)
    if sized != settings:
        _check_size(functools.partial(timm.create_model, name, **settings), channels, size, said)
        settings = sized

    def made() -> nn.Module:
        return timm.create_model(name, pretrained=False, **settings)

    return as_network(made, channels, size, classes, said, f"{TIMM}:{name}")


def check_name(name: str) -> None:
    """Refuse a name that timm does not know.

    Raises:
        BadRequest: it does not, or is not installed.
    """
    _known(name, f"network {TIMM}:{name}")


def outlined(name: str, channels: int, size: Size, classes: int) -> nn.Module:
    """Return timm's network ``name`` with shapes in place of values, in next to no memory.

    Raises:
        NeedsWeights: it cannot be had so from this timm.
        BadRequest: timm is not installed, does not know the name, or cannot make such a network
            for images of this size.
    """
    said = f"network {TIMM}:{name}"
    timm = _known(name, said)
    settings = {"in_chans": channels, "num_classes": classes, **_sized(timm, name, size)}
    try:
        return without_memory(functools.partial(timm.create_model, name, **settings))
    except Exception as error:  # whatever it is, there is no such network
        if "meta tensors" in str(error):
            # transformers of timm 1.0.12 ask for values as they are built
            raise NeedsWeights(
                f"{said}: timm {timm.__version__} cannot tell its shapes without its weights; "
                "install a newer timm"
            ) from error
        raise BadRequest(
            f"{said} cannot be made for images of {size[0]}×{size[1]} ({error})"
        ) from error


def _known(name: str, said: str) -> Any:
    """Return timm, which knows the name.

    Raises:
        BadRequest: it does not, or is not installed.
    """
    timm = _imported(said)
    architecture, _, tag = name.partition(".")
    if tag:
        raise BadRequest(
            f"{said}: {tag!r} names pretrained weights, and networks are drawn at random; give "
            f"{TIMM}:{architecture}"
        )
    if not timm.is_model(name):
        known = timm.list_models()
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f" (did you mean {' or '.join(f'{TIMM}:{one}' for one in near)}?)" if near else ""
        raise BadRequest(
            f"{said}: timm {timm.__version__} has no network of this name{hint}; "
            f"timm.list_models() gives its {len(known)}"
        )
    return timm


def _sized(timm: Any, name: str, size: Size) -> dict[str, Any]:
    """Return the image size for a network that is made for one."""
    pretrained = timm.get_pretrained_cfg(name)
    return {"img_size": size} if pretrained is not None and pretrained.fixed_input_size else {}


def _check_fits(create: Callable[[], nn.Module], said: str) -> None:
    """Refuse a network that there is no memory for."""
    try:
        module = without_memory(create)
    except Exception:  # such as for a size that it cannot be made for, which is told elsewhere
        return
    check_fits(module, said)


def _check_size(create: Callable[..., nn.Module], channels: int, size: Size, said: str) -> None:
    """Refuse a size that a network cannot be made for, with the smallest square that works."""

    def works(size: Size) -> bool:
        try:
            with torch.no_grad(), Key(0).fold("timm").seeding_global():
                create(img_size=size).eval()(torch.zeros(1, channels, *size))
        except Exception:  # whatever it is, this size does not work
            return False
        return True

    if works(size):
        return
    least = next((side for side in probe.SIDES if works((side, side))), None)
    next_step = "give another network"
    if least is not None:
        next_step = f"{least}×{least} works: give --resize {least}, or another network"
    raise BadRequest(f"{said} cannot be made for images of {size[0]}×{size[1]}; {next_step}")


def _imported(said: str) -> Any:
    try:
        import timm
    except ImportError as error:
        raise BadRequest(f"{said} needs timm: pip install 'attar[timm]'") from error
    return timm
