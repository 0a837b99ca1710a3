"""Features of real and synthetic images in a network trained on real data, in two dimensions.

Source: Figure 1 of the low-rank plugin for dataset condensation: a ConvNet trained on the
original data gives the features, t-SNE brings real and synthetic ones to the plane together.

Shape letters: B images, F features, K classes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from attar.compute import Compute, Functional
from attar.data import LabelledImages
from attar.errors import BadRequest
from attar.networks import Network
from attar.rng import Key
from attar.training import Trainer
from attar.training import card as find_card

# t-SNE's own default; fewer images take less
_PERPLEXITY = 30.0
CARD = "dc-300"


@dataclass(frozen=True)
class Extractor:
    """A trained network that gives features.

    Args:
        name: of the network.
        epochs: of its training.
        images: real ones that it was trained on.
        accuracy: on real images, in percent.
        function: from its tensors and images to features.
        tensors: its parameters and buffers.
        compute: device, precision, compilation.
        measured_on: what ``accuracy`` is of.
    """

    name: str
    epochs: int
    images: int
    accuracy: float
    function: Functional
    tensors: dict[str, Tensor]
    compute: Compute
    measured_on: str = "test images"

    @torch.no_grad()
    def features(self, images: Tensor) -> np.ndarray:
        """Return B×F float32 features of B×C×H×W network inputs."""
        size = self.compute.chunk
        found = []
        for part in images.split(size):
            part = part.to(self.compute.device)
            missing = part.new_zeros(size - len(part), *part.shape[1:])
            found.append(self.function(self.tensors, torch.cat([part, missing]))[: len(part)].cpu())
        return torch.cat(found).numpy()

    def described(self) -> str:
        """Say what it is in a few words."""
        return (
            f"{self.name}, trained on {self.images:,} real images for {self.epochs} epochs of "
            f"{CARD} ({self.accuracy:.1f} % on {self.measured_on})"
        )


def train_extractor(
    network: Network,
    train: LabelledImages,
    test: LabelledImages | None,
    compute: Compute,
    *,
    epochs: int,
    dataset: str,
    key: Key,
) -> Extractor:
    """Train one network on real images under the card ``dc-300``, cut down to ``epochs``.

    Args:
        network: to train.
        train: the real images.
        test: real images that say how good it is; None takes those that it was trained on.
        compute: device, precision, compilation.
        epochs: passes over the real images.
        dataset: the name that decides how images may be augmented.
        key: of initialisation and order.

    Raises:
        BadRequest: fewer than one epoch.
    """
    if epochs < 1:
        raise BadRequest(f"--feature-epochs {epochs}: at least 1 is needed")
    trainer = Trainer(network, compute)
    # as many epochs as the picture says, and not one more
    recipe = dataclasses.replace(find_card(CARD, epochs), one_more=False)
    strategy = recipe.strategy(dataset, network.name)
    (tensors,) = trainer.fit(train, train.labels, recipe, strategy, [key])
    accuracy = trainer.accuracy(tensors, train if test is None else test)
    module = network.draw(key.fold("structure"), compute.device).eval()
    function = Functional(module, "embed", compute)
    return Extractor(
        network.name,
        epochs,
        len(train),
        accuracy,
        function,
        function.arranged(tensors),
        compute,
        "test images" if test is not None else "these same images",
    )


def embed(features: Sequence[np.ndarray], key: Key) -> list[np.ndarray]:
    """Return two coordinates of every row of every array, embedded together by t-SNE.

    Args:
        features: arrays B×F.
        key: of the random parts; the same key gives the same places.

    Raises:
        BadRequest: fewer than four images in all.
    """
    from sklearn.manifold import TSNE

    together = np.concatenate(features)
    if len(together) < 4:
        raise BadRequest(f"t-SNE of {len(together)} images: four or more are needed")
    # a perplexity speaks of neighbours, of which there must be some times as many
    perplexity = min(_PERPLEXITY, (len(together) - 1) / 3)
    seed = key.fold("t-SNE").integer() % 2**32
    method = TSNE(
        2, perplexity=perplexity, init="pca", learning_rate="auto", random_state=seed, n_jobs=1
    )
    places = method.fit_transform(together)
    return np.split(places, np.cumsum([len(part) for part in features])[:-1])
