"""A teacher that tells how far a batch is from what its batch normalizations keep.

Shape letters: B images, C channels of a layer, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from attar.capacity import check_memory, spare_memory
from attar.errors import BadRequest
from attar.networks.weight import activation_bytes, given_by
from attar.objectives.aims import NORMS, Aims
from attar.teachers.teacher import Teacher

# of the memory that is left, the graph of a group may take this part of; on a GPU nobody asks
_SHARE, _ANY = 2, 2**62


class Squeezed:
    """A teacher that tells how far the statistics of a batch are from those that it kept.

    Args:
        teacher: with batch normalization.
        sharing: processes at most that share the memory of this machine, each with a teacher.

    Raises:
        BadRequest: it has none.
    """

    def __init__(self, teacher: Teacher, sharing: int = 1) -> None:
        self.teacher = teacher
        module = teacher.module()
        self._norms = [part for part in module.modules() if isinstance(part, NORMS)]
        if not self._norms or any(one.running_mean is None for one in self._norms):
            raise no_norm(teacher.network.name, "--teacher")
        self._module = module
        self._moments: list[Tensor] = []
        network, compute = teacher.network, teacher.compute
        each = activation_bytes(given_by(module, (network.channels, *network.size)))
        # images whose graph is kept at once
        there = spare_memory() if compute.device.type == "cpu" else _ANY
        self.most = max(1, min(compute.graph_chunk, there // (_SHARE * sharing * max(1, each))))
        check_memory(
            each if compute.device.type == "cpu" else 0,
            f"the graph of one image in {network.name}",
            "give a smaller network, or smaller images (--resize)",
        )
        for norm in self._norms:
            norm.register_forward_pre_hook(self._note)

    def __call__(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return scores (B×K) of network inputs, and 2×C moments of what every layer is given.

        These are means of the values and of their squares over images and places, so those of all
        images are the means of those of parts.
        """
        self._moments = []
        compute = self.teacher.compute
        with compute.autocast():
            scores = self._module(compute.lay_out(self.teacher.seen(images)))
        found, self._moments = self._moments, []
        return scores.float(), found

    def distances(self, moments: Sequence[Tensor], aims: Aims) -> list[Tensor]:
        """Return ‖μ − μ̂‖ + ‖σ² − σ̂²‖ of every layer."""
        found = []
        for layer, (norm, own) in enumerate(zip(self._norms, moments, strict=True)):
            assert norm.running_var is not None
            there = aims.carried(layer, spread(own))
            found.append(aims.distance(layer, there, norm.running_var))
        return found

    def _note(self, norm: nn.Module, given: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, NORMS)
        assert norm.running_mean is not None
        # what `apply` returns is not typed
        found: Any = _Moments.apply(given[0], norm.running_mean)
        self._moments.append(found)


def spread(moments: Tensor) -> Tensor:
    """Return mean and variance, 2×C, of the mean of values and of their squares.

    Both are about the mean that the layer kept, so that nothing cancels.
    """
    mean, square = moments
    return torch.stack([mean, square - mean.square()])


class _Moments(torch.autograd.Function):
    """Means of x − c and of its square over all axes but that of channels, 2×C in float32.

    A pass over the maps for each, and one for the gradient, ∂x = (a + 2·b·(x − c)) / n;
    `torch.var_mean` takes ten times as long over several axes (torch 2.15 on a CPU).
    """

    @staticmethod
    def forward(ctx: Any, maps: Tensor, centre: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the moments of B×C×… maps about a centre of each channel."""
        ctx.save_for_backward(maps, centre)
        apart = maps.float() - _of_channels(centre, maps)
        axes = [axis for axis in range(maps.ndim) if axis != 1]
        return torch.stack([apart.mean(axes), apart.square_().mean(axes)])

    @staticmethod
    def backward(ctx: Any, slopes: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the slopes of the maps."""
        maps, centre = ctx.saved_tensors
        first, second = slopes * (maps.shape[1] / maps.numel())
        second = 2 * second
        shift = _of_channels(first - second * centre, maps)
        found = torch.addcmul(shift, maps.float(), _of_channels(second, maps))
        return found.to(maps.dtype), None


def _of_channels(values: Tensor, maps: Tensor) -> Tensor:
    return values.view(1, -1, *(1 for _ in maps.shape[2:]))


def no_norm(network: str, option: str) -> BadRequest:
    """Return the refusal of a network without batch normalization."""
    return BadRequest(
        f"the objective 'statistics' matches what batch normalization keeps, and {network} has "
        f"none; choose a network that has, such as {option} convnet3:norm=batch or resnet18:"
        "norm=batch"
    )
