"""A network trained on the real images, and what a selector reads off it.

Shape letters: E epochs, N images, B images asked for, D features.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from attar.artefact.fingerprint import fingerprint
from attar.compute import Compute
from attar.data.images import LabelledImages
from attar.data.reading import Watch
from attar.errors import RunFailed
from attar.networks import Network
from attar.rng import Key
from attar.teachers.kept import is_keeping, keep, kept
from attar.teachers.teacher import Teacher, tensors_of
from attar.training.evaluation_card import EvaluationCard
from attar.training.learning import Midway
from attar.training.trainer import Trainer, Update

# as the condensation papers train every network
MOMENTUM = 0.9
WEIGHT_DECAY = 5e-4


@dataclass(frozen=True)
class Study:
    """A trained network and its record.

    Args:
        data: the images that it was trained on.
        network: what it was drawn from.
        compute: device, precision and compilation.
        tensors: its parameters and buffers, by name.
        correct: E×N bool on the CPU: whether it classified an image right when it met it in an
            epoch, before the update on its batch.
        known: the network where it was not trained here, but read from disk.
    """

    data: LabelledImages
    network: Network
    compute: Compute
    tensors: dict[str, Tensor]
    correct: Tensor
    known: Teacher | None = None

    @cached_property
    def teacher(self) -> Teacher:
        """The network, as what says of any images what they are."""
        return self.known or Teacher(self.network, self.compute, self.tensors)

    def features(self, index: Tensor) -> Tensor:
        """Return the features (B×D float32, on the device) before the last linear layer.

        Raises:
            RunFailed: a feature is NaN or Inf.
        """
        return self._finite(self._of(self.teacher.features, index), "features")

    def probabilities(self, index: Tensor) -> Tensor:
        """Return what the network says of images: B×K probabilities, float32, on the CPU.

        Raises:
            RunFailed: a score is NaN or Inf.
        """
        return self.judged(self._of(self.teacher.scores, index).cpu())

    def judged(self, scores: Tensor) -> Tensor:
        """Return probabilities of scores (B×K) of the network.

        Raises:
            RunFailed: a score is NaN or Inf.
        """
        return self._finite(scores.float(), "scores").softmax(dim=1)

    def _of(self, function: Callable[[Tensor], Tensor], index: Tensor) -> Tensor:
        parts = index.split(self.compute.chunk)
        return torch.cat([function(self.data.take(part)) for part in parts])

    def _finite(self, values: Tensor, said: str) -> Tensor:
        if not bool(torch.isfinite(values).all()):
            raise RunFailed(
                f"{self.network.name}, trained to choose among the real images, has {said} that "
                "are NaN or Inf. Try --precision float32, another --network or a lower --set "
                "lr_selection."
            )
        return values


def train(
    data: LabelledImages,
    network: Network,
    compute: Compute,
    *,
    epochs: int,
    lr: float,
    batch: int,
    key: Key,
    watch: Watch | None = None,
    augment: str = "none",
    schedule: Literal["constant", "warm_cosine"] = "constant",
    begun: Midway | None = None,
    after: Callable[[Midway], None] | None = None,
) -> Study:
    """Train one network on real images and note what it gets right.

    SGD with momentum 0.9 and weight decay 5·10⁻⁴ on the mean cross-entropy.

    Args:
        data: the images.
        network: what is drawn.
        compute: device, precision, compilation.
        epochs: passes over the images.
        lr: learning rate.
        batch: the most images per update; all batches have this size, or all but one image.
        key: of initialisation and order.
        watch: told the updates done and their number.
        augment: of the images, as `attar.augmentation.variants` reads it.
        schedule: of the learning rate; see `attar.training.schedules`.
        begun: where to go on from, as `attar.training.trainer.Trainer.fit_together` takes it;
            nothing is noted of the epochs before.
        after: called after every epoch, as there.

    Raises:
        RunFailed: the loss became NaN or Inf.
    """
    card = EvaluationCard(
        "selection",
        "SGD on real images, in batches of one size",
        epochs,
        augment,
        lr=lr,
        momentum=MOMENTUM,
        weight_decay=WEIGHT_DECAY,
        batch=batch,
        schedule=schedule,
        one_more=False,
        even=True,
    )
    identity = None
    if begun is None and after is None and is_keeping():
        identity = {
            "network": network.name,
            "card": dataclasses.asdict(card),
            "key": [key.seed, *key.path],
            "data": fingerprint(data),
            "compute": compute.describe(),
        }
        shapes = {name: tuple(one.shape) for name, one in tensors_of(network.draw(key)).items()}
        found = kept(identity, shapes)
        if found is not None:
            there = {name: one.to(compute.device) for name, one in found[0].items()}
            return Study(data, network, compute, there, found[1])
    correct = torch.zeros(epochs, len(data), dtype=torch.bool)
    total = card.steps(len(data))
    skipped = 0 if begun is None else begun.epochs * (total // epochs)
    done = itertools.count(1 + skipped)

    def note(update: Update) -> None:
        if not math.isfinite(update.loss.item()):
            raise _diverged(network, update.epoch, lr)
        correct[update.epoch, update.rows] = (update.scores.argmax(1) == update.truth).cpu()
        if watch is not None:
            watch(f"updates of {network.name} on the real images", next(done), total)

    labels = data.labels.to(compute.device)
    (tensors,) = Trainer(network, compute).fit_together(
        data, labels, card, card.strategy(data.name), [key], begun=begun, after=after, updated=note
    )
    if identity is not None:
        keep(identity, tensors, correct)
    return Study(data, network, compute, tensors, correct)


def _diverged(network: Network, epoch: int, lr: float) -> RunFailed:
    return RunFailed(
        f"{network.name}, trained to choose among the real images, diverged in epoch {epoch + 1}. "
        f"Try a lower --set lr_selection (now {lr:g}) or --precision float32."
    )
