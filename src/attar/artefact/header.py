"""The header of an artefact: the JSON that says what its tensors are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, field_validator

from attar.artefact.carried import Described
from attar.budget import Count
from attar.shapes import Shape
from attar.storage import storage_of, storage_text
from attar.synthetic import Layout
from attar.text import written

FORMAT = "attar.artefact"
FORMAT_VERSION = 2
# the settings that say how long a run is; a resumed one may go on for longer
LENGTH = ("iterations", "minutes")
# where the provenance says that a set is a part of a larger one's file
READ_FROM = "part_of"
# where it says by what the iterate was selected, where that is not accuracy
SELECTED_BY, BALANCED = "selected_by", "balanced accuracy"
# where it tells of the parts of the data; see `attar.condensing.selecting.Selection.facts`
PARTS = "parts"
# where it tells in sentences what coding changed, such as a quality that was lowered to fit
NOTES = "coding"
# where it tells what a method decided by itself, or --storage auto, and why
CHOSEN = "chosen"
# where it tells of the trained network that its labels come from
TEACHER = "teacher"


class Header(BaseModel):
    """The header of an artefact.

    Args:
        class_names: of the K classes, in order of their index.
        shape: C, H, W of an image, or that of another row, such as D of a vector.
        images_per_class: n; images are stored class after class. Where classes differ, the most
            that one has.
        class_counts: images of each class where they differ.
        parametrization: as `attar.synthetic.from_description` reads it.
        learned_labels: whether labels are stored, K values per image.
        learned: shapes of the tensors learnt beside the set, by name.
        teacher: the network that the file carries to label what is made of the images, if any.
        nested: whether the first images of every class were made to be a set by themselves.
        storage: how values are kept, as `attar.storage.storage_of` reads it.
        mean: per-channel mean of pixels in [0, 1]; empty where rows are no pictures, whose means
            and deviations are tensors.
        std: per-channel standard deviation.
        zca: the form of whitening, or ``none``.
        budget: the request and what came of it.
        method: the preset's name.
        settings: everything that the result depends on.
        seed: of the run.
        step: updates behind this iterate.
        iterate: ``last``, or ``selected`` by accuracy on held-out training images.
        validation: accuracy on them in percent, where it was measured.
        provenance: source of the data, versions, and the command that makes it again.
    """

    model_config = ConfigDict(extra="forbid")

    format: Literal["attar.artefact"] = FORMAT
    version: int = Field(default=FORMAT_VERSION, ge=1, le=FORMAT_VERSION, strict=True)
    class_names: list[str] = Field(min_length=1)
    shape: Shape = Field(min_length=1)
    images_per_class: int = Field(ge=1)
    class_counts: list[int] | None = None
    parametrization: dict[str, Any]
    learned_labels: bool = False
    learned: dict[str, list[int]] = Field(default_factory=dict)
    teacher: Described | None = None
    nested: bool = False
    storage: str = "float32"
    mean: list[float]
    std: list[float]
    zca: Literal["none", "mtt", "frepo", "rtp", "kip"] = "none"
    budget: dict[str, Any] = Field(default_factory=dict)
    method: str = "unknown"
    settings: dict[str, Any] = Field(default_factory=dict)
    seed: int = 0
    step: int = Field(default=0, ge=0)
    iterate: Literal["last", "selected"] = "last"
    validation: float | None = None
    provenance: dict[str, Any] = Field(default_factory=dict)

    @field_validator("storage")
    @classmethod
    def _is_known(cls, storage: str) -> str:
        return storage_text(storage_of(storage).settled())

    @field_validator("budget")
    @classmethod
    def _is_one(cls, budget: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(budget.get("limit"), int | None):
            raise ValueError("its limit is a number of bytes, or null")
        for name in ("ipc", "bytes", "images_per_class"):
            value = budget.get(name)
            if value is not None and (type(value) is not int or value < 1):
                raise ValueError(f"its {name} {value!r} is no whole number of 1 or more")
        if budget.get("count") not in (None, *get_args(Count)):
            raise ValueError(f"its count is {' or '.join(get_args(Count))}")
        return budget

    @property
    def parts(self) -> dict[str, Any]:
        """What is told of the parts of the data; nothing in files of before that."""
        told = self.provenance.get(PARTS)
        return told if isinstance(told, dict) else {}

    @property
    def notes(self) -> list[str]:
        """What coding changed, in sentences; mostly nothing."""
        told = self.provenance.get(NOTES)
        return [one for one in told if isinstance(one, str)] if isinstance(told, list) else []

    @property
    def card(self) -> str:
        """Name of the card under which it is evaluated where no other is named."""
        return str(self.settings.get("card", "dsa-1000"))

    @property
    def layout(self) -> Layout:
        """The rows of the set."""
        counts = None if self.class_counts is None else tuple(self.class_counts)
        return Layout(len(self.class_names), self.images_per_class, self.shape, counts)

    @property
    def count(self) -> str:
        """Images per class as text, such as ``1,000``; ``1 to 9`` where classes differ."""
        if self.class_counts is None:
            return f"{self.images_per_class:,}"
        return f"{min(self.class_counts):,} to {self.images_per_class:,}"

    @property
    def counted(self) -> str:
        """Images per class in words: ``1 image``, or `count` with ``images``."""
        return "1 image" if self.count == "1" else f"{self.count} images"

    @property
    def stored_as(self) -> str:
        """How images are stored, in words such as ``low rank (rank 2) of tiled (factor 2)``."""
        return _in_words(self.parametrization)


def _in_words(form: Mapping[str, Any]) -> str:
    """Return a form in words, with the form inside it where that is not plain pixels."""
    # sorted, as a file gives them back; zeros say that something is not so
    settings = {key: form[key] for key in sorted(form) if form[key] not in ([], (), 0)}
    name = str(settings.pop("name", "?")).replace("_", " ")
    base = settings.pop("base", None)
    inside = isinstance(base, Mapping) and base.get("name") != "pixels"
    details = ", ".join(f"{key} {written(value)}" for key, value in settings.items())
    told = f"{name} ({details})" if details else name
    return f"{told} of {_in_words(base)}" if inside else told


@dataclass(frozen=True)
class Totals:
    """The three ways to say how large a set is, and what is left of the request.

    ``images_per_class`` is None where classes differ.
    """

    images_per_class: int | None
    values: int
    paper: int
    all: int
    limit: int | None
    count: str

    @property
    def unused(self) -> int | None:
        """Bytes of the allowance that are left over; None without an allowance."""
        if self.limit is None:
            return None
        return self.limit - (self.all if self.count == "all" else self.paper)
