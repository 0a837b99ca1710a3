"""Matching a piece of an expert's trajectory, as one graph (Cazenavette et al. 2022, Eq. 1)."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from references import convnet


def parted(flat: Tensor, shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Return the parameters in a vector, by name."""
    found, begin = {}, 0
    for name, shape in shapes.items():
        size = int(torch.tensor(shape).prod())
        found[name] = flat[begin : begin + size].reshape(tuple(shape))
        begin += size
    return found


def distance(
    images: Tensor,
    labels: Tensor,
    lr: Tensor,
    first: Tensor,
    target: Tensor,
    rows: Sequence[Tensor],
    seen: Callable[[int, Tensor], Tensor],
    shapes: Mapping[str, Sequence[int]],
    *,
    detached: bool = False,
    **network: str,
) -> Tensor:
    """Return Eq. 1 with its graph to images, labels and step size.

    Args:
        images: S×C×H×W.
        labels: S×K probabilities.
        lr: the step size.
        first: the expert's parameters where the student starts.
        target: where the expert was some epochs later.
        rows: of the minibatch of each step.
        seen: what a step makes of its minibatch.
        shapes: of the parameters, by name, in the order of the vectors.
        detached: cut the graph at the student's parameters before each gradient.
        network: norm, activation and pooling.
    """
    student = first.clone().requires_grad_()
    for step, index in enumerate(rows):
        at = student.detach().requires_grad_() if detached else student
        batch = seen(step, images[index])
        logits = convnet.scores(parted(at, shapes), batch, **network)
        logarithms = logits - logits.exp().sum(dim=1, keepdim=True).log()
        loss = -(labels[index] * logarithms).sum() / len(index)
        (gradient,) = torch.autograd.grad(loss, at, create_graph=True)
        student = student - lr * gradient
    return ((student - target) ** 2).sum() / ((first - target) ** 2).sum()
