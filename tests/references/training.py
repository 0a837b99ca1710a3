"""The evaluation loop of the DC lineage, with SGD written out (FACTS 1.4)."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from references import convnet


def train(
    weights: Mapping[str, Tensor],
    images: Tensor,
    targets: Tensor,
    orders: Sequence[Tensor],
    epochs: int,
    batch: int,
    lr: float = 0.01,
    momentum: float = 0.9,
    decay: float = 5e-4,
    **network: str,
) -> dict[str, Tensor]:
    """Return the weights after training.

    Args:
        weights: at the start.
        images: N×C×H×W.
        targets: N×K probabilities.
        orders: the permutation of each epoch that is run.
        epochs: what the protocol's name says; one more is run.
        batch: images per update.
        lr: before the drop.
        momentum: of SGD.
        decay: weight decay.
        network: norm, activation and pooling.
    """
    now = {name: tensor.double().clone() for name, tensor in weights.items()}
    images, targets = images.double(), targets.double()
    velocity: dict[str, Tensor] = {}
    assert len(orders) == epochs + 1
    for epoch in range(epochs + 1):
        for start in range(0, len(images), batch):
            rows = orders[epoch][start : start + batch]
            leaves = {name: tensor.clone().requires_grad_() for name, tensor in now.items()}
            logits = convnet.scores(leaves, images[rows], **network)
            logarithms = logits - logits.exp().sum(dim=1, keepdim=True).log()
            loss = -(targets[rows] * logarithms).sum() / len(rows)
            slopes = torch.autograd.grad(loss, list(leaves.values()))
            for name, slope in zip(now, slopes, strict=True):
                slope = slope + decay * now[name]
                velocity[name] = momentum * velocity[name] + slope if name in velocity else slope
                now[name] = now[name] - lr * velocity[name]
        if epoch == epochs // 2 + 1:
            lr = lr / 10
            velocity = {}
    return now
