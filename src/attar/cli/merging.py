"""`attar merge`: several artefacts made one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from attar.cli.console import print_json
from attar.cli.showing import artefact_facts, print_header
from attar.errors import BadRequest
from attar.files import check_writable


@dataclass(frozen=True)
class Merge:
    """Make one artefact of several: their classes side by side, numbered anew."""

    artefacts: Annotated[
        tuple[Path, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="FILE.safetensors …", help_behavior_hint=""),
    ]
    """Two or more, of one shape and form."""
    output: Annotated[Path, tyro.conf.arg(aliases=["-o"], metavar="OUT.safetensors")]
    """The artefact to write."""
    shared: Literal["refuse", "join", "apart"] = "refuse"
    """What a class name that several have stands for: one class, whose images are put together
    (join), or different ones (apart)."""
    pixels: bool = False
    """Store all images as pixels, so that other forms and constants go together."""
    overwrite: bool = False
    """Replace an existing output."""
    json: bool = False
    """Print one JSON object about the artefact."""

    def run(self) -> None:
        """Carry it out."""
        merge(self)


def merge(options: Merge) -> None:
    """Run `attar merge`."""
    output = options.output
    if output.suffix != ".safetensors":
        raise BadRequest(f"-o {output}: the name must end in .safetensors")
    check_writable(output)
    if output.exists() and not options.overwrite:
        raise BadRequest(
            f"-o {output}: an artefact is already there; --overwrite replaces it, or choose "
            "another name"
        )
    from attar.artefact.loading import load
    from attar.artefact.merging import merge as merged

    artefact = merged(*map(load, options.artefacts), shared=options.shared, pixels=options.pixels)
    artefact.save(output)
    if options.json:
        print_json({"path": str(output), **artefact_facts(artefact)})
    else:
        print_header(artefact, output)
