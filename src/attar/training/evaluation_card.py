"""What an evaluation card is: a frozen recipe for training a network on a condensed set.

A card says everything in its fields; `attar.training.trainer` has one loop for all of them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from attar.data.modality import Modality
from attar.errors import BadRequest
from attar.kinds import Settings
from attar.shapes import Shape

# A mirrored digit is another sign, so the papers drop the flip there.
NOT_MIRRORED = ("mnist", "svhn", "digits")
# what the papers do on MNIST serves the digits of scikit-learn as well
MNIST = ("mnist", "digits")
_LENGTHS = ("epochs", "updates")


@dataclass(frozen=True)
class Exceptional:
    """Where a card's authors deviate from it.

    Args:
        datasets: names of datasets; empty for all.
        tiled: only where each stored image is several tiles (True), or is not (False).
        per_class: only at this many images per class.
        changes: other values of the card's fields.
    """

    datasets: tuple[str, ...] = ()
    tiled: bool | None = None
    per_class: int | None = None
    changes: tuple[tuple[str, Any], ...] = ()

    def applies(self, dataset: str, tiled: bool, per_class: int | None) -> bool:
        """Whether it applies to a set."""
        return (
            (not self.datasets or dataset in self.datasets)
            and self.tiled in (None, tiled)
            and self.per_class in (None, per_class)
        )


@dataclass(frozen=True)
class EvaluationCard(Settings):
    """How a network is trained from scratch.

    Args:
        name: as on the command line.
        summary: one line for people.
        epochs: passes over the condensed set; 0 where ``updates`` counts.
        augment: as `attar.augmentation.variants` reads it; ``dc`` for the DC authors' own rule.
        lr: learning rate at the start, or at the height of a schedule that warms up.
        momentum: of SGD.
        weight_decay: of SGD, or of AdamW, which has none for norms and biases.
        batch: images per update.
        optimiser: ``sgd``, ``adam`` or ``adamw``.
        schedule: name in `attar.training.schedules.SCHEDULES`.
        one_more: run one epoch more than ``epochs``, as the DC authors' loop does.
        loss: name in `attar.training.losses.LOSSES`; ``kl`` is against what a teacher says, both
            at ``temperature``, and without one `hard` stands for the card.
        mixing: ``cutmix`` pastes a box of another image into each, and mixes the labels.
        mixed: probability that a batch is mixed.
        updates: pairs of a number of images and the updates for it, in rising order; a set has
            those of the largest number that is not above its own. Batches then have one size
            and run on over the end of an epoch.
        even: divide an epoch into batches of one size, or all but one image, of ``batch`` at
            most, so that none is too small for batch normalization.
        kernel: ``ntk`` or ``nngp``: no network is trained; what predicts is the regression with
            that kernel of the network at infinite width. Empty for training.
        ridge: of that regression, relative to the mean of the kernel's diagonal.
        stable: ``lr`` counts in greatest stable rates, found for every network from its tangent
            kernel as it is drawn.
        variants: images of every base, which lie together: a pass takes one of each, drawn anew. 0
            for as many as a set makes, which `drawing` fills in; 1 for every image in every pass.
        learnt_lr: train at the learning rate that was learnt with the set, where it has one.
        networks: pairs of a smallest side in pixels and the name of a network, in rising order;
            empty where a set is evaluated on the network it was made with.
        exceptions: where the authors deviate.
        learnt_steps: train by exactly the steps that were learnt with the set: `attar.training
            .batches` says on which images, ``rates`` how far. No other length can be asked for.
        rates: the step size of every step of every epoch, where ``learnt_steps``; it is filled in
            from the set.
        learnt_updates: train for as many updates as were found best with the set, where it tells
            them.
        temperature: by which scores are divided under ``kl``.
        hard_lr: learning rate against class indices, where that under ``kl`` makes up for its
            temperature; 0 for the same.
    """

    name: str
    summary: str
    epochs: int
    augment: str
    lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-4
    batch: int = 256
    optimiser: Literal["sgd", "adam", "adamw"] = "sgd"
    schedule: Literal["drop", "steps", "constant", "cosine", "half_cosine", "warm_cosine"] = "drop"
    one_more: bool = True
    loss: Literal["cross_entropy", "squared", "kl"] = "cross_entropy"
    mixing: Literal["none", "cutmix"] = "none"
    mixed: float = 0.5
    updates: tuple[tuple[int, int], ...] = ()
    learnt_lr: bool = False
    networks: tuple[tuple[int, str], ...] = ()
    exceptions: tuple[Exceptional, ...] = ()
    even: bool = False
    variants: int = 1
    learnt_steps: bool = False
    rates: tuple[tuple[float, ...], ...] = ()
    kernel: Literal["", "ntk", "nngp"] = ""
    ridge: float = 1e-6
    stable: bool = False
    learnt_updates: bool = False
    temperature: float = 1.0
    hard_lr: float = 0.0

    def __post_init__(self) -> None:
        if self.epochs < 1 and not self.updates:
            raise BadRequest(f"--epochs {self.epochs}: at least 1 is needed")
        if not 0 < self.lr < float("inf"):
            raise BadRequest(f"learning rate {self.lr:g}: a positive number is needed")

    def strategy(self, dataset: str, network: str = "") -> str:
        """Return the augmentation for a dataset and a network by their names.

        Digits are not mirrored. The DC authors augment MNIST, and the ConvNet with batch
        normalization on any data, and nothing else.
        """
        if self.augment == "dc":
            if network.startswith("convnet") and "norm=batch" in network:
                return "dc:crop_noise"
            return "dc:crop_scale_rotate" if dataset in MNIST else "none"
        if dataset not in NOT_MIRRORED:
            return self.augment
        way, colon, names = self.augment.rpartition(":")
        kept = "_".join(part for part in names.split("_") if part != "flip")
        return f"{way}{colon}{kept}" if kept else "none"

    def steps(self, count: int) -> int:
        """Return the updates that a set of ``count`` images gets."""
        if self.rates:
            return sum(map(len, self.rates))
        count = self.seen(count)
        if self.updates:
            fitting = [many for least, many in self.updates if least <= count]
            return fitting[-1] if fitting else self.updates[0][1]
        return (self.epochs + self.one_more) * math.ceil(count / self.batch)

    def passes(self, count: int) -> float:
        """Return how often a set of ``count`` images is gone through."""
        if self.updates:
            return self.steps(count) * min(self.batch, count) / count
        return (self.epochs + self.one_more) / max(1, self.variants)

    def seen(self, count: int) -> int:
        """Return the images that a pass over a set of ``count`` takes."""
        return max(1, count // max(1, self.variants))

    def drawing(self, variants: int) -> EvaluationCard:
        """Return the card for a set that makes so many images of every base.

        Cards that do not draw them stay as they are.
        """
        return self if self.variants else dataclasses.replace(self, variants=variants)

    def epochs_of(self, count: int) -> float:
        """Return the epochs of a set of ``count`` images as they are counted and said.

        Those of the card, or where updates count how often the set is gone through.
        """
        return self.passes(count) if self.updates else self.epochs

    def epochs_for(self, count: int) -> int:
        """Return the epochs that are about the card's own training of ``count`` images."""
        return math.ceil(self.passes(count)) if self.updates else self.epochs

    @property
    def fixed_updates(self) -> int | None:
        """The updates that every set gets, however many images it has; None where they differ."""
        return self.updates[0][1] if len(self.updates) == 1 else None

    def network_for(self, size: Shape) -> str | None:
        """Return the card's own network for a height and width; None where it has none.

        Nor has it any for rows without these, whose size is empty.
        """
        fitting = [name for least, name in self.networks if size and least <= min(size)]
        return fitting[-1] if fitting else None

    def with_epochs(self, epochs: int) -> EvaluationCard:
        """Return the card with another number of epochs, which its name then says.

        One whose steps were learnt stays as it is.

        Raises:
            BadRequest: fewer than one.
        """
        if self.learnt_steps or (epochs == self.epochs and epochs > 0):
            return self
        name = renamed(self.name, f"epochs {epochs}")
        return dataclasses.replace(self, name=name, epochs=epochs, updates=(), learnt_updates=False)

    def with_updates(self, updates: int) -> EvaluationCard:
        """Return the card with one number of updates for every set, which its name then says.

        One whose steps were learnt stays as it is.

        Raises:
            BadRequest: fewer than one.
        """
        if updates < 1:
            raise BadRequest(f"--updates {updates}: at least 1 is needed")
        if self.learnt_steps:
            return self
        name = renamed(self.name, f"updates {updates}")
        return dataclasses.replace(
            self, name=name, epochs=0, updates=((0, updates),), learnt_updates=False
        )

    def with_lr(self, lr: float) -> EvaluationCard:
        """Return the card with another learning rate, which its name then says.

        Raises:
            BadRequest: it is not positive.
        """
        if lr == self.lr:
            return self
        return dataclasses.replace(self, name=renamed(self.name, f"lr {lr:.4g}"), lr=lr)

    def with_rates(self, rates: Sequence[Sequence[float]]) -> EvaluationCard:
        """Return the card with the learnt step sizes, E epochs of N, which its name then says.

        Raises:
            BadRequest: one is not positive.
        """
        found = tuple(tuple(map(float, epoch)) for epoch in rates)
        for rate in (rate for epoch in found for rate in epoch):
            if not 0 < rate < float("inf"):
                raise BadRequest(f"learnt step size {rate:g}: a positive number is needed")
        name = renamed(self.name, f"steps {len(found[0])}×{len(found)}")
        return dataclasses.replace(self, name=name, epochs=len(found), rates=found)

    def unlearnt(self) -> EvaluationCard:
        """Return the card without the steps that were learnt, for any number of epochs."""
        if not self.learnt_steps:
            return self
        return dataclasses.replace(self, learnt_steps=False, rates=())

    def hard(self) -> EvaluationCard:
        """Return the card for class indices without a teacher, which its name then says.

        Cross-entropy takes the place of the divergence from what a teacher says, and nothing is
        mixed. Cards of other losses stay as they are.
        """
        if self.loss != "kl":
            return self
        name = renamed(self.name, "hard labels")
        return dataclasses.replace(
            self,
            name=name,
            loss="cross_entropy",
            mixing="none",
            temperature=1.0,
            lr=self.hard_lr or self.lr,
        )

    def suited(self, modality: Modality) -> EvaluationCard:
        """Return the card without augmentation where rows have none, which its name then says."""
        if modality.augments or self.augment == self.mixing == "none":
            return self
        name = renamed(self.name, "no augmentation")
        return dataclasses.replace(self, name=name, augment="none", mixing="none")

    def fitted(
        self, dataset: str, *, tiled: bool = False, per_class: int | None = None
    ) -> EvaluationCard:
        """Return the card as its authors use it on a set.

        Args:
            dataset: its name.
            tiled: whether each stored image is several tiles.
            per_class: images per class that a network trains on; None where classes differ.
        """
        changes: dict[str, Any] = {}
        for one in self.exceptions:
            if one.applies(dataset, tiled, per_class):
                changes |= dict(one.changes)
        return dataclasses.replace(self, **changes) if changes else self

    def describe(self) -> dict[str, Any]:
        """Return the card as a plain dictionary, without what came later and says nothing."""
        told = dataclasses.asdict(self)
        quiet = {
            "even": not self.even,
            "variants": self.variants < 2,
            "learnt_steps": not self.learnt_steps,
            "rates": not self.rates,
            "kernel": not self.kernel,
            "ridge": not self.kernel,
            "stable": not self.stable,
            "learnt_updates": not self.learnt_updates,
            "temperature": self.loss != "kl",
            "hard_lr": not self.hard_lr,
        }
        return {name: value for name, value in told.items() if not quiet.get(name)}


def renamed(name: str, said: str) -> str:
    """Return a card's name with a change in brackets, in place of an earlier one of its kind."""
    base, _, before = name.rstrip(")").partition(" (")
    kind = said.split(" ")[0]
    # a training has one length
    kinds = _LENGTHS if kind in _LENGTHS else (kind,)
    kept = [part for part in before.split(", ") if part and part.split(" ")[0] not in kinds]
    return f"{base} ({', '.join([*kept, said])})"
