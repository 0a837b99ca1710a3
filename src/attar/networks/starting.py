"""Networks that begin with all their weights at work.

Some networks begin as if parts of them were not there: the last norm of every residual branch has
a scale of zero (``zero_init_last`` of timm, ``zero_init_residual`` of torchvision), a gain behind
it is zero or as good as zero (SkipInit, ReZero, layer scales), or the last linear layer is. That
serves training, which soon moves the scales. It leaves most weights of a freshly drawn network a
gradient of exactly zero, and who matches gradients there matches nothing.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor, nn

from attar.networks.families import TIMM
from attar.networks.layers import Size
from attar.networks.registry import Network

_NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)
_LINEAR = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
# how timm 1.0.31 names the gains of branches; other parameters of zeros are added, not multiplied
_GAINS = frozenset(
    {
        "gain",
        "skipinit_gain",
        "gamma",
        "gamma_1",
        "gamma_2",
        "gamma_3",
        "gamma_xca",
        "layer_scale",
        "layer_scale_1",
        "layer_scale_2",
        "ls1",
        "ls2",
        "scale",
    }
)
# layer scales begin between 1e-6 and 1e-4; what is matched behind one is as good as zero
_SILENT = 1e-2


def opened(network: Network) -> Network:
    """Return a network of timm whose modules are drawn without a silent start; others as they are.

    What a user's own module begins with is the user's choice.
    """
    if network.name.partition(":")[0] != TIMM:
        return network
    made = network.factory

    def factory(channels: int, size: Size, classes: int) -> nn.Module:
        module = made(channels, size, classes)
        open_branches(module)
        return module

    return dataclasses.replace(network, factory=factory)


@torch.no_grad()
def open_branches(module: nn.Module) -> list[str]:
    """Give norms and gains that begin at zero a scale of one, and linear layers of zeros weights.

    For scales of norms that is what timm's ``zero_init_last=False`` gives. Gains and layer scales
    of up to a hundredth, all alike, count as zero.

    Args:
        module: freshly drawn; changed in place. Linear layers are drawn as PyTorch draws them,
            from the global generator.

    Returns:
        The names of the parameters that were changed.
    """
    changed = []
    for place, owner in module.named_modules():
        for name, parameter in owner.named_parameters(recurse=False):
            if name == "weight" and isinstance(owner, _LINEAR) and not parameter.any():
                nn.init.kaiming_uniform_(parameter, a=math.sqrt(5))
            elif _is_closed(owner, name, parameter):
                parameter.fill_(1.0)
            else:
                continue
            changed.append(f"{place}.{name}" if place else name)
    return changed


def _is_closed(owner: nn.Module, name: str, parameter: Tensor) -> bool:
    if name == "weight":
        return isinstance(owner, _NORMS) and not bool(parameter.any())
    if name not in _GAINS:
        return False
    first = parameter.flatten()[0]
    return bool(first.abs() <= _SILENT) and bool((parameter == first).all())
