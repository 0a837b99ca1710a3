"""`attar relabel`: soft labels for an artefact that is there."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from attar.budget import format_bytes
from attar.cli.condensing import threads_for
from attar.cli.console import PLAIN, err, out, print_json, watcher
from attar.cli.reading import Reading, reading_options
from attar.cli.showing import artefact_facts
from attar.errors import BadRequest
from attar.face.relabel_request import RelabelRequest
from attar.options import option


@dataclass(frozen=True)
class Relabel:
    """Give a set soft labels, learnt from the real images; its images stay as they are stored."""

    artefact: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="IN.safetensors")]
    """The .safetensors file; it is left as it is."""
    reading: Annotated[Reading, tyro.conf.arg(name="")]
    request: Annotated[RelabelRequest, tyro.conf.arg(name="")]
    data: Annotated[str | None, option("SOURCE")] = None
    """Source of the real images; the one it was made from where left out."""
    json: bool = False
    """Print one JSON object about the artefact."""

    def run(self) -> None:
        """Carry it out."""
        relabel(self)


def relabel(options: Relabel) -> None:
    """Run `attar relabel`."""
    asked = options.request
    if asked.output is None:
        raise BadRequest("-o is missing: name the file to write, such as -o labelled.safetensors")
    err.print(f"attar relabel: reading {options.artefact}", **PLAIN)
    threads_for(asked, [asked.output])
    from attar.artefact.loading import load
    from attar.face.relabelling import relabel as relabelled

    given = {one.name: getattr(asked, one.name) for one in dataclasses.fields(asked)}
    with err.status("reading the data") as status:
        made = relabelled(
            options.artefact,
            options.data,
            watch=watcher(status),
            **given,
            **reading_options(options.reading),
        )
    if options.json:
        print_json({"path": str(asked.output), **artefact_facts(made)})
        return
    before = load(options.artefact).nbytes
    labels = f"{format_bytes(made.ledger.labels)} of {asked.labels} labels"
    whole = f"{format_bytes(made.nbytes)} in place of {format_bytes(before)}"
    out.print(f"{asked.output}: {labels}, {whole} in all", **PLAIN)
