"""The options by which a set is measured beside its plain files, and how that is shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from attar import threads
from attar.cli.console import PLAIN, err, out
from attar.cli.evaluating import Lines
from attar.cli.lists import split_networks
from attar.cli.tables import print_rows
from attar.errors import BadRequest
from attar.options import Folder, Name, Whole, option

if TYPE_CHECKING:
    from attar.evaluation.exported import Exported

# what says nothing without it
_GOING_WITH = ("data", "networks", "card", "epochs")


@dataclass(frozen=True)
class OfFiles:
    """Whether and how to measure what plain files cost."""

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
    """auto, cpu, cuda, cuda:N or mps."""
    threads: Whole = None
    """CPU threads; left out: one for every core that is free, or as OMP_NUM_THREADS says."""
    data_dir: Folder = None
    """Where named data sets and decoded images lie (else $ATTAR_DATA or ~/.cache/attar)."""


def check(options: OfFiles) -> None:
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


def evaluated(options: OfFiles, artefact: Path, where: Path, ipc: int | None = None) -> Exported:
    """Train networks on a set and on its files, and return what came of both."""
    threads.use(options.threads)
    from attar.evaluation.exported import evaluate_export

    networks = [name for name in split_networks(options.networks) if name]
    with err.status("reading the data") as status:
        return evaluate_export(
            artefact,
            where,
            options.data,
            ipc=ipc,
            networks=networks or None,
            repeats=options.repeats,
            card=options.card,
            epochs=options.epochs,
            seed=options.seed,
            device=options.device,
            data_dir=options.data_dir,
            callback=Lines(status, options.repeats),
        )


def show(found: Exported) -> None:
    """Print both rows and the difference, a line for each network."""
    print_rows([found.own, found.exported])
    for name, one in found.differences.items():
        line = (
            f"exported minus the set, {name}: {one.mean:+.2f} ± {one.std:.2f} points "
            f"(mean ± std over {len(one.values)} pairs of networks)"
        )
        out.print(line, **PLAIN)
