"""`attar report`, and the pages and records that other commands leave behind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attar.cli.commands import err
from attar.errors import AttarError, BadRequest
from attar.files import check_writable

if TYPE_CHECKING:
    from attar.artefact import Artefact
    from attar.cli.options import Report
    from attar.evaluation.comparison import Row
    from attar.evaluation.record import Evaluation


def report(options: Report) -> None:
    """Run `attar report`."""
    path = options.output
    if path is None:
        raise BadRequest("-o is missing: name the page to write, such as -o report.html")
    if not options.artefacts:
        raise BadRequest(
            "no artefact is given: name one or several, such as attar report a.safetensors "
            "b.safetensors -o report.html"
        )
    check_writable(path, example="report.html")
    if path.suffix not in (".html", ".htm"):
        raise BadRequest(f"-o {path}: the name must end in .html")
    from attar.report import read_entries, write_comparison
    from attar.report.single import write_entry

    entries = read_entries(options.artefacts, options.evaluation)
    if len(entries) == 1:
        write_entry(path, entries[0], title=options.title)
    else:
        write_comparison(path, entries, title=options.title)
    told(path)


def write_one(path: Path, artefact_path: Path, artefact: Artefact, rows: Sequence[Row]) -> None:
    """Write the page of an artefact just made or evaluated, and say where it is."""
    from attar.condensing import Paths
    from attar.log import read_log
    from attar.report import Row as Line
    from attar.report import write_report

    notes = [f"Evaluation card: {rows[0].results[0].card}."] if rows else []
    log = read_log(Paths(artefact_path).log)
    write_report(path, artefact, rows=[Line.of(row) for row in rows], log=log, notes=notes)
    told(path)


def told(path: Path) -> None:
    """Say where a page is."""
    err.print(f"report: {path}", highlight=False, soft_wrap=True)


def keep(artefact: Path, sha256: str, data: str, rows: Sequence[Row]) -> Evaluation:
    """Keep what was measured beside the artefact, or say why that cannot be.

    Args:
        artefact: its path.
        sha256: digest of the file that was evaluated.
        data: source of the real images.
        rows: what was measured.
    """
    from attar.evaluation.record import Evaluation, evaluation_path
    from attar.evaluation.record import keep as write

    evaluation = Evaluation(rows[0].results[0].card, data, tuple(rows))
    try:
        write(artefact, sha256, evaluation)
    except AttarError as error:
        why = str(error.__cause__) if isinstance(error.__cause__, OSError) else str(error)
        err.print(
            f"warning: the accuracies are not kept in {evaluation_path(artefact)} ({why}); "
            "with --json they can be kept elsewhere, for 'attar report … --evaluation FILE'",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    return evaluation
