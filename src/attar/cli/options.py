"""The commands and their options; each knows which function carries it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from attar.request import File, Folder, Name, Request, Whole, option

Classes = Annotated[str | None, option("N or NAMES")]


@dataclass(frozen=True)
class Demo:
    """Condense handwritten digits, evaluate the result, and write a report. Needs no network."""

    output: Annotated[Path, tyro.conf.arg(aliases=["-o"])] = Path("attar-demo")
    """Folder for the artefact and the report."""
    seed: int = 0
    """Everything random follows from it."""

    def run(self) -> None:
        """Carry it out."""
        from attar.cli import demo

        demo.run(self.output, self.seed)


@dataclass(frozen=True)
class Condense:
    """Condense a labelled image set into one small file."""

    source: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")]
    """digits, cifar10, …, folder:DIR, csv:FILE, npz:FILE or hf:NAME; 'attar sources' lists
    them."""
    request: Annotated[Request, tyro.conf.arg(name="")]
    data_dir: Folder = None
    """Where named data sets and decoded images lie (else $ATTAR_DATA or ~/.cache/attar)."""
    resize: Whole = None
    """Bring all images to this height and width in pixels."""
    classes: Classes = None
    """Take these classes only, in this order: names with commas between, such as cat,dog, or
    indices where no name is a number. A number alone takes the first N."""
    per_class: Whole = None
    """Take at most this many training images of a class: a fixed sample, whatever the seed."""
    report: File = None
    """Also write an HTML report of the run here (without evaluation)."""
    json: bool = False
    """Print one JSON object about the artefact."""

    def run(self) -> None:
        """Carry it out."""
        from attar.cli import commands

        commands.condense(self)


@dataclass(frozen=True)
class Evaluate:
    """Train fresh networks on an artefact and test them on real images."""

    artefact: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT.safetensors")]
    """The .safetensors file."""
    data: Annotated[str | None, option("SOURCE")] = None
    """Source of the real images; the one it was made from where left out."""
    networks: str = ""
    """Names with commas between, such as convnet3,convnet4:norm=batch; by default the
    network it was made with."""
    repeats: int = 5
    """Networks of each kind."""
    card: Name = None
    """Evaluation card; the artefact's own where left out. 'attar cards' lists them."""
    epochs: Whole = None
    """Another number of epochs than the card's."""
    baselines: bool = False
    """Also evaluate random real images of the same bytes, and the whole training set."""
    report: File = None
    """Also write an HTML report here."""
    seed: int = 0
    """Of the networks, not of the artefact."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the networks."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Compile the networks; auto: where it pays."""
    vectorized: Whole = None
    """Networks that train in one step; left out: what is faster on the device."""
    data_dir: Folder = None
    """Where named data sets and decoded images lie (else $ATTAR_DATA or ~/.cache/attar)."""
    resize: Whole = None
    """Bring all real images to this height and width in pixels."""
    classes: Classes = None
    """Take these classes of the real images, as 'attar condense' does. Where this and --data
    are left out: those of the artefact."""
    per_class: Whole = None
    """Take at most this many training images of a class, for --baselines. Where this and
    --data are left out: as the artefact did."""
    json: bool = False
    """Print one JSON object with every accuracy."""

    def run(self) -> None:
        """Carry it out."""
        from attar.cli import commands

        commands.evaluate(self)


@dataclass(frozen=True)
class Show:
    """Print what an artefact is: its card, its bytes, how it was made."""

    artefact: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT.safetensors")]
    """The .safetensors file."""
    json: bool = False
    """Print one JSON object."""

    def run(self) -> None:
        """Carry it out."""
        from attar.cli import commands

        commands.show(self)


@dataclass(frozen=True)
class Export:
    """Write an artefact's images as plain files."""

    artefact: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT.safetensors")]
    """The .safetensors file."""
    png: Folder = None
    """Folder for one PNG per image, in a subfolder per class."""
    npz: File = None
    """File for arrays: images (uint8, N×H×W×C), labels, class_names."""

    def run(self) -> None:
        """Carry it out."""
        from attar.cli import commands

        commands.export(self)


@dataclass(frozen=True)
class Report:
    """Write one HTML page that shows an artefact, or sets several side by side."""

    artefacts: Annotated[
        tuple[Path, ...],
        tyro.conf.Positional,
        tyro.conf.arg(metavar="OUT.safetensors …", help_behavior_hint=""),
    ] = ()
    """One .safetensors file, or several to be compared. What 'attar evaluate' kept beside them
    is shown."""
    output: Annotated[Path | None, option("FILE.html", "-o")] = None
    """The page to write, ending in .html; one that is there is replaced."""
    evaluation: Annotated[
        tuple[Path, ...], tyro.conf.arg(metavar="FILE.json …", help_behavior_hint="")
    ] = ()
    """Evaluations of these artefacts kept elsewhere, or printed by 'attar evaluate --json'."""
    title: Annotated[str | None, option("TEXT")] = None
    """Heading of the page."""

    def run(self) -> None:
        """Carry it out."""
        from attar.cli import reporting

        reporting.report(self)


@dataclass(frozen=True)
class Methods:
    """List the methods, one line each, with the paper."""

    json: bool = False
    """Print one JSON object."""

    def run(self) -> None:
        """Carry it out."""
        from attar.cli import commands

        commands.methods(self.json)


@dataclass(frozen=True)
class Sources:
    """List what can be condensed, one line each."""

    json: bool = False
    """Print one JSON object."""

    def run(self) -> None:
        """Carry it out."""
        from attar.cli import commands

        commands.sources(self.json)


@dataclass(frozen=True)
class Cards:
    """List the evaluation cards, one line each."""

    json: bool = False
    """Print one JSON object."""

    def run(self) -> None:
        """Carry it out."""
        from attar.cli import commands

        commands.cards(self.json)


Command = Demo | Condense | Evaluate | Show | Export | Report | Methods | Sources | Cards


def parse(arguments: Sequence[str]) -> Command:
    """Return the command that the arguments ask for.

    Raises:
        AttarError: an option's value is refused. Unknown options end the process with status 2.
    """
    return tyro.cli(
        Command,  # pyright: ignore[reportArgumentType]
        prog="attar",
        description="Dataset condensation: a large labelled image set in, a few kilobytes out.",
        args=list(arguments),
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
    )
