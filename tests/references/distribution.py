"""Distribution matching: equation 5 of the low-rank plugin paper, class by class (FACTS 3.1)."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from references import convnet

Transform = Callable[[int, Tensor], Tensor]


def loss_and_gradients(
    weights: Mapping[str, Tensor],
    real: Sequence[Tensor],
    synthetic: Sequence[Tensor],
    transform: Transform = lambda label, batch: batch,
    together: bool = False,
    **network: str,
) -> tuple[Tensor, list[Tensor]]:
    """Return Σ_k ‖mean ψ(A(real_k)) − mean ψ(A(synthetic_k))‖² and its gradients.

    Args:
        weights: of the drawn network.
        real: one batch per class.
        synthetic: all images of each class.
        transform: the siamese augmentation, from class and batch.
        together: the images of all classes pass the network as one batch.
        network: norm, activation and pooling.
    """
    weights = {name: tensor.double() for name, tensor in weights.items()}
    leaves = [batch.double().requires_grad_() for batch in synthetic]
    means = []
    for batches in ([batch.double() for batch in real], leaves):
        seen = [transform(label, batch) for label, batch in enumerate(batches)]
        if together:
            features = convnet.embed(weights, torch.cat(seen), **network)
            parts = features.split([len(batch) for batch in seen])
        else:
            parts = [convnet.embed(weights, batch, **network) for batch in seen]
        means.append([sum(part) / len(part) for part in parts])
    loss = sum(((a - b) ** 2).sum() for a, b in zip(*means, strict=True))
    assert isinstance(loss, Tensor)
    return loss.detach(), list(torch.autograd.grad(loss, leaves))
