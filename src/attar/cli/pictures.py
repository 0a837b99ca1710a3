"""`attar pictures`: its options, and what it does with the library."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from attar.cli.reading import Columns, InMemory, reading_options
from attar.errors import BadRequest
from attar.files import check_folder
from attar.options import Background, Folder, Name, Number, ValueRange, Whole, option


@dataclass(frozen=True)
class Pictures(Columns):
    """Draw pictures of artefacts as PNG: images, spectra, features, courses, sweeps."""

    artefacts: Annotated[
        tuple[Path, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="OUT.safetensors …", help_behavior_hint=""),
    ] = ()
    """One .safetensors file or several. What lies beside them (log, evaluations, snapshots) is
    used."""
    ipc: Whole = None
    """Read every artefact at this many full images' memory per class, where its components are
    ordered by significance or its images nested."""
    output: Annotated[Path | None, option("DIR", "-o")] = None
    """Folder for the pictures; those of the same names are replaced."""
    kind: Annotated[str | None, option("KINDS")] = None
    """Names with commas between: grid (images by class), spectrum (singular values of real and
    synthetic images), tsne (features of a network that is trained on the real images),
    iterations (images over the iterations, from snapshots), accuracy (over the iterations), sweep
    (accuracy over rank, learning rate or iterations, from evaluated artefacts). Left out: all
    that can be drawn without training."""
    data: Annotated[str | None, option("SOURCE")] = None
    """Source of the real images, for spectrum, tsne and --repeats; the one that the first artefact
    was made from where left out."""
    per_class_shown: Whole = None
    """Images of each class in a grid: 10 where left out, and 1 over the iterations."""
    real_per_class: int = 100
    """Real images of each class in spectrum and tsne: a sample."""
    network: Name = None
    """Network that is trained for tsne; the one that the first artefact was made with where left
    out."""
    feature_epochs: int = 5
    """Epochs of its training on the real images, under card dc-300."""
    repeats: Whole = None
    """For accuracy: train this many networks on each snapshot and test them on real test images.
    The results are kept beside the snapshots."""
    networks: Annotated[str, option("NAMES")] = ""
    """Names of those networks with commas between; the one that the artefact was made with where
    left out."""
    card: Name = None
    """Their evaluation card; the artefact's own where left out."""
    epochs: Whole = None
    """Another number of epochs than the card's."""
    evaluation: Annotated[
        tuple[Path, ...], tyro.conf.arg(metavar="FILE.json …", help_behavior_hint="")
    ] = ()
    """Evaluations of these artefacts kept elsewhere, or printed by 'attar evaluate --json'."""
    seed: int = 0
    """Of networks, samples and tsne."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the networks."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Compile the networks; auto: where it pays."""
    data_dir: Folder = None
    """Where named data sets and decoded images lie (else $ATTAR_DATA or ~/.cache/attar)."""
    in_memory: InMemory = "auto"
    """Whether all real images are held in memory, as 'attar condense' takes it."""
    resize: Whole = None
    """Bring all real images to this height and width in pixels."""
    classes: Annotated[str | None, option("N or NAMES")] = None
    """Take these classes of the real images, as 'attar condense' does. Where this and --data are
    left out: those of the artefact."""
    per_class: Whole = None
    """Take at most this many real training images of a class: a fixed sample, which makes tsne
    quicker. Where this and --data are left out: as the artefact did."""
    value_range: ValueRange = None
    """The values of the real images that are black and white, as 'attar condense' takes them.
    Where this and --data are left out: as the artefact did."""
    background: Background = None
    """The colour behind transparent pictures. Where this and --data are left out: as the artefact
    did."""
    test_share: Number = None
    """Share of every class to hold out as test where the real images have no test part; as the
    artefact did where left out."""
    json: bool = False
    """Print one JSON object: the files, and the numbers drawn."""

    def run(self) -> None:
        """Carry it out."""
        draw(self)


def draw(wanted: Pictures) -> None:
    """Run `attar pictures`."""
    folder = wanted.output
    if folder is None:
        raise BadRequest("-o is missing: name a folder for the pictures, such as -o pictures")
    if not wanted.artefacts:
        raise BadRequest(
            "no artefact is given: name one or several, such as attar pictures a.safetensors "
            "b.safetensors -o pictures"
        )
    check_folder(folder, example="pictures")
    kinds = None if wanted.kind is None else names(wanted.kind, "--kind", "grid,spectrum")

    from attar import pictures
    from attar.cli import console

    with console.err.status("reading") as status:
        drawn = pictures.draw(
            wanted.artefacts,
            kinds=kinds,
            evaluations=wanted.evaluation,
            data=wanted.data,
            reading={**reading_options(wanted), "watch": console.watcher(status)},
            options=options(wanted),
            tell=teller(status),
        )
    files = [picture.save(folder) for picture in drawn.pictures]
    for kind, why in drawn.skipped.items():
        console.err.print(f"not drawn: {kind}: {why}", **_PLAIN)
    if wanted.json:
        console.print_json(
            {
                "pictures": [
                    {
                        "path": str(path),
                        "kind": one.kind,
                        "title": one.title,
                        "caption": one.caption,
                        "values": one.values,
                    }
                    for path, one in zip(files, drawn.pictures, strict=True)
                ],
                "skipped": drawn.skipped,
            }
        )
        return
    for path in files:
        console.out.print(str(path), **_PLAIN)


_PLAIN: dict[str, Any] = {"highlight": False, "soft_wrap": True}


def options(wanted: Pictures) -> Any:
    """Return how pictures are drawn."""
    from attar.cli.lists import split_networks
    from attar.pictures import Options

    return Options(
        ipc=wanted.ipc,
        shown=wanted.per_class_shown,
        real_per_class=wanted.real_per_class,
        network=wanted.network,
        feature_epochs=wanted.feature_epochs,
        repeats=wanted.repeats,
        networks=[name for name in split_networks(wanted.networks) if name] or None,
        card=wanted.card,
        epochs=wanted.epochs,
        seed=wanted.seed,
        device=wanted.device,
        precision=wanted.precision,
        torch_compile=wanted.compile,
    )


def teller(status: Any) -> Any:
    """Return what shows what is being done, and keeps a line of it."""
    from rich.markup import escape

    def tell(text: str) -> None:
        status.update(escape(text))
        status.console.print(text, **_PLAIN)

    return tell


def names(text: str, said: str, example: str) -> list[str]:
    """Return the names in a text, with commas between; ``said`` is the option."""
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise BadRequest(f"{said} {text!r}: names with commas between, such as {example}")
    return found
