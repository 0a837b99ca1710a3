"""CAFE: layer by layer, class by class, real image by real image (FACTS 3.3)."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from references import convnet, gradient

Transform = Callable[[int, Tensor], Tensor]
# of the four last maps, and of the term that the authors add for the features
MAPS, FEATURES, DISCRIMINATION = (0.1, 0.1, 1.0, 1.0), 1.0, 0.01


def loss_and_gradients(
    weights: Mapping[str, Tensor],
    real: Sequence[Tensor],
    synthetic: Sequence[Tensor],
    transform: Transform = lambda label, batch: batch,
    maps: Sequence[float] = MAPS,
    features: float = FEATURES,
    discrimination: float = DISCRIMINATION,
    together: bool = False,
    **network: str,
) -> tuple[Tensor, list[Tensor]]:
    """Return the loss and its gradients for the images of each class.

    Args:
        weights: of the network.
        real: one batch per class.
        synthetic: all images of each class.
        transform: the siamese augmentation, from class and batch.
        maps: weights of the last maps of the network, the last one at the end.
        features: weight of the class means of features once more.
        discrimination: of the cross-entropy.
        together: the images of all classes pass the network as one batch.
        network: norm, activation and pooling.
    """
    weights = {name: tensor.double() for name, tensor in weights.items()}
    leaves = [batch.double().requires_grad_() for batch in synthetic]
    # by side, class and map
    sides: list[list[list[Tensor]]] = []
    for batches in ([batch.double() for batch in real], leaves):
        seen = [transform(label, batch) for label, batch in enumerate(batches)]
        if together:
            found = convnet.maps_of(weights, torch.cat(seen), **network)
            parts = [one.split([len(batch) for batch in seen]) for one in found]
            sides.append([list(own) for own in zip(*parts, strict=True)])
        else:
            sides.append([convnet.maps_of(weights, batch, **network) for batch in seen])
    loss = torch.zeros((), dtype=torch.float64)
    for real_maps, own_maps in zip(*sides, strict=True):
        count = min(len(maps), len(own_maps))
        for place in range(1, count + 1):
            weight = maps[-place] + (features if place == 1 else 0.0)
            difference = real_maps[-place].mean(dim=0) - own_maps[-place].mean(dim=0)
            loss = loss + weight * (difference**2).sum()
    centres = [own[-1].mean(dim=0) for own in sides[1]]
    for label, real_maps in enumerate(sides[0]):
        for one in real_maps[-1]:
            scores = torch.stack([(one * centre).sum() for centre in centres])
            loss = loss + discrimination * (torch.logsumexp(scores, dim=0) - scores[label])
    return loss.detach(), list(torch.autograd.grad(loss, leaves))


def watched(values: Sequence[float], classes: int) -> list[float]:
    """Return what the loops look at: each accuracy, and a K-th of what was seen before it."""
    found: list[float] = []
    before = 0.0
    for value in values:
        before = value + before / classes
        found.append(before)
    return found


def accuracy(weights: Mapping[str, Tensor], real: Sequence[Tensor], **network: str) -> float:
    """Return the mean over classes of the share that the network classifies right."""
    weights = {name: tensor.double() for name, tensor in weights.items()}
    shares = []
    for label, batch in enumerate(real):
        logits, _ = gradient.scores(weights, batch.double(), **network)
        shares.append(float((logits.argmax(dim=1) == label).double().mean()))
    return sum(shares) / len(shares)
