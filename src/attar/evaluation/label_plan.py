"""Which labels of epochs an evaluation wants, and whether a file has them already."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from attar.artefact.artefact import Artefact
from attar.errors import BadRequest
from attar.evaluation.label_file import (
    LabelHeader,
    header_for,
    label_key,
    labels_from,
    read_labels_header,
    refuse_other_set,
    refuse_other_wishes,
    save_labels,
)
from attar.evaluation.request import EvaluationRequest
from attar.files import check_writable
from attar.locking import sole_writer
from attar.teachers.teacher import Teacher
from attar.training.evaluation_card import EvaluationCard
from attar.training.label_pool import Pool
from attar.training.label_store import Spool
from attar.training.stored_labels import StoredLabels, check_epochs, label_storage


@dataclass(frozen=True)
class LabelPlan:
    """Labels that are kept in place of a teacher, of the set and of random images beside it.

    Args:
        epochs: of them.
        share: of their batches.
        storage: how scores are kept, by name.
        seed: of the batches.
        path: where those of the set are, or will be; None where they are not kept.
        header: of the file, where it is there.
    """

    epochs: int
    share: float
    storage: str
    seed: int
    path: Path | None = None
    header: LabelHeader | None = None

    @contextlib.contextmanager
    def kept_alone(self) -> Iterator[None]:
        """Keep other runs from keeping labels in the same file, where this one is to make it.

        Raises:
            BadRequest: another run is about to, or has done so since the plan was made.
        """
        if self.path is None or self.header is not None:
            yield
            return
        with sole_writer(self.path, "--labels"):
            if self.path.exists():
                raise BadRequest(
                    f"--labels {self.path}: another run has just written it; run this again to "
                    "train on its labels, or choose another name"
                )
            yield

    def of_images(
        self, teacher: Teacher, card: EvaluationCard, images: int, classes: int
    ) -> StoredLabels:
        """Return the labels of images that are nobody's, which are asked for."""
        return self._asked(teacher, self._pool(card, images), classes)

    def of_set(
        self, artefact: Artefact, teacher: Teacher | None, card: EvaluationCard, strategy: str
    ) -> StoredLabels:
        """Return the labels of the set, from their file or to be kept there.

        Args:
            artefact: the set.
            teacher: None where the file has all.
            card: of the students.
            strategy: their augmentation.

        Raises:
            BadRequest: the file has labels of other batches, or of another teacher.
            ArtefactError: it is damaged.
        """
        if self.path is not None and self.header is not None:
            digest = None if teacher is None else teacher.digest
            refuse_other_wishes(self.header, {"--teacher": digest}, self.path)
            return labels_from(self.path, self.header, card, strategy)
        assert teacher is not None
        pool = self._pool(card, len(artefact))
        classes = len(artefact.header.class_names)
        if self.path is None:
            return self._asked(teacher, pool, classes)
        storage = label_storage(self.storage, classes)
        header = header_for(artefact, teacher, pool, storage, strategy)
        keep = partial(save_labels, self.path, header)
        return self._asked(teacher, pool, classes, self.path.parent, keep)

    def _pool(self, card: EvaluationCard, images: int) -> Pool:
        return Pool(self.epochs, self.share, label_key(self.seed), card, images)

    def _asked(
        self,
        teacher: Teacher,
        pool: Pool,
        classes: int,
        folder: Path | None = None,
        whole: Callable[[Spool], object] | None = None,
    ) -> StoredLabels:
        storage = label_storage(self.storage, classes)
        return StoredLabels(teacher.scores, pool, storage, classes, whole=whole, folder=folder)


def label_plan(
    asked: EvaluationRequest, artefact: Artefact, card: EvaluationCard
) -> LabelPlan | None:
    """Return which labels of epochs are wanted; None for none.

    Raises:
        BadRequest: a number out of range, a file of other labels, or one that is not there without
            what it would be made from.
        ArtefactError: the file holds no labels.
    """
    if asked.label_epochs is None and asked.labels is None:
        return None
    wishes: dict[str, Any] = {
        "--label-epochs": asked.label_epochs,
        "--label-share": asked.label_share,
        "--label-storage": asked.label_storage,
    }
    path = asked.labels
    if path is not None and path.exists() and not path.is_dir():
        header = read_labels_header(path)
        refuse_other_set(header, artefact, path)
        refuse_other_wishes(header, wishes, path)
        return LabelPlan(header.epochs, header.share, header.storage, header.seed, path, header)
    if asked.label_epochs is None or asked.teacher is None:
        if path is not None and path.is_dir():
            _check_path(path)
        raise BadRequest(
            f"--labels {path}: there is no such file; to have it made, give the teacher by "
            "--teacher and the epochs to be kept by --label-epochs"
        )
    check_epochs(asked.label_epochs, card)
    storage = asked.label_storage or "float16"
    label_storage(storage, len(artefact.header.class_names))
    if path is not None:
        _check_path(path)
    return LabelPlan(asked.label_epochs, asked.label_share or 1.0, storage, asked.seed, path)


def _check_path(path: Path) -> None:
    """Refuse a folder, and what could not be written."""
    check_writable(path, "--labels", "set.labels.safetensors")
