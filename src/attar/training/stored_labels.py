"""What a teacher says of a set in some epochs, kept in place of the teacher.

As the authors of SRe2L store them (Shen & Xing, A Fast Knowledge Distillation Framework, 2022): the
scores of every image in every epoch, with what its crops, their order and their mixing are drawn
from, so that every student sees these very batches. `Pool` says which batches are kept.

Shape letters: B images of a batch, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from attar.errors import ArtefactError, BadRequest, RunFailed
from attar.rng import Key
from attar.storage import Content, Storage, refusals_name, storage_of
from attar.tensors import is_finite
from attar.training.evaluation_card import EvaluationCard
from attar.training.label_pool import Pool
from attar.training.label_store import NAME, Shelf, Spool
from attar.training.schedules import Step

# bytes of the key that crops, order and mixing are drawn from
KEY_BYTES = 8


class StoredLabels:
    """Labels of batches, each asked of the teacher once and then as they are stored.

    Args:
        scores: of the teacher, B×K, of network inputs; None where all labels are there.
        pool: the batches.
        storage: how their scores are.
        classes: K.
        there: labels that are all there, of whoever is asked for them; None to ask.
        whole: told once all labels are there, with what holds them.
        folder: where they lie meanwhile, once they are many; None for the usual temporary one.
    """

    def __init__(
        self,
        scores: Callable[[Tensor], Tensor] | None,
        pool: Pool,
        storage: Storage,
        classes: int,
        *,
        there: Shelf | None = None,
        whole: Callable[[Spool], object] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.pool, self.storage, self.classes = pool, storage, classes
        self._scores, self._whole = scores, whole
        self._content = Content((1,) * classes, ())
        self._spool = None if there else Spool(storage, pool.rows, classes, folder)
        self._shelf = there or self._spool
        self._lacking = set() if there else set(pool.places)

    @property
    def key(self) -> Key:
        """What order, crops and mixing of the batches are drawn from."""
        return self.pool.key

    def step(self, step: Step, key: Key) -> Step:
        """Return the update of the kept batches that one of a student's takes."""
        return self.pool.step(step, key)

    def labels(self, batch: Tensor, step: Step) -> Tensor:
        """Return the scores, B×K, that are kept of a batch.

        Args:
            batch: network inputs, as this very update of a kept batch makes them.
            step: the update.

        Raises:
            RunFailed: the teacher says what is no number, or there is no room for what it says.
            ArtefactError: the labels of a file are none.
        """
        place = (step.epoch, step.start)
        first, count = self.pool.places[place], len(batch)
        if place in self._lacking:
            assert self._scores is not None and self._spool is not None
            coded = self.storage.encode({NAME: self._scores(batch).cpu()}, self._content)
            self._decoded(coded, count, self._no_numbers)
            self._spool.put(first, coded)
            self._lacking.discard(place)
            if not self._lacking and self._whole is not None:
                self._whole(self._spool)
        assert self._shelf is not None
        coded = self._shelf.rows(first, count)
        damaged = ArtefactError("the labels of the file given by --labels are no numbers")
        return self._decoded(coded, count, damaged).to(batch.device)

    def _decoded(self, coded: dict[str, Tensor], count: int, refusal: Exception) -> Tensor:
        try:
            shapes = {NAME: (count, self.classes)}
            found = self.storage.decode(coded, shapes, self._content)[NAME]
        except ValueError as error:
            raise refusal from error
        if not is_finite(found):
            raise refusal
        return found

    @property
    def _no_numbers(self) -> RunFailed:
        return RunFailed(
            "the teacher's scores hold NaN, or are too large for --label-storage "
            f"{self.storage.name}; take float32, or another teacher"
        )

    @property
    def nbytes(self) -> int:
        """What has to travel with the images: labels of the batches, and the key."""
        shape = (self.pool.rows, self.classes)
        return KEY_BYTES + (self.storage.planned(NAME, shape) or 0)

    @property
    def told(self) -> str:
        """How they are kept, in words."""
        share = self.pool.share
        some = "" if share == 1 else f"{share:.3g} of the batches "
        return f"{some}of {self.pool.epochs} epochs, stored as {self.storage.name}"


def label_storage(given: str, classes: int) -> Storage:
    """Return the storage of scores that a text names.

    Raises:
        BadRequest: one that keeps none, or not of so few classes.
    """
    with refusals_name("--label-storage"):
        storage = storage_of(given)
        storage.check_labels(Content((1,) * classes, ()))
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
    if card.augment == "dc":
        raise BadRequest(
            f"--label-epochs {epochs}: the card {card.name!r} augments by the network, and labels "
            "are kept of one augmentation; leave it out"
        )
    if not 1 <= epochs <= card.epochs:
        raise BadRequest(
            f"--label-epochs {epochs}: from 1 to {card.epochs}, as many as students are trained "
            f"for under the card {card.name!r}"
        )
