"""Kernel regression in float64, as its paper and its authors' code write it (FACTS 9.1).

Networks are FRePo's, given by their tensors; nothing is chunked, and the system is solved as it
stands.
"""

import torch
from torch import Tensor
from torch.nn import functional

EPSILON = 1e-5


def features(weights: dict[str, Tensor], images: Tensor, padding: int = 1) -> Tensor:
    """Return N×f features of N×C×H×W images: blocks of norm, convolution, ReLU and pooling.

    The norm of a block comes before its convolution, is missing in the first one, and uses
    running statistics.

    Args:
        weights: the state of a `frepo` network, its layers counted in order.
        images: network inputs.
        padding: of the first convolution: 3 for one-channel images.
    """
    w = {name: tensor.double() for name, tensor in weights.items()}
    layers = sorted({int(name.split(".")[1]) for name in w if name.startswith("body.")})
    x = images
    for layer in layers:
        if f"body.{layer}.running_mean" in w:
            mean, var, scale, shift = (
                w[f"body.{layer}.{part}"].reshape(1, -1, 1, 1)
                for part in ("running_mean", "running_var", "weight", "bias")
            )
            x = (x - mean) / (var + EPSILON).sqrt() * scale + shift
        else:
            x = functional.conv2d(
                x, w[f"body.{layer}.weight"], w[f"body.{layer}.bias"], padding=padding
            )
            padding = 1
            x = x.clamp_min(0)
            x = functional.avg_pool2d(x, 2)
    return x.reshape(len(x), -1)


def prediction(real: Tensor, synthetic: Tensor, labels: Tensor, ridge: float) -> Tensor:
    """Return K_ts·(K_ss + λ·tr(K_ss)/N·I)⁻¹·Y for features of real and of synthetic images."""
    gram = synthetic @ synthetic.T
    gram = gram + ridge * torch.trace(gram) / len(gram) * torch.eye(len(gram), dtype=gram.dtype)
    return (real @ synthetic.T) @ torch.linalg.inv(gram) @ labels


def loss_and_gradients(
    weights: dict[str, Tensor],
    real: Tensor,
    targets: Tensor,
    images: Tensor,
    labels: Tensor,
    *,
    ridge: float = 1e-6,
    mirror: bool = False,
    margin: bool = True,
    padding: int = 1,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the loss and its gradients for images and labels, by autograd through everything.

    Args:
        weights: of the network.
        real: B×C×H×W network inputs.
        targets: B×K, centred.
        images: N×C×H×W network inputs.
        labels: N×K, as they enter the regression.
        ridge: λ.
        mirror: append mirror images.
        margin: add the term of the labels.
        padding: as in `features`.
    """
    x = images.double().requires_grad_()
    y = labels.double().requires_grad_()
    seen, known = x, y
    if mirror:
        seen = torch.cat([x, torch.flip(x, (3,))])
        known = torch.cat([y, y])
    found = features(weights, seen, padding)
    predicted = prediction(features(weights, real.double(), padding), found, known, ridge)
    errors = [row - target for row, target in zip(predicted, targets.double(), strict=True)]
    loss = torch.stack([0.5 * (error**2).sum() for error in errors]).mean()
    if margin:
        rows = [row.sort().values for row in y]
        gaps = [torch.minimum(row[-1] - row[-2], torch.tensor(1 / len(row))) for row in rows]
        loss = loss - torch.stack(gaps).mean()
    slope_x, slope_y = torch.autograd.grad(loss, (x, y))
    return loss.detach(), slope_x, slope_y


def lamb(
    values: list[Tensor], slopes: list[list[Tensor]], rates: list[float]
) -> list[list[Tensor]]:
    """Return the tensors after every update of LAMB, value by value as optax composes it.

    Args:
        values: the tensors before.
        slopes: for every step, the gradients of all tensors.
        rates: for every step, the learning rate.
    """
    values = [value.double().clone() for value in values]
    first = [torch.zeros_like(value) for value in values]
    second = [torch.zeros_like(value) for value in values]
    history = []
    for count, (given, rate) in enumerate(zip(slopes, rates, strict=True), 1):
        for i, slope in enumerate(given):
            slope = slope.double()
            first[i] = 0.1 * slope + 0.9 * first[i]
            second[i] = 0.001 * slope**2 + 0.999 * second[i]
            unbiased = first[i] / (1 - 0.9**count), second[i] / (1 - 0.999**count)
            update = unbiased[0] / (unbiased[1].sqrt() + 1e-6)
            norms = values[i].norm(), update.norm()
            ratio = norms[0] / norms[1] if norms[0] != 0 and norms[1] != 0 else 1.0
            values[i] = values[i] - rate * ratio * update
        history.append([value.clone() for value in values])
    return history
