"""The one card of a shared set, of which the pages and files that describe it are written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attar.artefact.artefact import Artefact
from attar.artefact.header import Header
from attar.budget import format_bytes
from attar.data.modality import rows_of
from attar.evaluation.exported import Exported
from attar.evaluation.record import Evaluation
from attar.text import counted, printable
from attar.unplaced import unplaced

# what a set says of where it comes from that names no data set
_UNNAMED = ("data", "dataset", "")


@dataclass(frozen=True)
class Source:
    """The real data that a set was made from.

    Args:
        name: as people know it, such as ``uoft-cs/cifar10``.
        licence: as `attar.sharing.licences.checked` returns it.
        images: how many were condensed; None where that is not recorded.
    """

    name: str
    licence: str
    images: int | None

    @property
    def on_hub(self) -> bool:
        """Whether the name is one of the Hub."""
        return "/" in self.name


@dataclass(frozen=True)
class Shared:
    """A file beside the card.

    Args:
        path: in the shared folder.
        what: it is, in a sentence's place.
        kind: its media type.
        nbytes: its size.
        sha256: digest of its bytes.
    """

    path: str
    what: str
    kind: str
    nbytes: int
    sha256: str


@dataclass(frozen=True)
class Card:
    """What is told of a shared set.

    Args:
        title: of the page.
        repository: ``OWNER/NAME`` on the Hub; None for a folder.
        header: of the set, without the folders of the machine that made it.
        licence: of the set.
        source: the real data.
        rows: of the table, images or vectors.
        stored: bytes of what the set stores, its header excluded.
        clipped: how much of the pixel values 8 bits clip, in words; None where nothing.
        date: of sharing, as ``2026-01-31``.
        files: beside the card.
        measured: accuracies of networks trained on it, where they were measured.
        as_pictures: what it loses as pictures of 8 bits, where that was measured.
    """

    title: str
    repository: str | None
    header: Header
    licence: str
    source: Source
    rows: int
    stored: int
    clipped: str | None
    date: str
    files: Sequence[Shared] = ()
    measured: Sequence[Evaluation] = ()
    as_pictures: Exported | None = None

    @property
    def pictures(self) -> bool:
        """Whether the table holds pictures of 8 bits."""
        return holds_pictures(self.header)

    @property
    def description(self) -> str:
        """The set in two sentences."""
        header = self.header
        of = "" if self.source.images is None else f"{self.source.images:,} real images of "
        return (
            f"{counted(self.rows, 'row')} ({rows_of(header.shape)}) in "
            f"{counted(len(header.class_names), 'class')}, {format_bytes(self.stored)} as stored, "
            f"condensed from {of}{self.source.name} with the method {printable(header.method)}. "
            "A network trained from scratch on these learns much of what it would on the real "
            "images."
        )

    @property
    def network(self) -> str:
        """The network that travels in the file of the set; empty where none does."""
        return "" if self.header.teacher is None else printable(self.header.teacher.network)

    @property
    def command(self) -> str | None:
        """What makes the set again, where it is known."""
        told = self.header.provenance.get("command")
        return told if isinstance(told, str) else None

    @property
    def from_real_images(self) -> bool:
        """Whether its images began as real ones, or are such."""
        return str(self.header.settings.get("init", "noise")) != "noise"


def holds_pictures(header: Header) -> bool:
    """Tell whether images of a set are such that pictures of 8 bits hold."""
    return len(header.shape) == 3 and header.shape[0] in (1, 3)


def named_source(header: Header, given: str | None) -> str:
    """Return what the real data of a set are called.

    Args:
        header: of the set, without folders.
        given: by the user; what the set recorded where None.
    """
    if given is not None:
        return printable(unplaced(given))
    recorded = str(header.provenance.get("source", ""))
    if recorded.startswith("hf:"):
        return printable(recorded.removeprefix("hf:").partition(":")[0])
    name = str(header.provenance.get("dataset", ""))
    return "images of its author" if name in _UNNAMED else printable(name)


def without_places(header: Header) -> Header:
    """Return a header that names no folder of the machine on which the set was made."""
    told = {name: unplaced(getattr(header, name)) for name in ("provenance", "settings")}
    return header.model_copy(update=told)


def condensed_images(artefact: Artefact) -> int | None:
    """Return how many real images a set was made from, where it is recorded."""
    told = artefact.header.provenance.get("images")
    return told if isinstance(told, int) else None
