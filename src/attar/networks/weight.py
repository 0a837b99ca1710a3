"""What a network weighs, before one is made: a name alone can ask for any amount of memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from attar.budget import format_bytes
from attar.capacity import check_memory
from attar.errors import BadRequest
from attar.shapes import Shape

# the weights and their gradients; every method and every training keeps more
_COPIES = 2


def without_memory(make: Callable[[], nn.Module]) -> nn.Module:
    """Return a module whose tensors have shapes and nothing else."""
    with torch.device("meta"):
        return make()


def check_fits(module: nn.Module, said: str) -> None:
    """Refuse a network that the machine has no memory for.

    Args:
        module: the network, or one `without_memory`.
        said: how messages call it.

    Raises:
        BadRequest: its weights and their gradients alone are more than there is.
    """
    check_memory(_COPIES * bytes_of(module), _described(module, said), "give a smaller network")


def activation_bytes(given: Sequence[Tensor]) -> int:
    """Return about what the graph of one image takes: all that layers give, and their gradients.

    Args:
        given: as `given_by` returns it.
    """
    return _COPIES * sum(one.numel() * one.element_size() for one in given)


def values_of_layer(given: Sequence[Tensor]) -> float:
    """Return how many values a layer gives of an image, the mean over all of them.

    Args:
        given: as `given_by` returns it.
    """
    return sum(one.numel() for one in given) / max(len(given), 1)


@torch.no_grad()
def given_by(module: nn.Module, shape: Shape) -> list[Tensor]:
    """Return what the layers give of one black image, without its values.

    Args:
        module: the network, in evaluation mode.
        shape: of the image.
    """
    found: list[Tensor] = []

    def note(_: nn.Module, given: object, output: object) -> None:
        if isinstance(output, Tensor):
            found.append(output.to("meta"))

    leaves = [part for part in module.modules() if not list(part.children())]
    hooks = [part.register_forward_hook(note) for part in leaves]
    module(torch.zeros(1, *shape, device=next(module.parameters()).device))
    for hook in hooks:
        hook.remove()
    return found


def check_device(module: nn.Module, device: str | torch.device, said: str) -> None:
    """Refuse a network that a GPU has no memory for, as `check_fits` does."""
    place = torch.device(device)
    if place.type != "cuda":
        return
    # memory that PyTorch keeps is not free, and is there for this all the same
    _, there = torch.cuda.mem_get_info(place)
    needed = _COPIES * bytes_of(module)
    if needed > there:
        raise BadRequest(
            f"{_described(module, said)} would take {format_bytes(needed)} of the memory of "
            f"{place}, which has {format_bytes(there)}; give a smaller network"
        )


def bytes_of(module: nn.Module) -> int:
    """Return what parameters and buffers take."""
    tensors = itertools.chain(module.parameters(), module.buffers())
    return sum(one.numel() * one.element_size() for one in tensors)


def _described(module: nn.Module, said: str) -> str:
    count = sum(one.numel() for one in module.parameters())
    return f"{said} of {count:,} parameters, with their gradients,"
