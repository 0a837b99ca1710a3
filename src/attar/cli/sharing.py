"""`attar push`: a set goes to the Hugging Face Hub, with its card."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from attar.cli.console import PLAIN, out, print_json
from attar.cli.of_files import OfFiles, check, evaluated, show
from attar.errors import BadRequest
from attar.options import Folder, option

if TYPE_CHECKING:
    from attar.evaluation.exported import Exported


@dataclass(frozen=True)
class Push:
    """Share a set on the Hugging Face Hub, for attar.load('hub:OWNER/NAME') and load_dataset."""

    artefact: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="IN.safetensors")]
    """The .safetensors file. What 'attar evaluate' kept beside it is told in the card."""
    measuring: Annotated[OfFiles, tyro.conf.arg(name="")]
    name: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="OWNER/NAME")] = None
    """The data set of the Hub; made where it is not there. May be left out beside --to."""
    license: Annotated[str | None, option("LICENCE")] = None
    """Under which the set may be used, such as cc-by-4.0; other:NAME for one of another name."""
    source_license: Annotated[str | None, option("LICENCE")] = None
    """Of the real data that it was made from."""
    source: Annotated[str | None, option("NAME")] = None
    """What these data are called, such as uoft-cs/cifar10; as the set tells where left out."""
    title: Annotated[str | None, option("TEXT")] = None
    """Heading of the page."""
    to: Folder = None
    """Write the files into this new folder, and send nothing."""
    private: bool = False
    """Make a data set that nobody else sees."""
    overwrite: bool = False
    """Replace a set that is there already; on the Hub, its earlier commits stay."""
    json: bool = False
    """Print one JSON object."""

    def run(self) -> None:
        """Carry it out."""
        push(self)


def push(options: Push) -> None:
    """Run `attar push`."""
    check(options.measuring)
    from attar.sharing.licences import checked

    # before networks are trained
    checked("--license", options.license, "the set")
    checked("--source-license", options.source_license, "the data that it was made from")
    found = _measured(options) if options.measuring.evaluate else None
    from attar.sharing.pushing import push as pushed

    made = pushed(
        options.artefact,
        options.name,
        license=options.license,
        source_license=options.source_license,
        source=options.source,
        title=options.title,
        to=options.to,
        private=options.private,
        overwrite=options.overwrite,
        as_pictures=found,
    )
    if options.json:
        told = {"name": made.repository, "commit": made.commit, "url": made.url}
        told |= {"folder": None if made.folder is None else str(made.folder)}
        told |= {} if found is None else found.as_dict()
        print_json({"address": made.address, **told})
        return
    if found is not None:
        show(found)
    where = made.url or f"{made.folder} (nothing was sent)"
    out.print(f"shared: {where}", **PLAIN)
    out.print(f"read it: attar.load('{made.address}')", **PLAIN)


def _measured(options: Push) -> Exported:
    """Return what the set loses as the pictures of its table."""
    from attar.artefact.exporting import export_pictures
    from attar.artefact.loading import load
    from attar.sharing.card import holds_pictures

    own = load(options.artefact)
    if not holds_pictures(own.header):
        raise BadRequest("--evaluate: the table of this set holds every value; leave it out")
    with tempfile.TemporaryDirectory(prefix="attar-push-") as made:
        folder = Path(made) / "pictures"
        # of the same 8 bits as those of the table
        export_pictures(own, folder)
        return evaluated(options.measuring, options.artefact, folder)
