"""A training by SGD with momentum on a set as one graph, and what its end is judged by."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from references import convnet
from references.trajectory import parted


def mean_loss(
    flat: Tensor, images: Tensor, labels: Tensor, shapes: Mapping[str, Sequence[int]]
) -> Tensor:
    """Return the mean cross-entropy of a ConvNet whose parameters are in a vector."""
    logits = convnet.scores(parted(flat, shapes), images, norm="instance")
    logarithms = logits - logits.exp().sum(dim=1, keepdim=True).log()
    return -(labels * logarithms).sum() / len(images)


def trained(
    images: Tensor,
    labels: Tensor,
    lr: Tensor,
    first: Tensor,
    rows: Sequence[Tensor],
    seen: Callable[[int, Tensor], Tensor],
    shapes: Mapping[str, Sequence[int]],
    momentum: float,
    *,
    detached: bool = False,
) -> Tensor:
    """Return the parameters after the steps, with their graph to images, labels and step size.

    The latter is a scalar, or one value for each step.
    """
    student, velocity = first.clone().requires_grad_(), torch.zeros_like(first)
    for step, index in enumerate(rows):
        at = student.detach().requires_grad_() if detached else student
        loss = mean_loss(at, seen(step, images[index]), labels[index], shapes)
        (gradient,) = torch.autograd.grad(loss, at, create_graph=True)
        velocity = momentum * velocity + gradient
        student = student - (lr[step] if lr.ndim else lr) * velocity
    return student
