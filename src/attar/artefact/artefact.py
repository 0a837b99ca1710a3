"""The artefact: one safetensors file that a network trains on, and its header.

The file keeps the stored form (pixels or factors) and whatever else is needed to make images
and labels again; its JSON header says how.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from attar.artefact.carried import Carried, Described
from attar.artefact.clipping import Clipping, clipping_of
from attar.artefact.coding import check_alone, check_parted, encoded, rounded
from attar.artefact.dataset import CondensedDataset
from attar.artefact.header import FORMAT_VERSION, READ_FROM, Header, Totals
from attar.budget import WHITENING, Ledger
from attar.data.preprocessing import Preprocessing
from attar.data.whitening import Whitening
from attar.errors import BadRequest, unknown
from attar.renaming import attribute, keywords
from attar.storage import Storage, storage_of
from attar.synthetic import Layout, Synthetic
from attar.tensors import all_finite, save_tensors
from attar.text import printable

# what the names of mean and deviation begin with, where rows are no pictures
STANDARD = "standardisation."
# and those of tensors learnt beside the set
LEARNT = "learned."


class Artefact(CondensedDataset):
    """A condensed set: a dataset that an ordinary DataLoader trains on.

    Items are (image, label): C×H×W float32 network inputs (preprocessed) and a class index,
    or K label values where labels were learnt. Like the data sets of torchvision it has `classes`,
    `class_to_idx` and `targets`; `transform` is what real images need, and ``item_transform`` what
    items go through, None as a rule. Nothing that follows from these can be set.

    Args:
        header: what the file says of itself.
        synthetic: the stored set.
        preprocessing: of the data it was made from.
        checked: False where it was read from a file of version 1, which has no checksums by which
            damage would have been noticed.
        learned: what was learnt beside the set, such as a step size or one for each step, by
            name; stored in float32.
        coded: what a file keeps of the set where its storage codes values; the set is then what
            that decodes to. Where it is missing, it is made, and the set rounded to it.
        carried: the network that travels with the set and labels what is made of its images; None
            for none.
    """

    card = attribute("card", "header")

    @keywords(card="header")
    def __init__(
        self,
        header: Header,
        synthetic: Synthetic,
        preprocessing: Preprocessing,
        *,
        checked: bool = True,
        learned: Mapping[str, Tensor] = MappingProxyType({}),
        coded: Mapping[str, Tensor] | None = None,
        carried: Carried | None = None,
    ) -> None:
        told = None if carried is None else carried.described
        self.header = header if header.teacher == told else _with_teacher(header, told)
        self.carried = carried
        self.synthetic = synthetic
        self.preprocessing = preprocessing
        self.checked = checked
        self.learned = {name: one.detach().cpu().float() for name, one in learned.items()}
        self._coded = coded
        if coded is None and not self.storage.fixed:
            self._coded = rounded(synthetic, self.storage, preprocessing)

    @classmethod
    def rounded(
        cls,
        header: Header,
        synthetic: Synthetic,
        preprocessing: Preprocessing,
        learned: Mapping[str, Tensor] = MappingProxyType({}),
        carried: Carried | None = None,
    ) -> Artefact:
        """Return an artefact whose set is changed to what is read again once it is kept."""
        storage = storage_of(header.storage)
        coded = rounded(synthetic.requires_grad_(False), storage, preprocessing)
        own = None if storage.fixed else coded
        return cls(header, synthetic, preprocessing, learned=learned, coded=own, carried=carried)

    def __len__(self) -> int:
        return len(self.synthetic)

    def __repr__(self) -> str:
        header = self.header
        return (
            f"Artefact({printable(header.method)}: {len(header.class_names)} classes × "
            f"{header.counted} of {'×'.join(map(str, header.shape))}, {self.nbytes} bytes)"
        )

    @cached_property
    def images(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        """All images as N×C×H×W float32 network inputs, class after class."""
        with torch.no_grad():
            return self.synthetic.images(torch.arange(len(self))).contiguous()

    @cached_property
    def labels(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        """N class indices (int64), or N×K label values where they were learnt."""
        if self.synthetic.labels is None:
            return self.synthetic.class_of_row
        with torch.no_grad():
            return self.synthetic.labels(torch.arange(len(self)))

    @cached_property
    def pixels(self) -> Tensor:  # pyright: ignore[reportIncompatibleVariableOverride]
        """All images as N×C×H×W pixels, clipped to [0, 1] to be looked at; vectors as they are.

        Nothing keeps what is learnt within black and white: `clipped` says how much is lost here,
        and `raw_pixels` has all of it.
        """
        return self.raw_pixels.clamp(0, 1) if self.modality.bounded else self.raw_pixels

    @property
    def raw_pixels(self) -> Tensor:
        """All images as N×C×H×W pixels, 0 black and 1 white, not clipped; vectors in their units.

        ``preprocessing.apply`` makes `images` of them again, but for rtp and kip whitening, which
        forget the brightness and contrast of an image.
        """
        return self.preprocessing.invert(self.images)

    @cached_property
    def clipped(self) -> Clipping | None:
        """What `pixels` clips; None where all pixels lie in [0, 1], and for vectors."""
        return clipping_of(self.raw_pixels) if self.modality.bounded else None

    @property
    def storage(self) -> Storage:
        """How its values are kept."""
        return storage_of(self.header.storage)

    @property
    def coded(self) -> Mapping[str, Tensor]:
        """What its file keeps of the set, by name."""
        if self._coded is not None:
            return self._coded
        return encoded(self.synthetic, self.storage, self.preprocessing)

    @property
    def nbytes(self) -> int:
        """Bytes of everything stored, header excluded."""
        return self.ledger.all

    @property
    def ledger(self) -> Ledger:
        """Every stored tensor with its size."""
        return self.synthetic.ledger(self.storage, self.beside, self._coded)

    @property
    def beside(self) -> dict[str, Tensor]:
        """What its file keeps beside the set, by name."""
        found = preprocessing_tensors(self.preprocessing) | learnt_tensors(self.learned)
        return found if self.carried is None else found | dict(self.carried.coded)

    @property
    def totals(self) -> Totals:
        """Images per class, stored values and bytes, beside the allowance."""
        ledger = self.ledger
        limit, count = self.header.budget.get("limit"), self.header.budget.get("count", "paper")
        each = self.header.images_per_class if self.header.class_counts is None else None
        return Totals(each, ledger.values, ledger.paper, ledger.all, limit, count)

    @torch.no_grad()
    def of_classes(self, names: Sequence[str]) -> Artefact:
        """Return the set of some of the classes, in this order, its values as they are stored.

        Args:
            names: one or more class names.

        Raises:
            BadRequest: an unknown name or one given twice, a form in which images share what is
                stored, learnt labels, which are values for all classes, or a storage in which
                images are coded together.
        """
        check_parted(self.storage, "of_classes", "condense these anew")
        check_alone(self.carried, "of_classes", "condense these anew")
        chosen, header, form = list(names), self.header, self.synthetic.parametrization
        for name in chosen:
            if name not in header.class_names:
                raise unknown("class (of_classes)", name, header.class_names)
        if not chosen or len(set(chosen)) < len(chosen):
            raise BadRequest(f"of_classes({chosen}): one or more classes are needed, each once")
        if not form.by_row or header.learned_labels:
            what = "learnt labels" if header.learned_labels else f"the form {form.name!r}"
            raise BadRequest(f"of_classes: {what} cannot be parted by class; condense these anew")
        own = [header.layout.rows_of(header.class_names.index(name)) for name in chosen]
        counts = tuple(map(len, own))
        unequal = counts if len(set(counts)) > 1 else None
        made = Synthetic(Layout(len(chosen), max(counts), header.shape, unequal), form)
        rows = torch.tensor([row for part in own for row in part])
        stored = self.synthetic.state_dict()
        made.load_state_dict({name: tensor[rows] for name, tensor in stored.items()})
        told = dict(header.provenance)
        reading = told.get("reading")
        told["reading"] = {**(reading if isinstance(reading, dict) else {}), "classes": chosen}
        told[READ_FROM] = f"a set of {len(header.class_names)} classes"
        changes: dict[str, Any] = {
            "class_names": chosen,
            "images_per_class": max(counts),
            "class_counts": None if unequal is None else list(unequal),
            "budget": {},
            "validation": None,
            "provenance": told,
        }
        part = header.model_copy(update=changes)
        found = Artefact.rounded(part, made, self.preprocessing, self.learned)
        found.checked = self.checked
        return found

    def save(self, path: str | Path) -> None:
        """Write the artefact, atomically.

        Raises:
            BadRequest: a stored value is not finite in the storage type.
        """
        tensors = dict(self.coded)
        if not all_finite(tensors):
            raise BadRequest(
                f"values do not fit into {self.header.storage}; use --storage float32 or bfloat16"
            )
        tensors |= self.beside
        # what an older version wrote is written as files are now
        header = self.header.model_dump(mode="json") | {"version": FORMAT_VERSION}
        shapes = {name: list(one.shape) for name, one in self.learned.items()}
        header.pop("learned")
        header |= {"learned": shapes} if shapes else {}
        # files without one stay readable by versions that know none
        if self.carried is None:
            header.pop("teacher")
        save_tensors(Path(path), tensors, header)


def last_iterate_path(path: Path) -> Path:
    """Return where a run keeps its last iterate when another one was selected."""
    return path.with_suffix(".last.safetensors")


def evaluation_path(artefact: Path, ipc: int | None = None) -> Path:
    """Return where `attar evaluate` keeps what it measured of an artefact.

    Args:
        artefact: its path.
        ipc: memory of the smaller set read out of it; None for the whole.
    """
    # the ending differs, so that no name of another artefact leads to the same file
    ending = ".evaluation.json" if ipc is None else f".evaluation.ipc{ipc}.json"
    return Path(artefact).with_suffix(ending)


def learnt_tensors(learned: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what was learnt beside a set as an artefact keeps it, under its names there."""
    return {LEARNT + name: one.detach().cpu().float() for name, one in learned.items()}


