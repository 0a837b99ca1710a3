"""`attar import`: its options, and what it does with the library."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from attar.errors import BadRequest
from attar.options import Folder, Name, Whole, option

if TYPE_CHECKING:
    from attar.artefact.artefact import Artefact

Numbers = Annotated[str | None, option("X[,X…]")]


@dataclass(frozen=True)
class Import:
    """Read a condensed set that another code wrote, and write it as an artefact."""

    files: Annotated[
        tuple[Path, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="FILE …", help_behavior_hint=""),
    ] = ()
    """All files of one set, such as images_best.pt and labels_best.pt, or one folder of pictures.
    Nothing in them is executed."""
    format: str = "auto"
    """dc (DC, DSA, DM, CAFE, LoDC), mtt (MTT, TESLA, DATM), idc, haba, rtp (RememberThePast), frepo
    (FRePo, RCIG, KIP, RFAD), folder (one folder of pictures per class), or auto."""
    data: Annotated[str | None, option("SOURCE")] = None
    """The real images that it was made from: their classes, and what whitening is fitted on."""
    data_name: Name = None
    """The data set that it is of, such as cifar10: classes, and the constants of the pixels that
    the format's authors took."""
    classes: Annotated[str | None, option("N or NAMES")] = None
    """A slice of that data set; where none is named, the names of the classes in the order of
    their labels."""
    zca: Annotated[str | None, option("{none,mtt,frepo,rtp,kip}")] = None
    """The whitening that the images are under; needs --data, unless none."""
    factor: Whole = None
    """Tiles along each side of a stored image (IDC: 2, or 3 for ImageNet; IDC-I: 1), or how many
    times bases are enlarged (RememberThePast: 2)."""
    index: int = -1
    """Which set of a file that holds several, from 0; the last by default."""
    per_class: Whole = None
    """Take the first so many images of every class."""
    mean: Numbers = None
    """Mean with which pixels were standardised, for each channel or for all, if not the known."""
    std: Numbers = None
    """Standard deviation likewise."""
    resize: Whole = None
    """Bring pictures of a folder to this height and width in pixels."""
    method: Name = None
    """What the artefact says made it; by default what the format tells."""
    output: Annotated[Path | None, option("OUT.safetensors", "-o")] = None
    """The artefact to write; by default the first file's name in this folder."""
    overwrite: bool = False
    """Replace an existing output or unfinished run."""
    data_dir: Folder = None
    """Where named data sets and decoded images lie (else $ATTAR_DATA or ~/.cache/attar)."""
    json: bool = False
    """Print one JSON object about the artefact."""

    def run(self) -> None:
        """Carry it out."""
        import_files(self)


def import_files(options: Import) -> None:
    """Run `attar import`."""
    if not options.files:
        raise BadRequest("name the files of a condensed set: attar import FILE … --data-name NAME")
    first = options.files[0]
    # '.' and '..' have no name of their own
    first = first if first.name.strip(".") else first.resolve()
    output = options.output or Path(f"{first.stem}.safetensors")
    mean, std = numbers("--mean", options.mean), numbers("--std", options.std)
    from attar.cli import console, showing
    from attar.importing.importer import import_artefact

    with console.err.status("reading the files"):
        artefact = import_artefact(
            options.files,
            format=options.format,
            data=options.data,
            data_name=options.data_name,
            classes=options.classes,
            zca=options.zca,
            factor=options.factor,
            index=options.index,
            per_class=options.per_class,
            mean=mean,
            std=std,
            resize=options.resize,
            method=options.method,
            data_dir=options.data_dir,
            output=output,
            overwrite=options.overwrite,
        )
    if options.json:
        console.print_json({"path": str(output), **showing.artefact_facts(artefact)})
        return
    showing.print_header(artefact, output)
    for note in notes(artefact):
        console.err.print(note, highlight=False, soft_wrap=True)


def notes(artefact: Artefact) -> list[str]:
    """Return what is to be known of an imported artefact, one line each."""
    imported = artefact.header.provenance["imported"]
    return [f"read as {imported['format']}", *imported["notes"]]


def numbers(name: str, text: str | None) -> tuple[float, ...] | None:
    """Return numbers with commas between.

    Raises:
        BadRequest: a part of the text is no number.
    """
    try:
        return None if text is None else tuple(float(part) for part in text.split(","))
    except ValueError:
        raise BadRequest(
            f"{name} {text!r}: one number, or one per channel with commas between, such as "
            "0.49,0.48,0.45"
        ) from None
