"""The lines of a comparison: what was trained on, and what networks learnt from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from attar.budget import format_bytes
from attar.evaluation.ranking import Scores
from attar.evaluation.results import Result
from attar.teachers.teacher import Teacher
from attar.training.cards import EvaluationCard
from attar.training.stored_labels import StoredLabels
from attar.training.trainer import Images, Labelling

Kind = Literal["condensed", "random", "coreset", "whole"]


@dataclass(frozen=True)
class Row:
    """One line of the comparison: a training set and what networks learnt from it.

    Args:
        name: what the set is.
        images_per_class: how many images a class has; None where classes differ.
        paper_bytes: images or factors, as the papers count; None where no budget applies.
        bytes: everything that must be kept.
        results: one per network.
        note: anything that differs from the other rows.
        kind: ``condensed``, ``random``, ``coreset`` (real images that a method selected) or
            ``whole``.
        labels: ``own`` as they are stored, ``hard`` where learnt labels were replaced by the
            class of their largest value, ``taught`` where a teacher labelled every batch.
        scores: robust scores, one per network, where they were asked for.
    """

    name: str
    images_per_class: int | None
    paper_bytes: int | None
    bytes: int | None
    results: tuple[Result, ...]
    note: str = ""
    kind: Kind = "condensed"
    labels: Literal["own", "hard", "taught"] = "own"
    scores: tuple[Scores, ...] = ()

    @property
    def count(self) -> str:
        """Images per class, in words where classes differ."""
        if self.images_per_class is not None:
            return str(self.images_per_class)
        return "all" if self.kind == "whole" else "unequal"

    @property
    def updates(self) -> int | None:
        """Of every network; the fewest where they differ, None where unknown."""
        known = [one.updates for one in self.results if one.updates is not None]
        return min(known, default=None)

    @property
    def epochs(self) -> float | None:
        """Of every network, likewise."""
        return min((one.epochs for one in self.results if one.epochs is not None), default=None)

    def as_dict(self) -> dict[str, Any]:
        """Return the row as a plain dictionary."""
        return {
            "name": self.name,
            "kind": self.kind,
            "labels": self.labels,
            "images_per_class": self.images_per_class,
            "paper_bytes": self.paper_bytes,
            "bytes": self.bytes,
            "note": self.note,
            "epochs": self.epochs,
            "updates": self.updates,
            "results": [result.as_dict() for result in self.results],
            "scores": [scores.as_dict() for scores in self.scores],
        }


@dataclass(frozen=True)
class TrainingSet:
    """A line of the comparison before anything is trained.

    Args:
        name: what the set is.
        kind: as of a row.
        images: N×C×H×W network inputs, or real images.
        labels: N class indices, or N×K label values.
        card: how networks are trained on it.
        images_per_class: as of a row.
        paper_bytes: as of a row.
        bytes: as of a row.
        note: as of a row.
        own_labels: False where learnt labels were replaced by class indices.
        teacher: labels every batch in place of ``labels``, and has to travel with the set; None
            where labels are as they are.
        stored: what is kept of its labels, which then travel in its place.
    """

    name: str
    kind: Kind
    images: Images
    labels: Tensor
    card: EvaluationCard
    images_per_class: int | None
    paper_bytes: int | None
    bytes: int | None
    note: str = ""
    own_labels: bool = True
    teacher: Teacher | None = None
    stored: StoredLabels | None = None

    def taught(self, teacher: Teacher) -> TrainingSet:
        """Return the set with the labels that a teacher gives every batch, its bytes counted."""
        found = self._told(teacher.network.name, teacher.nbytes, "at every batch")
        return dataclasses.replace(found, teacher=teacher)

    def taught_from_inside(self, teacher: Teacher) -> TrainingSet:
        """Return the set with the labels of the teacher that it carries, and counts already."""
        note = f"labels by {teacher.network.name} {teacher.origin}, at every batch"
        note = "; ".join(filter(None, (self.note, note)))
        return dataclasses.replace(self, note=note, teacher=teacher)

    def with_labels(self, stored: StoredLabels, network: str) -> TrainingSet:
        """Return the set with the labels of epochs that a network gave, their bytes counted."""
        found = self._told(network, stored.nbytes, stored.told)
        return dataclasses.replace(found, stored=stored)

    def _told(self, network: str, size: int, how: str) -> TrainingSet:
        taken = None if self.bytes is None else self.bytes + size
        note = f"labels by {network}, {format_bytes(size)}, {how}"
        return dataclasses.replace(
            self,
            name=f"{self.name}, teacher's labels",
            bytes=taken,
            note="; ".join(filter(None, (self.note, note))),
        )

    @property
    def labelling(self) -> Labelling | None:
        """What labels batches; None where labels are as they are."""
        if self.stored is not None:
            return self.stored
        return None if self.teacher is None else self.teacher.scores

    def row(self, results: Iterable[Result]) -> Row:
        """Return the line with what was measured."""
        return Row(
            self.name,
            self.images_per_class,
            self.paper_bytes,
            self.bytes,
            tuple(results),
            self.note,
            self.kind,
            "taught" if self.labelling else "own" if self.own_labels else "hard",
        )


def with_ceilings(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Return rows whose results name the accuracy of the same network on the whole set.

    Where there is no such line, or it lacks a network, results are without.
    """
    rows = tuple(rows)
    whole = {r.network: r.mean for row in rows if row.kind == "whole" for r in row.results}

    def filled(row: Row) -> Row:
        results = [
            dataclasses.replace(
                result, ceiling=None if row.kind == "whole" else whole.get(result.network)
            )
            for result in row.results
        ]
        return dataclasses.replace(row, results=tuple(results))

    return tuple(map(filled, rows))
