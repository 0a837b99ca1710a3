"""How a user's own module is drawn anew: by resetting a copy, or by calling a function."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from attar.errors import BadRequest
from attar.networks import probe
from attar.options import described
from attar.rng import Key

# draws from PyTorch's global generator
Draw = Callable[[], nn.Module]

_RESETS = ("reset_parameters", "_reset_parameters")


def from_instance(module: nn.Module, images: Tensor, said: str) -> Draw:
    """Return what copies a module and initialises the copy.

    Args:
        module: left as it is.
        images: B×C×H×W network inputs, for lazy layers.
        said: what messages begin with.

    Raises:
        BadRequest: it cannot be copied, or has a parameter that nothing initialises.
    """
    try:
        template = copy.deepcopy(module)
    except Exception as error:
        raise BadRequest(
            f"{said} cannot be copied ({error}); give a function that returns a new module, "
            "such as the class"
        ) from error
    template = _settled(template, images, said)
    template.zero_grad(set_to_none=True)

    def draw() -> nn.Module:
        drawn = copy.deepcopy(template)
        _reset(drawn, said)
        return drawn.train()

    _refuse_kept_parameters(template, said)
    return draw


def from_function(function: Callable[[], nn.Module], images: Tensor, said: str) -> Draw:
    """Return what calls a function for a new module.

    Args:
        function: takes no arguments.
        images: B×C×H×W network inputs, for lazy layers.
        said: what messages begin with.

    Raises:
        BadRequest: it fails, or gives no module, or the same one again.
    """

    def made() -> nn.Module:
        try:
            drawn = function()
        except BadRequest:
            raise
        except Exception as error:
            raise BadRequest(
                f"{said} fails when it is called without arguments "
                f"({type(error).__name__}: {error}); give a module, or a function without "
                f"arguments that returns a new one, such as lambda: {described(function)}(...)"
            ) from error
        if not isinstance(drawn, nn.Module):
            raise BadRequest(
                f"{said} returns {type(drawn).__name__}, no nn.Module; give a module, or a "
                "function that returns a new one"
            )
        return drawn

    def draw() -> nn.Module:
        return _settled(made(), images, said).train()

    # before either is changed
    _refuse_shared(made(), made(), said)
    return draw


def _settled(module: nn.Module, images: Tensor, said: str) -> nn.Module:
    """Return a module in float32 on the CPU, its lazy layers made for the images."""
    module = module.to("cpu")
    if any(nn.parameter.is_lazy(one) for one in (*module.parameters(), *module.buffers())):
        probe.scores_of(module.eval(), images, said)
    return module.to(torch.float32)


def _reset(module: nn.Module, said: str) -> None:
    """Initialise all parameters by their owners' methods, children before their parents."""
    named = list(module.named_modules())
    with torch.no_grad():
        for name, owner in reversed(named):
            found = (getattr(owner, reset, None) for reset in _RESETS)
            reset = next((method for method in found if callable(method)), None)
            try:
                if reset is not None:
                    reset()
            except Exception as error:
                raise BadRequest(
                    f"{said}: the reset_parameters() of {probe.layer(name, owner)} fails "
                    f"({type(error).__name__}: {error}); make it work without arguments, or give "
                    "a function that returns a new module"
                ) from error


def _refuse_kept_parameters(template: nn.Module, said: str) -> None:
    """Refuse parameters that no ``reset_parameters()`` fills."""
    drawn = copy.deepcopy(template)
    with torch.no_grad():
        for parameter in drawn.parameters():
            if parameter.is_floating_point():
                parameter.fill_(float("nan"))
    _reset(drawn, said)
    for owner_name, owner in drawn.named_modules():
        for name, parameter in owner.named_parameters(recurse=False):
            if bool(parameter.isnan().any()):
                raise BadRequest(
                    f"{said}: parameter {name!r} of {probe.layer(owner_name, owner)} cannot be "
                    f"drawn anew; give {type(owner).__name__} a method reset_parameters() that "
                    "fills it, or give a function that returns a new module, such as the class"
                )


def check_drawing(draw: Draw, said: str) -> None:
    """Refuse a module whose weights do not follow from the key, or not from it alone."""
    drawn = []
    for number in (0, 0, 1):
        with Key(number).fold("probe").seeding_global():
            drawn.append(draw())
    one, same, other = ({n: p.detach() for n, p in m.named_parameters()} for m in drawn)
    if repr(drawn[0]) != repr(drawn[1]) or not _equal(one, same):
        raise BadRequest(
            f"{said} is another network each time under one seed; draw its weights from PyTorch's "
            "global generator and nothing else"
        )
    if one and _equal(one, other):
        raise BadRequest(
            f"{said} has the same weights each time; networks are drawn at random, so return "
            "freshly initialised, not pretrained ones"
        )


def _refuse_shared(one: nn.Module, other: nn.Module, said: str) -> None:
    """Refuse a function whose modules have parameters in common."""
    if {id(p) for p in one.parameters()} & {id(p) for p in other.parameters()}:
        raise BadRequest(
            f"{said} returns the same module each time; give the module itself, or a function "
            "that makes a new one"
        )


def _equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)
