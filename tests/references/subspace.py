"""Expert subspace projection: Algorithm 1 of its paper, dense and in float64.

The projection is a P×P matrix from Gram-Schmidt, and every derivative is autograd's.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

import torch
from torch import Tensor

from references import convnet

# of what Gram-Schmidt leaves of a vector; less is rounding of the snapshots to float32
NEGLIGIBLE = 1e-5

Transform = Callable[[Tensor], Tensor]
ClassTransform = Callable[[int, Tensor], Tensor]


@dataclass(frozen=True)
class Outer:
    """What there is at one inner step: equation 9 and the gradient of equation 4."""

    loss: Tensor
    gradient: Tensor


@dataclass(frozen=True)
class Settings:
    """Those of the paper, and the shapes of the network."""

    shapes: Mapping[str, Sequence[int]]
    projector: Tensor
    lr: float = 0.1
    beta: float = 1e-5
    matching: float = 1.0
    norm: str = "l1"
    loss: str = "binary_cross_entropy"
    network: Mapping[str, str] = field(default_factory=dict)
    together: bool = False


def projector(snapshots: Tensor, span: str) -> Tensor:
    """Return E·Eᵀ, P×P, by Gram-Schmidt done twice (equations 2, 3 and 5)."""
    rows = snapshots.double()
    vectors = list(rows) if span == "snapshots" else [row - rows[0] for row in rows[1:]]
    basis: list[Tensor] = []
    for vector in vectors:
        rest = vector
        for _ in range(2):
            for known in basis:
                rest = rest - (known @ rest) * known
        size = (rest @ rest) ** 0.5
        if size > NEGLIGIBLE * (vector @ vector) ** 0.5:
            basis.append(rest / size)
    found = torch.zeros(rows.shape[1], rows.shape[1], dtype=torch.float64)
    for one in basis:
        found += torch.outer(one, one)
    return found


def weights(theta: Tensor, shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Return a flat vector as the tensors of a network."""
    found, at = {}, 0
    for name, shape in shapes.items():
        found[name] = theta[at : at + prod(shape)].reshape(tuple(shape))
        at += prod(shape)
    assert at == len(theta)
    return found


def inner_loss(scores: Tensor, labels: Tensor, kind: str) -> Tensor:
    """Return the mean over images of the cross-entropy, or over images and classes of the BCE."""
    if kind == "cross_entropy":
        logarithms = scores - torch.logsumexp(scores, dim=1, keepdim=True)
        return -(labels * logarithms).sum() / len(scores)
    chance = 1 / (1 + (-scores).exp())
    return -(labels * chance.log() + (1 - labels) * (1 - chance).log()).sum() / scores.numel()


def outer(
    theta: Tensor,
    images: Tensor,
    labels: Tensor,
    real: Sequence[Tensor],
    settings: Settings,
    training: Transform = lambda batch: batch,
    siamese: ClassTransform = lambda label, batch: batch,
) -> Outer:
    """Return equations 4 to 9 at one student, with their graphs.

    Args:
        theta: of the student; requires gradients.
        images: class after class, equally many of each.
        labels: one row per image.
        real: one batch per class.
        settings: of the method.
        training: the augmentation of the images that the student is trained on.
        siamese: that of distribution matching, from class and batch.
    """
    tensors = weights(theta, settings.shapes)
    scores = convnet.scores(tensors, training(images), **settings.network)
    inner = inner_loss(scores, labels, settings.loss)
    (gradient,) = torch.autograd.grad(inner, theta, create_graph=True)
    residual = gradient - settings.projector @ gradient
    size = residual.abs().sum() if settings.norm == "l1" else (residual**2).sum() ** 0.5
    if settings.norm == "relative":
        size = size / (gradient**2).sum() ** 0.5

    # the distance is at the student as it is, whatever brought it there
    frozen = weights(theta.detach(), settings.shapes)
    batches = list(images.split(len(images) // len(real)))
    means = []
    for group in ([batch.double() for batch in real], batches):
        seen = [siamese(label, batch) for label, batch in enumerate(group)]
        if settings.together:
            features = convnet.embed(frozen, torch.cat(seen), **settings.network)
            parts = features.split([len(batch) for batch in seen])
        else:
            parts = [convnet.embed(frozen, batch, **settings.network) for batch in seen]
        means.append(torch.stack([part.mean(dim=0) for part in parts]))
    distance = ((means[0] - means[1]) ** 2).sum() / len(real)
    return Outer(settings.matching * distance + settings.beta * size, gradient)


def algorithm(
    theta: Tensor,
    images: Tensor,
    labels: Tensor,
    real: Sequence[Sequence[Tensor]],
    lr_images: float,
    settings: Settings,
) -> tuple[list[Tensor], list[Tensor], list[float]]:
    """Return students, images and losses of the inner loop of Algorithm 1.

    Args:
        theta: the first snapshot of the segment.
        images: at the start.
        labels: one row per image.
        real: for every step one batch per class.
        lr_images: of plain gradient descent (equation 10); 0 holds the images fixed.
        settings: of the method.

    Returns:
        The student before and after every step, likewise the images, and the loss of every step.
    """
    theta, images = theta.double(), images.double()
    students, sets, losses = [theta], [images], []
    for batches in real:
        theta, images = theta.detach().requires_grad_(), images.detach().requires_grad_()
        found = outer(theta, images, labels.double(), batches, settings)
        projected = settings.projector @ found.gradient.detach()
        (slope,) = torch.autograd.grad(found.loss, images)
        theta = (theta - settings.lr * projected).detach()
        images = (images - lr_images * slope).detach()
        students.append(theta)
        sets.append(images)
        losses.append(found.loss.item())
    return students, sets, losses
