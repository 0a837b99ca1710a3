"""Labels of epochs in a file of their own: what travels with a set in place of its teacher."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from attar.artefact.artefact import Artefact
from attar.errors import ArtefactError, BadRequest
from attar.rng import Key
from attar.storage import PART, Storage, storage_text
from attar.stored import is_of
from attar.teachers.teacher import Teacher
from attar.tensors import feed, read_header
from attar.text import printable, short
from attar.training.evaluation_card import EvaluationCard
from attar.training.label_pool import Pool
from attar.training.label_store import Filed, Spool
from attar.training.stored_labels import StoredLabels, label_storage

FORMAT = "attar.labels"
FORMAT_VERSION = 2
# of what a file, which is not trusted, says of a batch
_LONGEST_VALUE = 60


class Teaching(BaseModel):
    """The teacher that gave labels."""

    model_config = ConfigDict(frozen=True)

    network: str
    digest: str
    bytes: int
    origin: str


class LabelHeader(BaseModel):
    """What a file says of the labels in it.

    ``batches`` is all of a card that decides what is in a batch, and how it is augmented.
    """

    model_config = ConfigDict(frozen=True)

    set: str
    classes: int
    images: int
    teacher: Teaching
    batches: dict[str, Any]
    epochs: int = Field(ge=1)
    share: float = Field(gt=0, le=1)
    storage: str
    seed: int


def labels_path(artefact: Path) -> Path:
    """Return where the labels of an artefact lie by custom."""
    return Path(artefact).with_suffix(".labels.safetensors")


def read_labels_header(path: Path) -> LabelHeader:
    """Return what a file of labels says of itself.

    Raises:
        ArtefactError: it is missing, damaged, or holds something else.
    """
    found = read_header(path)
    try:
        if is_of(found, FORMAT, FORMAT_VERSION):
            return LabelHeader.model_validate(found)
    except ValidationError:
        pass
    raise ArtefactError(
        f"{path} holds no labels; those that 'attar evaluate --labels' keeps are of one set, such "
        "as OUT.labels.safetensors"
    )


def label_key(seed: int) -> Key:
    """Return the key of the batches that labels are kept of."""
    return Key(seed).fold("stored labels")


def set_digest(artefact: Artefact) -> str:
    """Return 16 hexadecimal digits of a set as it is stored, without labels of its own."""
    found = hashlib.blake2b(digest_size=8)
    header = artefact.header
    found.update(repr((header.layout.sizes(), header.shape, header.stored_as)).encode())
    for name in sorted(artefact.coded):
        if not name.partition(PART)[0].startswith("labels."):
            found.update(name.encode())
            feed(found, artefact.coded[name])
    return found.hexdigest()


def batches_of(card: EvaluationCard, strategy: str) -> dict[str, Any]:
    """Return all of a card that decides what is in a batch, and how it is augmented."""
    names = ("batch", "even", "variants", "mixing", "mixed")
    return {"augmentation": strategy, **{name: getattr(card, name) for name in names}}


def refuse_other_set(header: LabelHeader, artefact: Artefact, path: Path) -> None:
    """Refuse labels of another set.

    Raises:
        BadRequest: they are.
    """
    ours = (set_digest(artefact), len(artefact), len(artefact.header.class_names))
    if (header.set, header.images, header.classes) != ours:
        raise BadRequest(
            f"--labels {path}: these labels are of another set (digest {header.set}, "
            f"{header.images} images, {header.classes} classes), not of this one ({ours[0]}, "
            f"{ours[1]}, {ours[2]}); name a file that is not there to have labels of this set kept"
        )


def refuse_other_wishes(header: LabelHeader, wishes: Mapping[str, Any], path: Path) -> None:
    """Refuse to keep other labels in a file than there are.

    Args:
        header: of the file.
        wishes: what is asked for, by its options; None for whatever there is.
        path: of the file.

    Raises:
        BadRequest: they differ.
    """
    there = {
        "--label-epochs": header.epochs,
        "--label-share": header.share,
        "--label-storage": header.storage,
        "--teacher": header.teacher.digest,
    }
    for option, wish in wishes.items():
        if wish is not None and wish != there[option]:
            what = "is of digest " if option == "--teacher" else ""
            raise BadRequest(
                f"{option} {what}{wish}: {path} holds labels with {there[option]} there; leave "
                "the option out, or name another file by --labels"
            )


def labels_from(
    path: Path, header: LabelHeader, card: EvaluationCard, strategy: str
) -> StoredLabels:
    """Return the labels of a file, for batches as a card makes them.

    Raises:
        BadRequest: they are of other batches.
        ArtefactError: the file is damaged, or speaks of labels that there cannot be.
    """
    ours = batches_of(card, strategy)
    differing = [name for name, value in ours.items() if header.batches.get(name) != value]
    if differing:
        name = differing[0]
        theirs = short(printable(str(header.batches.get(name))), _LONGEST_VALUE)
        raise BadRequest(
            f"--labels {path}: these labels are of batches with {name} {theirs}, and the card "
            f"{card.name!r} has {ours[name]}; take the card that they were made with"
        )
    if card.updates or card.rates:
        raise BadRequest(
            f"--labels {path}: these labels are of {header.epochs} epochs, and {card.name!r} "
            "counts updates; give --epochs in their place"
        )
    if header.epochs > card.epochs:
        raise BadRequest(
            f"--labels {path}: these labels are of {header.epochs} epochs, and students are "
            f"trained for {card.epochs} under the card {card.name!r}; give --epochs"
        )
    try:
        storage = label_storage(header.storage, header.classes)
    except BadRequest as error:
        raise ArtefactError(f"{path} says how its labels are stored in no known way") from error
    pool = Pool(header.epochs, header.share, label_key(header.seed), card, header.images)
    there = Filed(path, storage, pool.rows, header.classes)
    return StoredLabels(None, pool, storage, header.classes, there=there)


def header_for(
    artefact: Artefact, teacher: Teacher, pool: Pool, storage: Storage, strategy: str
) -> LabelHeader:
    """Return the header of the labels that a teacher is to give a set."""
    return LabelHeader(
        set=set_digest(artefact),
        classes=len(artefact.header.class_names),
        images=len(artefact),
        teacher=Teaching(**teacher.facts()),
        batches=batches_of(pool.card, strategy),
        epochs=pool.epochs,
        share=pool.share,
        storage=storage_text(storage),
        seed=pool.key.seed,
    )


def save_labels(path: Path, header: LabelHeader, spool: Spool) -> None:
    """Write labels that are all there, atomically."""
    told = {"format": FORMAT, "version": FORMAT_VERSION, **header.model_dump(mode="json")}
    spool.save(path, told)


def told_of(path: Path, artefact: Artefact) -> dict[str, Any]:
    """Return what is to be told of a file of labels; {} where there is none of this set."""
    try:
        header = read_labels_header(path)
    except ArtefactError:
        return {}
    if header.set != set_digest(artefact):
        return {}
    return {
        "file": path.name,
        "file_bytes": path.stat().st_size,
        "epochs": header.epochs,
        "share": header.share,
        "storage": header.storage,
        "teacher": header.teacher.model_dump(mode="json"),
    }
