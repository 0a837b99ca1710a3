"""SRe2L's loss, slow and literal, in float64 (Yin et al. 2023, and their code)."""

import torch
from torch import Tensor, nn


def loss(module: nn.Module, images: Tensor, labels: Tensor, bn: float, first: float) -> Tensor:
    """Return cross-entropy and the distance of statistics of every batch normalization.

    Args:
        module: in evaluation mode, in float64.
        images: as the module sees them.
        labels: class indices.
        bn: weight of all distances.
        first: of the first of them.
    """
    seen: list[tuple[nn.BatchNorm2d, Tensor]] = []
    hooks = [
        part.register_forward_hook(lambda own, given, _: seen.append((own, given[0])))
        for part in module.modules()
        if isinstance(part, nn.BatchNorm2d)
    ]
    scores = module(images)
    for hook in hooks:
        hook.remove()
    total = torch.zeros((), dtype=torch.float64)
    for number, (own, maps) in enumerate(seen):
        by_channel = maps.transpose(0, 1).flatten(1)
        mean = by_channel.mean(1)
        variance = (by_channel - mean[:, None]).square().mean(1)
        assert own.running_mean is not None and own.running_var is not None
        apart = (own.running_var - variance).square().sum().sqrt()
        apart = apart + (own.running_mean - mean).square().sum().sqrt()
        total = total + apart * (first if number == 0 else 1.0)
    picked = scores.log_softmax(1)[torch.arange(len(labels)), labels]
    return -picked.mean() + bn * total
