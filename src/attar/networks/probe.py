"""What a user's own module does with images, and what it lacks to be condensed with."""

from __future__ import annotations

import bisect
import copy
import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from attar.errors import BadRequest
from attar.networks.layers import Size
from attar.rng import Key

_IMAGES = 4
# share of features by which images differ where a norm has left nothing of them
_NOTHING = 1e-11
# sides in pixels that are tried to say which one works
SIDES = (8, 16, 28, 32, 48, 64, 96, 128, 160, 192, 224, 256)


def example_images(channels: int, size: Size) -> Tensor:
    """Return four fixed network inputs of noise."""
    return torch.randn(_IMAGES, channels, *size, generator=Key(0).fold("probe").generator())


def shape_text(images: Tensor) -> str:
    """Write the shape of one image."""
    return "×".join(map(str, images.shape[1:]))


def layer(name: str, module: nn.Module) -> str:
    """Return how messages call a part of a module."""
    kind = type(module).__name__
    return f"layer {name!r} ({kind})" if name else f"{kind} itself"


def scores_of(module: nn.Module, images: Tensor, said: str) -> Any:
    """Return what a module makes of images, without gradients.

    Raises:
        BadRequest: it fails; quotes the error and names an image size that works.
    """
    try:
        with torch.no_grad():
            return module(images)
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        raise BadRequest(
            f"{said} fails on images of C×H×W = {shape_text(images)} "
            f"({type(error).__name__}: {first}); {_what_works(module, images)}"
        ) from error


def last_linear(module: nn.Module, images: Tensor, classes: int, said: str) -> str:
    """Return the path of the linear layer whose output the module returns.

    Raises:
        BadRequest: there is none, or its outputs are not one for each class.
    """
    module = copy.deepcopy(module).eval()
    calls: list[tuple[str, nn.Module, Any]] = []

    def note(name: str) -> Callable[[nn.Module, Any, Any], None]:
        return lambda part, _, output: calls.append((name, part, output))

    for name, part in module.named_modules():
        if name:
            part.register_forward_hook(note(name))
    scores = scores_of(module, images, said)
    if not isinstance(scores, Tensor):
        raise BadRequest(f"{said} returns {type(scores).__name__}; return scores, a B×K tensor")
    if scores.ndim != 2 or len(scores) != len(images):
        raise BadRequest(
            f"{said} returns {'×'.join(map(str, scores.shape)) or 'one number'} for "
            f"{len(images)} images; return "
            f"B×K scores, here {len(images)}×{classes}"
        )
    if not bool(scores.isfinite().all()):
        raise BadRequest(
            f"{said} gives scores that are NaN or infinite on images of C×H×W = "
            f"{shape_text(images)}; {_what_works(module, images)}"
        )
    ends = [(name, part) for name, part, output in calls if output is scores]
    linear = [(name, part) for name, part in ends if isinstance(part, nn.Linear)]
    if not linear:
        raise _not_linear(calls, scores, said)
    path, head = linear[0]
    if scores.shape[1] != classes:
        raise BadRequest(
            f"{said}: its last {layer(path, head)} gives {scores.shape[1]} scores, and the data "
            f"have {classes} classes; build it with {classes} outputs"
        )
    if sum(part is head for _, part, _ in calls) > 1:
        raise BadRequest(
            f"{said}: its last {layer(path, head)} is used more than once; give the scores a "
            "linear layer of their own"
        )
    return path


def _not_linear(calls: list[tuple[str, nn.Module, Any]], scores: Tensor, said: str) -> BadRequest:
    leaves = [call for call in calls if not list(call[1].children())]
    if not leaves:
        return BadRequest(f"{said} calls no layer; return the scores of its last nn.Linear")
    name, part, output = leaves[-1]
    what = "ends in" if output is scores else "changes its scores after its last"
    return BadRequest(
        f"{said} {what} {layer(name, part)}; return the scores of the last nn.Linear as they are"
    )


def _what_works(module: nn.Module, images: Tensor) -> str:
    """Return a sentence with the smallest square image that a module takes, if any."""
    channels = images.shape[1]
    for other, side in itertools.product(dict.fromkeys((channels, 3, 1)), SIDES):
        try:
            with torch.no_grad():
                scores = copy.deepcopy(module)(images.new_zeros(2, other, side, side))
        except Exception:  # whatever it is, this size does not work
            continue
        if not bool(torch.as_tensor(scores).isfinite().all()):
            continue
        if other == channels:
            return f"it works from {side}×{side} on: resize images to that, or change the module"
        return f"it takes images of {other} channels, not {channels}: change the module"
    return "change the module to take them"


def features_vary(module: nn.Module, images: Tensor) -> bool:
    """Tell whether the features of a module depend on the images; True where that is not known.

    A norm of single values leaves nothing but its bias. That is looked at in double precision,
    since in single precision what rounding leaves behind such a norm is not small.

    Args:
        module: with ``embed``.
        images: B×C×H×W network inputs, all different.
    """
    try:
        with torch.no_grad():
            double: Any = copy.deepcopy(module).double()
            features = double.embed(images.double())
    except Exception:  # it may hold constants of single precision
        return True
    spread = (features - features[:1]).abs().max()
    return bool(spread > _NOTHING * features.abs().max().clamp(min=1))


def smallest_side(works: Callable[[int], bool], above: int) -> int | None:
    """Return the smallest side in pixels above one that does not work; None if none is found."""
    least = next((side for side in SIDES if side > above and works(side)), None)
    if least is None:
        return None
    between = range(above + 1, least + 1)
    return between[bisect.bisect_left(between, True, key=works)]
