"""Gradient matching, DC and DSA: class by class, layer by layer, row by row (FACTS 2)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from references import convnet

Weights = Mapping[str, Tensor]
Transform = Callable[[int, Tensor], Tensor]
TrainingTransform = Callable[[int, int, Tensor], Tensor]

EPSILON = 1e-6
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@dataclass(frozen=True)
class Draws:
    """All that chance decides in one image step and the training after it.

    Args:
        real: one batch per class.
        calibration: the images that batch norm sees before the step; None without batch norm.
        orders: the permutation of each training epoch; none after the last image step.
        transform: the siamese augmentation, from class and batch.
        transform_training: the augmentation in training, from epoch, start and batch.
    """

    real: Sequence[Tensor]
    calibration: Tensor | None = None
    orders: Sequence[Tensor] = ()
    transform: Transform = field(default=lambda label, batch: batch)
    transform_training: TrainingTransform = field(default=lambda epoch, start, batch: batch)


@dataclass(frozen=True)
class Moment:
    """What is there at one image step.

    Args:
        weights: of the network that the gradients are taken in.
        loss: of the images before the step.
        images: after the step.
        velocity: of the images after the step.
        updates: of the network in the training after the step.
    """

    weights: Weights
    loss: Tensor
    images: Tensor
    velocity: Tensor
    updates: int


def scores(
    weights: Weights,
    images: Tensor,
    norm: str = "instance",
    activation: str = "relu",
    pooling: str = "average",
    training: bool = False,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return class scores and, where batch norm trains, its new running statistics."""
    if norm != "batch":
        options = {"norm": norm, "activation": activation, "pooling": pooling}
        return convnet.scores(weights, images, **options), {}
    maps, statistics = images, {}
    for block in range(sum(f"blocks.{4 * block}.weight" in weights for block in range(20))):
        convolution, normalisation = f"blocks.{4 * block}", f"blocks.{4 * block + 1}"
        padding = 3 if block == 0 and images.shape[1] == 1 else 1
        maps = functional.conv2d(
            maps, weights[f"{convolution}.weight"], weights[f"{convolution}.bias"], padding=padding
        )
        mean = weights[f"{normalisation}.running_mean"]
        variance = weights[f"{normalisation}.running_var"]
        if training:
            values = maps.detach().transpose(0, 1).reshape(len(mean), -1)
            statistics[f"{normalisation}.running_mean"] = 0.9 * mean + 0.1 * values.mean(dim=1)
            statistics[f"{normalisation}.running_var"] = 0.9 * variance + 0.1 * values.var(dim=1)
            maps = convnet.normalise(maps, "batch")
        else:
            deviation = (variance + convnet.EPSILON) ** 0.5
            maps = (maps - mean[:, None, None]) / deviation[:, None, None]
        scale, shift = weights[f"{normalisation}.weight"], weights[f"{normalisation}.bias"]
        maps = maps * scale[:, None, None] + shift[:, None, None]
        maps = convnet.pool(convnet.activate(maps, activation), pooling)
    features = maps.reshape(len(maps), -1)
    return features @ weights["classifier.weight"].T + weights["classifier.bias"], statistics


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean over rows of −Σ_k label_k · log p_k; the labels may sum to anything."""
    logarithms = logits - torch.logsumexp(logits, dim=1, keepdim=True)
    return -(labels * logarithms).sum() / len(logits)


def parameters(weights: Weights) -> dict[str, Tensor]:
    """Return the learnt ones among the tensors of a network."""
    return {n: tensor for n, tensor in weights.items() if not n.endswith(STATISTICS)}


def slopes(weights: Weights, images: Tensor, labels: Tensor, **network: str) -> dict[str, Tensor]:
    """Return the gradient of the mean cross-entropy for every parameter, differentiable."""
    leaves = {n: tensor.detach().requires_grad_() for n, tensor in parameters(weights).items()}
    logits, _ = scores({**weights, **leaves}, images, **network)
    found = torch.autograd.grad(
        cross_entropy(logits, labels), list(leaves.values()), create_graph=True
    )
    return dict(zip(leaves, found, strict=True))


def angle(a: Tensor, b: Tensor) -> Tensor:
    """Return 1 − ⟨a, b⟩ / (‖a‖‖b‖ + ε) of two vectors."""
    lengths = torch.linalg.vector_norm(a) * torch.linalg.vector_norm(b)
    return 1 - (a * b).sum() / (lengths + EPSILON)


def distance(real: Weights, synthetic: Weights, kind: str = "layerwise") -> Tensor:
    """Compare two gradients of the same parameters.

    Args:
        real: by parameter name.
        synthetic: likewise.
        kind: ``layerwise`` adds the angles of the rows of every tensor with two dimensions or
            more; ``mse`` and ``cosine`` see all numbers as one vector.
    """
    if kind == "layerwise":
        total = torch.zeros((), dtype=torch.float64)
        for name, own in real.items():
            if own.ndim < 2:
                continue
            for a, b in zip(own, synthetic[name], strict=True):
                total = total + angle(a.reshape(-1), b.reshape(-1))
        return total
    a, b = (torch.cat([side[name].reshape(-1) for name in real]) for side in (real, synthetic))
    return ((a - b) ** 2).sum() if kind == "mse" else angle(a, b)


def over_convolutions(real: Weights, synthetic: Weights, kind: str) -> Tensor:
    """Return the sum of squared or absolute differences over weights of convolutions."""
    total = torch.zeros((), dtype=torch.float64)
    for name, own in real.items():
        if own.ndim == 4:
            difference = own - synthetic[name]
            total = total + (difference**2 if kind == "conv_mse" else difference.abs()).sum()
    return total


def loss_and_gradients(
    weights: Weights,
    real: Sequence[Tensor],
    images: Tensor,
    labels: Tensor,
    transform: Transform = lambda label, batch: batch,
    kind: str = "layerwise",
    counts: Sequence[int] | None = None,
    **network: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the distance summed over classes and its gradients for images and labels.

    Args:
        weights: parameters and running statistics of the network.
        real: one batch per class.
        images: synthetic rows, class after class.
        labels: N×K.
        transform: the siamese augmentation, from class and batch.
        kind: of distance.
        counts: rows of each class; None where there are equally many.
        network: norm, activation and pooling.
    """
    weights = {name: tensor.double() for name, tensor in weights.items()}
    images = images.detach().double().requires_grad_()
    labels = labels.detach().double().requires_grad_()
    classes = len(real)
    counts = counts or [len(images) // classes] * classes
    first = 0
    loss = torch.zeros((), dtype=torch.float64)
    for label, batch in enumerate(real):
        truth = torch.zeros(len(batch), classes, dtype=torch.float64)
        truth[:, label] = 1
        wanted = slopes(weights, transform(label, batch.double()), truth, **network)
        wanted = {name: tensor.detach() for name, tensor in wanted.items()}
        rows = slice(first, first + counts[label])
        first = rows.stop
        found = slopes(weights, transform(label, images[rows]), labels[rows], **network)
        loss = loss + distance(wanted, found, kind)
    gradients = torch.autograd.grad(loss, (images, labels))
    return loss.detach(), *gradients


def calibrate(weights: Weights, images: Tensor | None, **network: str) -> dict[str, Tensor]:
    """Return the weights after one forward pass of the images in training mode."""
    now = {name: tensor.double() for name, tensor in weights.items()}
    if images is None:
        return now
    _, statistics = scores(now, images.double(), training=True, **network)
    return now | statistics


def train(
    weights: Weights,
    images: Tensor,
    labels: Tensor,
    orders: Sequence[Tensor],
    batch: int,
    lr: float,
    transform: TrainingTransform = lambda epoch, start, batch: batch,
    **network: str,
) -> tuple[dict[str, Tensor], int]:
    """Return the weights after plain SGD on the synthetic set, and the number of updates.

    Args:
        weights: at the start.
        images: all of them.
        labels: N×K.
        orders: the permutation of each epoch.
        batch: images per update.
        lr: learning rate, constant.
        transform: the augmentation, from epoch, start and batch.
        network: norm, activation and pooling.
    """
    now = {name: tensor.double() for name, tensor in weights.items()}
    images, labels = images.double(), labels.double()
    updates = 0
    for epoch, order in enumerate(orders):
        for start in range(0, len(images), batch):
            rows = order[start : start + batch]
            leaves = {n: tensor.detach().requires_grad_() for n, tensor in parameters(now).items()}
            seen = transform(epoch, start, images[rows])
            logits, statistics = scores({**now, **leaves}, seen, training=True, **network)
            loss = cross_entropy(logits, labels[rows])
            found = torch.autograd.grad(loss, list(leaves.values()))
            for (name, leaf), slope in zip(leaves.items(), found, strict=True):
                now[name] = leaf.detach() - lr * slope
            now |= statistics
            updates += 1
    return now, updates


def iterate(
    weights: Weights,
    images: Tensor,
    labels: Tensor,
    draws: Sequence[Draws],
    lr_images: float,
    momentum: float,
    velocity: Tensor | None = None,
    lr_network: float = 0.01,
    batch: int = 256,
    kind: str = "layerwise",
    **network: str,
) -> list[Moment]:
    """Return every image step of one outer iteration, from the weights of a fresh network.

    Args:
        weights: as drawn; running statistics as they start.
        images: synthetic images at the start, class after class.
        labels: N×K, fixed.
        draws: one for each image step.
        lr_images: of the images.
        momentum: of the images.
        velocity: that earlier outer iterations left.
        lr_network: of the network.
        batch: images per update of the network.
        kind: of distance.
        network: norm, activation and pooling.
    """
    moments: list[Moment] = []
    images = images.double()
    velocity = torch.zeros_like(images) if velocity is None else velocity
    now: Weights = weights
    for step, drawn in enumerate(draws):
        now = calibrate(now, drawn.calibration, **network)
        loss, gradient, _ = loss_and_gradients(
            now, drawn.real, images, labels, drawn.transform, kind, **network
        )
        velocity = momentum * velocity + gradient
        images = images - lr_images * velocity
        seen, updates = now, 0
        if step < len(draws) - 1:
            now, updates = train(
                now,
                images,
                labels,
                drawn.orders,
                batch,
                lr_network,
                drawn.transform_training,
                **network,
            )
        moments.append(Moment(seen, loss, images, velocity, updates))
    return moments
