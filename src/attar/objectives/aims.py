"""What the statistics of a group of images are to come to: a teacher's own, and those of classes.

Source: Shao et al., Elucidating the Design Space of Dataset Condensation (EDC), 2024, and their
code. It carries the statistics of earlier steps on, and matches beside the running statistics of a
layer the mean, over the images of a group, of those that the real images of their class have.

Shape letters: L layers, C channels of a layer, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from attar.data.images import LabelledImages
from attar.teachers.teacher import Teacher

NORMS = nn.modules.batchnorm._BatchNorm

# scores are divided by it where those of an image and of its running mean are compared
TEMPERATURE = 4.0


@dataclass(frozen=True)
class Aims:
    """What statistics of a group are compared with, and what earlier steps leave of theirs.

    Means are about those that a layer kept.

    Args:
        share: of the statistics of classes in the distance; the rest is the layer's own.
        classes: 2×C of every layer: mean and variance that the group's classes have.
        carry: the share of earlier steps in the statistics; their gradient is this step's alone.
        before: 2×C of every layer, as earlier steps left them; empty at the first one.
    """

    share: float = 0.0
    classes: Sequence[Tensor] = ()
    carry: float = 0.0
    before: Sequence[Tensor] = ()

    def carried(self, layer: int, own: Tensor) -> Tensor:
        """Return statistics, 2×C, with what is carried on of earlier steps."""
        if not self.before:
            return own
        value = self.carry * self.before[layer] + (1 - self.carry) * own.detach()
        return value + (own - own.detach())

    def distance(self, layer: int, own: Tensor, variance: Tensor) -> Tensor:
        """Return how far statistics, 2×C, are from those aimed at, ‖μ − μ̂‖ + ‖σ² − σ̂²‖.

        Args:
            layer: its number.
            own: mean and variance of the group.
            variance: that the layer kept.
        """
        mean, spread = own
        apart = (variance - spread).norm() + mean.norm()
        if not self.share:
            return apart
        wanted = self.classes[layer]
        other = (wanted[1] - spread).norm() + (wanted[0] - mean).norm()
        return (1 - self.share) * apart + self.share * other


def flatness(scores: Tensor, earlier: Tensor) -> Tensor:
    """Return how far scores, B×K, are from those of the running means of the same images.

    The divergence at a temperature, a mean over images and classes, as the authors have it.
    """
    said = (scores / TEMPERATURE).log_softmax(dim=1)
    wanted = (earlier / TEMPERATURE).softmax(dim=1)
    return nn.functional.kl_div(said, wanted, reduction="none").mean()


@torch.no_grad()
def class_statistics(teacher: Teacher, data: LabelledImages) -> list[Tensor]:
    """Return mean and variance of every class in what each normalization is given, K×2×C each.

    Both are means over the real images of a class of what one image has over its places, as the
    authors take them; means are about those that the layer kept.
    """
    module = teacher.module()
    found: list[Tensor] = []
    sums: list[Tensor] = []

    def note(norm: nn.Module, given: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, NORMS) and norm.running_mean is not None
        maps = given[0].float().flatten(2)
        mean = maps.mean(2) - norm.running_mean
        found.append(torch.stack([mean, maps.var(2, correction=0)], dim=1))

    for part in module.modules():
        if isinstance(part, NORMS):
            part.register_forward_pre_hook(note)
    for index in torch.arange(len(data)).split(teacher.compute.chunk):
        found.clear()
        module(teacher.compute.lay_out(teacher.seen(data.take(index).to(teacher.compute.device))))
        labels = data.labels[index.to(data.labels.device)].to(teacher.compute.device)
        sums = sums or [one.new_zeros(data.classes, *one.shape[1:]) for one in found]
        for whole, one in zip(sums, found, strict=True):
            whole.index_add_(0, labels, one)
    counts = torch.bincount(data.labels, minlength=data.classes).to(teacher.compute.device)
    return [whole / counts.view(-1, 1, 1) for whole in sums]


def as_tree(layers: Sequence[Tensor]) -> dict[str, Tensor]:
    """Return tensors of layers as a state keeps them."""
    return {f"layer{number}": one.detach() for number, one in enumerate(layers)}


def as_layers(tree: Mapping[str, Any]) -> list[Tensor]:
    """Undo `as_tree`."""
    return [tree[f"layer{number}"] for number in range(len(tree))]
