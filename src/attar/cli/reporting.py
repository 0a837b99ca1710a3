"""`attar report`, and the pages and records that other commands leave behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from attar.cli.console import err
from attar.errors import AttarError, BadRequest
from attar.files import check_writable
from attar.options import Whole, option

if TYPE_CHECKING:
    from attar.artefact.artefact import Artefact
    from attar.evaluation.comparison import Row
    from attar.evaluation.record import Evaluation


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
    ipc: Whole = None
    """Read every artefact at this many full images' memory per class, where its components are
    ordered by significance or its images nested."""
    output: Annotated[Path | None, option("FILE.html", "-o")] = None
    """The page to write, ending in .html; one that is there is replaced."""
    evaluation: Annotated[
        tuple[Path, ...], tyro.conf.arg(metavar="FILE.json …", help_behavior_hint="")
    ] = ()
    """Evaluations of these artefacts kept elsewhere, or printed by 'attar evaluate --json'."""
    title: Annotated[str | None, option("TEXT")] = None
    """Heading of the page."""
    pictures: Annotated[str | None, option("KINDS")] = None
    """Also draw these pictures into the page, names with commas between: spectrum, tsne, … as
    'attar pictures' does. Images over iterations, measured snapshots and sweeps are drawn
    unasked, where there are any."""
    data: Annotated[str | None, option("SOURCE")] = None
    """Source of the real images for --pictures; the one that the first artefact was made from
    where left out."""

    def run(self) -> None:
        """Carry it out."""
        report(self)


def report(options: Report) -> None:
    """Run `attar report`."""
    path = options.output
    if path is None:
        raise BadRequest("-o is missing: name the page to write, such as -o report.html")
    check_writable(path, example="report.html")
    kinds = None if options.pictures is None else names(options.pictures)
    from attar.cli.pictures import teller
    from attar.face.pages import write_report

    with err.status("drawing") as status:
        write_report(
            options.artefacts,
            path,
            ipc=options.ipc,
            evaluations=options.evaluation,
            title=options.title,
            pictures=kinds,
            data=options.data,
            tell=teller(status),
        )
    told(path)


def names(text: str) -> list[str]:
    """Return the kinds of pictures in a text."""
    from attar.cli.pictures import names as split

    return split(text, "--pictures", "spectrum,tsne")


def write_one(
    path: Path,
    artefact_path: Path,
    artefact: Artefact,
    rows: Sequence[Row],
    start: Artefact | None = None,
) -> None:
    """Write the page of an artefact just made or evaluated, and say where it is."""
    from attar.artefact.header import READ_FROM
    from attar.condensing.log import read_log
    from attar.condensing.paths import Paths
    from attar.report import Row as Line
    from attar.report import write_report
    from attar.report.slider import start_of

    notes = [f"Evaluation card: {rows[0].results[0].card}."] if rows else []
    # a part of a file has no run of its own
    part = READ_FROM in artefact.header.provenance
    log = [] if part else read_log(Paths(artefact_path).log)
    if start is None and not part:
        start = start_of(artefact_path, artefact)
    write_report(path, artefact, rows=Line.of_all(rows), log=log, notes=notes, start=start)
    told(path)


def told(path: Path) -> None:
    """Say where a page is."""
    err.print(f"report: {path}", highlight=False, soft_wrap=True)


def keep(
    artefact: Path, sha256: str, data: str, rows: Sequence[Row], ipc: int | None = None
) -> Evaluation:
    """Keep what was measured beside the artefact, or say why that cannot be.

    Args:
        artefact: its path.
        sha256: digest of what was evaluated.
        data: source of the real images.
        rows: what was measured.
        ipc: memory of the smaller set read out of the file; None for the whole.
    """
    from attar.artefact.artefact import evaluation_path
    from attar.evaluation.record import Evaluation
    from attar.evaluation.record import keep as write

    evaluation = Evaluation(rows[0].results[0].card, data, tuple(rows))
    try:
        write(artefact, sha256, evaluation, ipc)
    except AttarError as error:
        why = str(error.__cause__) if isinstance(error.__cause__, OSError) else str(error)
        err.print(
            f"warning: the accuracies are not kept in {evaluation_path(artefact, ipc)} ({why}); "
            "with --json they can be kept elsewhere, for 'attar report … --evaluation FILE'",
            highlight=False,
            soft_wrap=True,
        )
    return evaluation