def preprocessing_tensors(preprocessing: Preprocessing) -> dict[str, Tensor]:
    """Return what an artefact keeps of a preprocessing as tensors, under their names there."""
    found: dict[str, Tensor] = {}
    if preprocessing.as_tensors:
        for name in ("mean", "std"):
            found[STANDARD + name] = torch.tensor(getattr(preprocessing, name))
    if preprocessing.whitening is not None:
        own = preprocessing.whitening.tensors()
        found |= {WHITENING + name: tensor.cpu() for name, tensor in own.items()}
    return found


def preprocessing_fields(preprocessing: Preprocessing) -> dict[str, Any]:
    """Return what the header of an artefact says of a preprocessing."""
    in_header = not preprocessing.as_tensors
    constants = {
        name: list(getattr(preprocessing, name)) if in_header else [] for name in ("mean", "std")
    }
    return {**constants, "zca": getattr(preprocessing.whitening, "kind", "none")}


def preprocessing_of(header: Header, tensors: dict[str, Tensor]) -> Preprocessing:
    """Return the preprocessing of a file, whose tensors are taken out of ``tensors``."""

    def taken(beginning: str) -> dict[str, Tensor]:
        names = [name for name in tensors if name.startswith(beginning)]
        return {name.removeprefix(beginning): tensors.pop(name) for name in names}

    standard, whitening = taken(STANDARD), taken(WHITENING)
    return Preprocessing(
        tuple(standard["mean"].tolist() if standard else header.mean),
        tuple(standard["std"].tolist() if standard else header.std),
        None if header.zca == "none" else Whitening.from_tensors(header.zca, whitening),
        as_tensors=bool(standard),
    )


def _with_teacher(header: Header, told: Described | None) -> Header:
    return header.model_copy(update={"teacher": told})
