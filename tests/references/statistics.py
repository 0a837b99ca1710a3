"""SRe2L's loss, slow and literal, in float64 (Yin et al. 2023, and their code)."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional


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


def seen_by_norms(module: nn.Module, images: Tensor) -> Iterator[tuple[nn.BatchNorm2d, Tensor]]:
    """Yield every batch normalization of a module with the maps that it is given."""
    seen: list[tuple[nn.BatchNorm2d, Tensor]] = []
    hooks = [
        part.register_forward_hook(lambda own, given, _: seen.append((own, given[0])))
        for part in module.modules()
        if isinstance(part, nn.BatchNorm2d)
    ]
    module(images)
    for hook in hooks:
        hook.remove()
    yield from seen


def of_classes(
    module: nn.Module, real: Tensor, labels: Tensor, classes: Tensor
) -> list[tuple[Tensor, Tensor]]:
    """Return mean and variance of every layer that EDC compares images of some classes with.

    Of each class the mean, over its real images, of mean and variance of one image over its places;
    of these the mean over the classes of the images.
    """
    found = []
    for _, maps in seen_by_norms(module, real):
        flat = maps.flatten(2)
        means, spreads = flat.mean(2), (flat - flat.mean(2, keepdim=True)).square().mean(2)
        own = [(means[labels == one].mean(0), spreads[labels == one].mean(0)) for one in classes]
        mean, spread = (torch.stack(each).mean(0) for each in zip(*own, strict=True))
        found.append((mean, spread))
    return found


def edc(
    module: nn.Module,
    images: Tensor,
    labels: Tensor,
    weights: tuple[float, float, float, float, float],
    before: list[tuple[Tensor, Tensor]],
    wanted: list[tuple[Tensor, Tensor]],
    running: Tensor,
) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """Return EDC's loss of a group (Shao et al. 2024, and their code), and what it carries on.

    Args:
        module: in evaluation mode, in float64.
        images: as the module sees them.
        labels: class indices.
        weights: of all distances, of the first of them, of the classes in them, of earlier steps
            in the statistics, and of flatness.
        before: mean and variance of every layer that earlier steps left; empty at the first one.
        wanted: mean and variance of every layer for the classes.
        running: running means of the images.
    """
    bn, first, share, carry, flat = weights
    total, left = torch.zeros((), dtype=torch.float64), []
    for number, (own, maps) in enumerate(seen_by_norms(module, images)):
        by_channel = maps.transpose(0, 1).flatten(1)
        mean, variance = by_channel.mean(1), by_channel.var(1, correction=0)
        if before:
            earlier_mean, earlier_variance = before[number]
            mean = mean - (carry * (mean - earlier_mean)).detach()
            variance = variance - (carry * (variance - earlier_variance)).detach()
        left.append((mean.detach(), variance.detach()))
        assert own.running_mean is not None and own.running_var is not None
        apart = (1 - share) * (
            (own.running_var - variance).square().sum().sqrt()
            + (own.running_mean - mean).square().sum().sqrt()
        )
        apart = apart + share * (
            (wanted[number][1] - variance).square().sum().sqrt()
            + (wanted[number][0] - mean).square().sum().sqrt()
        )
        total = total + apart * (first if number == 0 else 1.0)
    scores = module(images)
    said = (scores / 4).softmax(1)
    earlier = (module(running) / 4).softmax(1).detach()
    divergence = (earlier * (earlier.log() - said.log())).mean()
    return functional.cross_entropy(scores, labels) + bn * total + flat * divergence, left
