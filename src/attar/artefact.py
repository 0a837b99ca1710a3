"""The artefact: one safetensors file that a network trains on, and its card.

The file keeps the stored form (pixels or factors) and whatever else is needed to make images
and labels again; its JSON header says how.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from torch import Tensor
from torch.utils.data import Dataset

from attar.budget import Budget, Ledger
from attar.data.preprocessing import Preprocessing
from attar.data.whitening import Whitening
from attar.errors import ArtefactError, BadRequest
from attar.partial import Held, Part, Stored, open_stored
from attar.synthetic import STORAGE_TYPES, Layout, Synthetic, from_description, planned_ledger
from attar.tensors import all_finite, read_header, read_tensors, save_tensors

FORMAT = "attar.artefact"
FORMAT_VERSION = 1
# what the names of whitening tensors begin with
WHITENING = "whitening."
# where the provenance says that a set is a part of a larger one's file
READ_FROM = "part_of"


class Card(BaseModel):
    """The header of an artefact.

    Args:
        class_names: of the K classes, in order of their index.
        shape: C, H, W of an image.
        images_per_class: n; images are stored class after class.
        parametrization: as `attar.synthetic.from_description` reads it.
        learned_labels: whether labels are stored, K values per image.
        nested: whether the first images of every class were made to be a set by themselves.
        storage: the type that values are stored in.
        mean: per-channel mean of pixels in [0, 1].
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
    version: int = Field(default=FORMAT_VERSION, ge=1, le=FORMAT_VERSION)
    class_names: list[str] = Field(min_length=2)
    shape: tuple[int, int, int]
    images_per_class: int = Field(ge=1)
    parametrization: dict[str, Any]
    learned_labels: bool = False
    nested: bool = False
    storage: Literal["float32", "float16", "bfloat16"] = "float32"
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

    @field_validator("budget")
    @classmethod
    def _has_a_limit_in_bytes(cls, budget: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(budget.get("limit"), int | None):
            raise ValueError("its limit is a number of bytes, or null")
        return budget

    @property
    def layout(self) -> Layout:
        """The rows of the set."""
        return Layout(len(self.class_names), self.images_per_class, self.shape)


@dataclass(frozen=True)
class Totals:
    """The three ways to say how large a set is, and what is left of the request."""

    images_per_class: int
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


class Artefact(Dataset[tuple[Tensor, Tensor]]):
    """A condensed set: a dataset that an ordinary DataLoader trains on.

    Items are (image, label): C×H×W float32 network inputs (preprocessed) and a class index,
    or K label values where labels were learnt.

    Args:
        card: the header.
        synthetic: the stored set.
        preprocessing: of the data it was made from.
    """

    def __init__(self, card: Card, synthetic: Synthetic, preprocessing: Preprocessing) -> None:
        self.card = card
        self.synthetic = synthetic
        self.preprocessing = preprocessing

    def __len__(self) -> int:
        return len(self.synthetic)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.images[index], self.labels[index]

    def __repr__(self) -> str:
        card = self.card
        return (
            f"Artefact({card.method}: {len(card.class_names)} classes × {card.images_per_class} "
            f"images of {'×'.join(map(str, card.shape))}, {self.nbytes} bytes)"
        )

    @cached_property
    def images(self) -> Tensor:
        """All images as N×C×H×W float32 network inputs, class after class."""
        with torch.no_grad():
            return self.synthetic.images(torch.arange(len(self))).contiguous()

    @cached_property
    def labels(self) -> Tensor:
        """N class indices (int64), or N×K label values where they were learnt."""
        if self.synthetic.labels is None:
            return self.synthetic.class_of_row
        with torch.no_grad():
            return self.synthetic.labels(torch.arange(len(self)))

    @cached_property
    def pixels(self) -> Tensor:
        """All images as N×C×H×W pixels in [0, 1], to be looked at."""
        return self.preprocessing.invert(self.images).clamp(0, 1)

    @property
    def nbytes(self) -> int:
        """Bytes of everything stored, header excluded."""
        return self.ledger.all

    @property
    def ledger(self) -> Ledger:
        """Every stored tensor with its size."""
        return self.synthetic.ledger(self.card.storage, whitening_tensors(self.preprocessing))

    @property
    def totals(self) -> Totals:
        """Images per class, stored values and bytes, beside the allowance."""
        ledger = self.ledger
        limit, count = self.card.budget.get("limit"), self.card.budget.get("count", "paper")
        return Totals(
            self.card.images_per_class, ledger.values, ledger.paper, ledger.all, limit, count
        )

    def save(self, path: str | Path) -> None:
        """Write the artefact, atomically.

        Raises:
            BadRequest: a stored value is not finite in the storage type.
        """
        dtype = STORAGE_TYPES[self.card.storage]
        tensors = {name: t.to(dtype) for name, t in self.synthetic.state_dict().items()}
        if not all_finite(tensors):
            raise BadRequest(
                f"values do not fit into {self.card.storage}; use --storage float32 or bfloat16"
            )
        tensors |= whitening_tensors(self.preprocessing)
        save_tensors(Path(path), tensors, self.card.model_dump(mode="json"))


def last_iterate_path(path: Path) -> Path:
    """Return where a run keeps its last iterate when another one was selected."""
    return path.with_suffix(".last.safetensors")


def load(path: str | Path, ipc: int | None = None) -> Artefact:
    """Read an artefact, or the smaller one that its beginning is. Nothing in it is executed.

    Args:
        path: of the file.
        ipc: memory in full float32 images per class, at most the artefact's own; None for the
            whole. A set of components ordered by significance is read without the least
            significant ones (`attar.synthetic.ordered.smaller`), a nested one by the first images
            of every class. Of these, no more than their own bytes are read, beside the header,
            U and Σ, and the tensors of a whitening, which are needed whole.

    Raises:
        ArtefactError: the file is missing, truncated, foreign, tampered with, or of a newer
            format version.
        BadRequest: ``ipc`` is no positive whole number or more than the artefact has, or the
            artefact is neither ordered nor nested.

    Example:
        >>> attar.load("digits.safetensors").images.shape  # doctest: +SKIP
        torch.Size([40, 1, 8, 8])
        >>> attar.load("ordered.safetensors", ipc=1).images.shape  # doctest: +SKIP
        torch.Size([10, 1, 8, 8])
    """
    path = Path(path)
    if ipc is None:
        return from_tensors(path, read_card(path), read_tensors(path))
    with open_stored(path) as stored:
        card, part = part_of(stored, ipc)
        if part is None:
            tensors = {name: stored.whole(name) for name in stored.places}
            return from_tensors(path, card, tensors)
        return from_tensors(path, _card_of_part(path, card, ipc, part), part.read(stored))


def ipc_of_part(path: str | Path, ipc: int | None) -> int | None:
    """Return ``ipc``, or None where the set of that memory is the whole file.

    Raises:
        ArtefactError: the file is no artefact.
        BadRequest: there is no such set in it.
    """
    if ipc is None:
        return None
    with open_stored(Path(path)) as stored:
        return None if part_of(stored, ipc)[1] is None else ipc


def part_of(stored: Stored, ipc: int) -> tuple[Card, Part | None]:
    """Return the card of an open file, and the part of it at a budget; None for the whole.

    Raises:
        ArtefactError: the header is not that of an artefact.
        BadRequest: there is no such part (`attar.partial.Held.part`).
    """
    path = stored.path
    card = _card(path, stored.header)
    with _describing(path):
        form = from_description(card.parametrization)
        check_size(card, path)
    held = Held(path, card.layout, form, card.storage, card.nested, card.budget.get("ipc"))
    return card, held.part(ipc)


def _card_of_part(path: Path, card: Card, ipc: int, part: Part) -> Card:
    """Return the card of a smaller set; what was measured of the whole does not hold of it."""
    budget = {**Budget(ipc=ipc).as_dict(), "limit": part.limit}
    held = f"{card.images_per_class} images per class of {path.name}"
    return card.model_copy(
        update={
            "images_per_class": part.layout.per_class,
            "parametrization": part.parametrization.describe(),
            "budget": budget,
            "validation": None,
            "provenance": {**card.provenance, READ_FROM: f"{held}, at ipc {ipc}"},
        }
    )


def from_tensors(path: Path, card: Card, tensors: dict[str, Tensor]) -> Artefact:
    """Return the artefact of a card and the stored tensors that belong to it.

    Args:
        path: the file that they come from.
        card: the header.
        tensors: of the set, and of the whitening where the card names one; those of the latter
            are taken out.

    Raises:
        ArtefactError: card and tensors do not fit together, or a value is not finite.
    """
    with _describing(path):
        parametrization = from_description(card.parametrization)
        check_size(card, path)
        synthetic = Synthetic(card.layout, parametrization, card.learned_labels)
        check_tensors(path, card, synthetic, tensors)
        whitening = {
            name.removeprefix(WHITENING): tensors.pop(name)
            for name in list(tensors)
            if name.startswith(WHITENING)
        }
        preprocessing = Preprocessing(
            tuple(card.mean),
            tuple(card.std),
            None if card.zca == "none" else Whitening.from_tensors(card.zca, whitening),
        )
    synthetic.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    synthetic.requires_grad_(False)
    return Artefact(card, synthetic, preprocessing)


@contextlib.contextmanager
def _describing(path: Path) -> Iterator[None]:
    """Tell whatever a header of a wrong content comes to as one kind of error."""
    try:
        yield
    except ArtefactError:
        raise
    except (BadRequest, TypeError, KeyError, ValueError, RuntimeError) as error:
        raise ArtefactError(f"{path}: its header does not describe a set ({error})") from error


def read_card(path: Path) -> Card:
    """Return the header of an artefact without reading its tensors."""
    return _card(path, read_header(path))


def _card(path: Path, header: Mapping[str, Any]) -> Card:
    if header.get("format") != FORMAT:
        raise ArtefactError(
            f"{path} was written by Attar but is no artefact (format {header.get('format')!r}); "
            "a checkpoint is continued with 'attar condense … --resume'"
        )
    version = header.get("version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise ArtefactError(
            f"{path} has format version {version}; this Attar reads up to {FORMAT_VERSION}. "
            "Install a newer one."
        )
    try:
        return Card.model_validate(header)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ArtefactError(f"{path}: header field {where!r}: {first['msg']}") from error


def check_size(card: Card, path: Path) -> None:
    """Refuse a header whose set could not lie in a file of this size, before allocating it."""
    parametrization = from_description(card.parametrization)
    planned = planned_ledger(card.layout, parametrization, card.storage, card.learned_labels)
    if min(card.shape) < 1 or planned.all > path.stat().st_size:
        raise ArtefactError(
            f"{path}: its header speaks of {planned.all} bytes, more than the file holds"
        )
    if not len(card.mean) == len(card.std) == card.shape[0] or min(card.std) <= 0:
        raise ArtefactError(f"{path}: mean and std do not fit {card.shape[0]} channels")


def check_tensors(
    path: Path, card: Card, synthetic: Synthetic, tensors: Mapping[str, Tensor]
) -> None:
    """Refuse tensors that are not those the header speaks of."""
    storage = STORAGE_TYPES[card.storage]
    expected = {name: (tuple(t.shape), storage) for name, t in synthetic.state_dict().items()}
    if card.zca != "none":
        stored = Whitening.stored(math.prod(card.shape))
        expected |= {WHITENING + name: form for name, form in stored.items()}
    if expected.keys() != tensors.keys():
        odd = sorted(expected.keys() ^ tensors.keys())
        raise ArtefactError(f"{path}: tensors {', '.join(odd)} are missing or do not belong")
    for name, tensor in tensors.items():
        for found, wanted in zip((tuple(tensor.shape), tensor.dtype), expected[name], strict=True):
            if found != wanted:
                raise ArtefactError(f"{path}: {name} is {found}, its header says {wanted}")
    if not all_finite(tensors):
        raise ArtefactError(f"{path}: stored values are NaN or Inf")


def whitening_tensors(preprocessing: Preprocessing) -> dict[str, Tensor]:
    """Return the tensors of a whitening under the names they have in an artefact."""
    if preprocessing.whitening is None:
        return {}
    return {WHITENING + n: t.cpu() for n, t in preprocessing.whitening.tensors().items()}
