"""Parameter matching and the penalties on components, equations 6, 7, 2, 11 and 12, in float64."""

from collections.abc import Mapping

import torch
from torch import Tensor

from references import convnet

EPSILON = 1e-6


def pseudo_inverse(features: Tensor, ridge: float = EPSILON) -> Tensor:
    """Return Xᵀ(XXᵀ + λ·tr(XXᵀ)/n·I)⁻¹, by an explicit inverse."""
    gram = features @ features.T
    identity = torch.eye(len(gram), dtype=torch.float64)
    return features.T @ torch.linalg.inv(gram + ridge * gram.trace() / len(gram) * identity)


def first_order(
    features: Tensor, labels: Tensor, source: Tensor, targets: Tensor, weight: Tensor, bias: Tensor
) -> Tensor:
    """Return ‖X'ᵀ(X'w + β − Y') − Xᵀ(Xw + β − Y)‖², entry by entry of the weights (equation 6)."""
    total = torch.zeros((), dtype=torch.float64)
    for label in range(labels.shape[1]):
        slimmed = features @ weight[:, label] + bias[label] - labels[:, label]
        whole = source @ weight[:, label] + bias[label] - targets[:, label]
        for feature in range(features.shape[1]):
            change = features[:, feature] @ slimmed - source[:, feature] @ whole
            total = total + change**2
    return total


def infinity_order(features: Tensor, labels: Tensor, source: Tensor, targets: Tensor) -> Tensor:
    """Return ‖X'†Y' − X†Y‖² (equation 7)."""
    slimmed, whole = pseudo_inverse(features) @ labels, pseudo_inverse(source) @ targets
    return ((slimmed - whole) ** 2).sum()


def performance(features: Tensor, labels: Tensor, source: Tensor, targets: Tensor) -> Tensor:
    """Return the mean over the source of ½‖x·X'†Y' − y‖² (equation 2)."""
    predicted = source @ pseudo_inverse(features) @ labels
    return sum(((p - y) ** 2).sum() / 2 for p, y in zip(predicted, targets, strict=True)) / len(
        targets
    )  # pyright: ignore[reportReturnType]


def loss_and_gradients(
    tensors: Mapping[str, Tensor],
    images: Tensor,
    labels: Tensor,
    source: Tensor,
    targets: Tensor,
    weights: tuple[float, float, float] = (1e-2, 1.0, 0.0),
    mirror: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the weighted sum of the three in a ConvNet, and its gradients.

    Args:
        tensors: of the network.
        images: of the slimmed set.
        labels: of the slimmed set, N×K.
        source: images of the source.
        targets: N×K.
        weights: of equations 6, 7 and 2.
        mirror: whether the mirror image of every image is seen, too.
    """
    tensors = {name: tensor.double() for name, tensor in tensors.items()}
    leaves = images.double().requires_grad_(), labels.double().requires_grad_()

    def embedded(images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        if not mirror:
            return convnet.embed(tensors, images), labels
        both = convnet.embed(tensors, images), convnet.embed(tensors, images.flip(3))
        return torch.cat(both), torch.cat([labels, labels])

    slimmed = embedded(*leaves)
    plain = convnet.embed(tensors, source.double()), targets.double()
    whole = embedded(source.double(), targets.double())
    layer = tensors["classifier.weight"].T, tensors["classifier.bias"]
    loss = weights[0] * first_order(*slimmed, *whole, *layer)
    loss = loss + weights[1] * infinity_order(*slimmed, *whole)
    loss = loss + weights[2] * performance(*slimmed, *plain)
    of_images, of_labels = torch.autograd.grad(loss, leaves)
    return loss.detach(), of_images, of_labels


def skewness(significance: Tensor) -> Tensor:
    """Return 1 − s₁²/Σs² of one Σ (equation 11)."""
    squares = [s**2 for s in significance.double()]
    return 1 - max(squares) / sum(squares)  # pyright: ignore[reportReturnType]


def orthogonality(images: Tensor, labels: Tensor | None) -> Tensor:
    """Return equation 12 of one class, with the row Gram of V_y where b is below K.

    Args:
        images: V_x, b×D.
        labels: V_y, b×K; None where labels are not learnt.
    """
    x = images.double()
    total = ((x @ x.T - torch.eye(len(x))) ** 2).sum()
    if labels is None:
        return total
    y = labels.double()
    gram = y @ y.T if len(y) < y.shape[1] else y.T @ y
    return total + ((gram - torch.eye(len(gram))) ** 2).sum()
