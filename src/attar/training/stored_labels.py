"""What a teacher says of a set in some epochs, kept in place of the teacher.

As the authors of SRe2L store them (Shen & Xing, A Fast Knowledge Distillation Framework, 2022): the
scores of every image in every epoch, with what its crops, their order and their mixing are drawn
from, so that every student sees these very batches. An epoch beyond those that are kept takes one
of them, drawn at random: labels are pruned so in Xiao & He, Are Large-scale Soft Labels Necessary
for Large-scale Dataset Distillation?, 2024 (LPLD).

Shape letters: E epochs, N images, B of a batch, K classes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from attar.errors import BadRequest
from attar.rng import Key
from attar.storage import Content, Storage, storage_of
from attar.training.evaluation_card import EvaluationCard
from attar.training.schedules import Step

# bytes of the key that crops, order and mixing are drawn from
KEY_BYTES = 8
_NAME = "labels.values"


@dataclass(frozen=True, eq=False)
class StoredLabels:
    """Labels of batches, each asked of the teacher once and then as they are stored.

    Args:
        scores: of the teacher, B×K, of network inputs.
        epochs: E, that are kept.
        storage: how their scores are.
        key: of the batches.
        classes: K.
    """

    scores: Callable[[Tensor], Tensor]
    epochs: int
    storage: Storage
    key: Key
    classes: int
    kept: dict[tuple[str, int, int], Tensor] = field(default_factory=dict, repr=False)

    def step(self, step: Step, key: Key) -> Step:
        """Return the update of the kept epoch that one of a student's epochs takes."""
        if step.epoch < self.epochs:
            return step
        drawn = torch.randint(
            self.epochs, (1,), generator=key.fold("stored", step.epoch).generator()
        )
        return dataclasses.replace(step, epoch=int(drawn))

    def labels(self, batch: Tensor, strategy: str, step: Step) -> Tensor:
        """Return the scores, B×K, that are kept of a batch.

        Args:
            batch: network inputs, as this very update of a kept epoch makes them.
            strategy: of their augmentation.
            step: the update.
        """
        place = (strategy, step.epoch, step.start)
        if place not in self.kept:
            said = {_NAME: self.scores(batch).cpu()}
            shapes = {_NAME: tuple(said[_NAME].shape)}
            content = Content((1,) * self.classes, ())
            found = self.storage.decode(self.storage.encode(said, content), shapes, content)
            self.kept[place] = found[_NAME]
        return self.kept[place].to(batch.device)

    def nbytes(self, images: int) -> int:
        """Return what has to travel with so many images: E·N labels, and the key."""
        rows = self.epochs * images
        return KEY_BYTES + (self.storage.planned(_NAME, (rows, self.classes)) or 0)

    @property
    def told(self) -> str:
        """How they are kept, in words."""
        return f"of {self.epochs} epochs, stored as {self.storage.name}"


def label_storage(given: str, classes: int) -> Storage:
    """Return the storage of scores that a text names.

    Raises:
        BadRequest: one that keeps none, or not of so few classes.
    """
    try:
        storage = storage_of(given)
        storage.check_labels(Content((1,) * classes, ()))
    except BadRequest as error:
        said = error.text.replace("labels=", "").replace("--storage", "--label-storage")
        raise BadRequest(said) from None
    if not (storage.name == "top" or storage.fixed):
        raise BadRequest(
            f"--label-storage {given}: float16, float32, bfloat16 or float8, or top:keep=5 for the "
            "largest scores of a label"
        )
    return storage


def check_epochs(epochs: int, card: EvaluationCard) -> None:
    """Refuse epochs that a student never sees, and cards that count updates.

    Raises:
        BadRequest: says how many there are.
    """
    if card.updates or card.rates:
        raise BadRequest(
            f"--label-epochs {epochs}: labels are kept by epochs, and {card.name!r} counts "
            "updates; give --epochs in their place"
        )
    if not 1 <= epochs <= card.epochs:
        raise BadRequest(
            f"--label-epochs {epochs}: from 1 to {card.epochs}, as many as students are trained "
            f"for under the card {card.name!r}"
        )
