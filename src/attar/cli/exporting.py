"""`attar export`: the images of an artefact as plain files, and what that costs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from attar import threads
from attar.cli.console import PLAIN, err, out, print_json
from attar.cli.evaluating import Lines
from attar.cli.lists import split_networks
from attar.cli.tables import print_rows
from attar.errors import BadRequest
from attar.options import File, Folder, Name, Whole, option
from attar.text import counted

if TYPE_CHECKING:
    from attar.evaluation.exported import Exported

# what says nothing without it
_GOING_WITH = ("data", "networks", "card", "epochs")


@dataclass(frozen=True)
class Export:
    """Write an artefact's images as plain files."""

    artefact: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT.safetensors")]
    """The .safetensors file."""
    ipc: Whole = None
    """Export the smaller set of this many full images' memory per class that is read out of it."""
    png: Folder = None
    """Folder for one PNG per image, in a subfolder per class."""
    tiff: Folder = None
    """Folder for TIFF files in place of PNG, of any number of channels (needs the extra 'tiff')."""
    npz: File = None
    """File for arrays: images (uint8, N×H×W×C; vectors float32, N×D), labels, class_names."""
    float: bool = False
    """Keep every value, those outside black and white too: arrays in float32 with mean and std, or
    pictures of 16 bits, whose scale and offset export.json tells."""
    overwrite: bool = False
    """Replace an earlier export in that folder; a file is replaced in any case."""
    evaluate: bool = False
    """Also train networks on the set and on the files read back, from the same first weights, and
    test both on real images. The options below go with it, as in 'attar evaluate'."""
    data: Annotated[str | None, option("SOURCE")] = None
    """Source of the real images; the one it was made from where left out."""
    networks: Annotated[str, option("NAMES")] = ""
    """Names with commas between; by default the network it was made with."""
    repeats: int = 5
    """Networks of each kind, on each of the two."""
    card: Name = None
    """Evaluation card; the artefact's own where left out."""
    epochs: Whole = None
    """Another number of epochs than the card's."""
    seed: int = 0
    """Of the networks."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    threads: Whole = None
    """CPU threads; left out: one for every core that is free, or as OMP_NUM_THREADS says."""
    data_dir: Folder = None
    """Where named data sets and decoded images lie (else $ATTAR_DATA or ~/.cache/attar)."""
    json: bool = False
    """Print one JSON object."""

    def run(self) -> None:
        """Carry it out."""
        export(self)


def export(options: Export) -> None:
    """Run `attar export`."""
    check(options)
    from attar.face.files import export as write

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
    where = options.png or options.tiff or options.npz
    assert where is not None
    told = {"images": count, "path": str(where)}
    if not options.json:
        out.print(f"{counted(count, 'image')} in {where}", highlight=False)
    if options.evaluate:
        told |= evaluated(options, where)
    if options.json:
        print_json(told)


def check(options: Export) -> None:
    """Refuse options of an evaluation where none is asked for.

    Raises:
        BadRequest: one is given.
    """
    for name in _GOING_WITH:
        if getattr(options, name) and not options.evaluate:
            raise BadRequest(
                f"--{name} {getattr(options, name)}: goes with --evaluate; give both, or leave it "
                "out"
            )


def evaluated(options: Export, where: Path) -> dict[str, Any]:
    """Train on a set and on its files, print both and the difference, and return them."""
    threads.use(options.threads)
    from attar.evaluation.exported import evaluate_export

    networks = [name for name in split_networks(options.networks) if name]
    with err.status("reading the data") as status:
        found = evaluate_export(
            options.artefact,
            where,
            options.data,
            ipc=options.ipc,
            networks=networks or None,
            repeats=options.repeats,
            card=options.card,
            epochs=options.epochs,
            seed=options.seed,
            device=options.device,
            data_dir=options.data_dir,
            callback=Lines(status, options.repeats),
        )
    if not options.json:
        print_rows([found.own, found.exported])
        for line in differences(found):
            out.print(line, **PLAIN)
    return found.as_dict()


def differences(found: Exported) -> list[str]:
    """Return what the files cost, a line for each network."""
    return [
        f"exported minus the set, {name}: {one.mean:+.2f} ± {one.std:.2f} points "
        f"(mean ± std over {len(one.values)} pairs of networks)"
        for name, one in found.differences.items()
    ]
