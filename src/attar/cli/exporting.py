"""`attar export`: the images of an artefact as plain files, and what that costs."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from attar.cli.console import PLAIN, err, out, print_json
from attar.cli.of_files import OfFiles, check, evaluated, show
from attar.errors import BadRequest
from attar.options import File, Folder, Whole, option
from attar.text import counted


@dataclass(frozen=True)
class Export:
    """Write an artefact's images as plain files."""

    artefact: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT.safetensors")]
    """The .safetensors file."""
    measuring: Annotated[OfFiles, tyro.conf.arg(name="")]
    ipc: Whole = None
    """Export the smaller set of this many full images' memory per class that is read out of it."""
    png: Folder = None
    """Folder for one PNG per image, in a subfolder per class."""
    tiff: Folder = None
    """Folder for TIFF files in place of PNG, of any number of channels (needs the extra 'tiff')."""
    npz: File = None
    """File for arrays: images (uint8, N×H×W×C; vectors float32, N×D), labels, class_names."""
    output: Annotated[Path | None, option("DIR or FILE.npz", "-o")] = None
    """The same as --npz where it ends in .npz, else as --png."""
    float: bool = False
    """Keep every value, those outside black and white too: arrays in float32 with mean and std, or
    pictures of 16 bits, whose scale and offset export.json tells."""
    overwrite: bool = False
    """Replace an earlier export in that folder; a file is replaced in any case."""
    json: bool = False
    """Print one JSON object."""

    def run(self) -> None:
        """Carry it out."""
        export(self)


def _placed(options: Export) -> Export:
    """Return the options with -o as the one that it stands for."""
    if options.output is None:
        return options
    name = "npz" if options.output.suffix.lower() == ".npz" else "png"
    if getattr(options, name) is not None:
        raise BadRequest(f"give --{name} or -o, not both")
    return dataclasses.replace(options, **{name: options.output, "output": None})


def export(options: Export) -> None:
    """Run `attar export`."""
    check(options.measuring)
    given, options = options.output, _placed(options)
    from attar.face.files import export as write

    try:
        count = write(
            options.artefact,
            png=options.png,
            tiff=options.tiff,
            npz=options.npz,
            floats=options.float,
            ipc=options.ipc,
            overwrite=options.overwrite,
            said=lambda line: err.print(line, **PLAIN),
        )
    except BadRequest as error:
        # as it was given
        named = re.sub(rf"--(png|npz)(?= {re.escape(str(given))}\b)", "-o", error.text)
        raise BadRequest(named) from error
    where = options.png or options.tiff or options.npz
    assert where is not None
    told = {"images": count, "path": str(where)}
    if not options.json:
        out.print(f"{counted(count, 'image')} in {where}", highlight=False)
    if options.measuring.evaluate:
        found = evaluated(options.measuring, options.artefact, where, options.ipc)
        told |= found.as_dict()
        if not options.json:
            show(found)
    if options.json:
        print_json(told)
