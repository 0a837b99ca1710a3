"""The folder of a shared set: what goes out, and nothing else."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from attar.artefact.artefact import Artefact
from attar.evaluation.exported import Exported
from attar.evaluation.record import Evaluation
from attar.hub import SET
from attar.sharing.card import (
    Card,
    Shared,
    Source,
    condensed_images,
    named_source,
    without_places,
)
from attar.sharing.croissant import as_croissant
from attar.sharing.readme import as_readme
from attar.sharing.table import write_table

README, CROISSANT = "README.md", "croissant.json"
TABLE = "data/train-00000-of-00001.parquet"
# mlcroissant 1.1.1 reads a table under this name alone, not under the registered one
_WHAT = {
    SET: ("the set as `attar.load` reads it, every value", "application/octet-stream"),
    TABLE: ("the same as a table", "application/x-parquet"),
}


@dataclasses.dataclass(frozen=True)
class Told:
    """What a set does not say of itself.

    Args:
        licence: of the set.
        source_licence: of the real data.
        source: what these are called; as the set recorded it where None.
        title: of the page; the repository's name where None.
        measured: accuracies, where there are any.
        as_pictures: what the set loses as pictures of 8 bits, where that was measured.
    """

    licence: str
    source_licence: str
    source: str | None = None
    title: str | None = None
    measured: Sequence[Evaluation] = ()
    as_pictures: Exported | None = None


def write_shared(artefact: Artefact, folder: Path, repository: str | None, told: Told) -> Card:
    """Write the files of a shared set into a folder that is there.

    No file names a folder of this machine.

    Returns:
        The card that they were written of.
    """
    own = without_places(artefact.header)
    (folder / TABLE).parent.mkdir(parents=True, exist_ok=True)
    _with_header(artefact, own).save(folder / SET)
    write_table(artefact, folder / TABLE)
    name = named_source(own, told.source)
    card = Card(
        title=told.title or _title(repository, name),
        repository=repository,
        header=own,
        licence=told.licence,
        source=Source(name, told.source_licence, condensed_images(artefact)),
        rows=len(artefact),
        stored=artefact.nbytes,
        clipped=None if artefact.clipped is None else str(artefact.clipped),
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        files=[_shared(folder, path, artefact) for path in (SET, TABLE)],
        measured=told.measured,
        as_pictures=told.as_pictures,
    )
    text = json.dumps(as_croissant(card), indent=1, ensure_ascii=False) + "\n"
    (folder / CROISSANT).write_text(text, encoding="utf-8")
    (folder / README).write_text(as_readme(card), encoding="utf-8")
    return card


def _with_header(artefact: Artefact, header: object) -> Artefact:
    """Return the same set, its stored values as they are, under another header."""
    coded = None if artefact.storage.fixed else artefact.coded
    return Artefact(
        header,  # pyright: ignore[reportArgumentType]
        artefact.synthetic,
        artefact.preprocessing,
        checked=artefact.checked,
        learned=artefact.learned,
        coded=coded,
        carried=artefact.carried,
    )


def _title(repository: str | None, source: str) -> str:
    return repository.partition("/")[2] if repository else f"{source.rpartition('/')[2]}, condensed"


def _shared(folder: Path, path: str, artefact: Artefact) -> Shared:
    content = (folder / path).read_bytes()
    what, kind = _WHAT[path]
    if path == SET and artefact.carried is not None:
        what += ", and the network that labels its images"
    return Shared(path, what, kind, len(content), hashlib.sha256(content).hexdigest())
