"""`attar condense`: its options, and what it does with the library."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from attar import threads
from attar.cli import reporting
from attar.cli.clock import CLOCK
from attar.cli.console import PLAIN, err, out, print_json
from attar.cli.reading import Reading, Source, reading_options
from attar.cli.showing import artefact_facts, print_header
from attar.condensing.request import Request
from attar.errors import BadRequest
from attar.face.relabel_request import RelabelRequest
from attar.files import check_writable
from attar.options import File, Whole
from attar.parallel.ranks import Meeting, Rank, rank_of
from attar.slimming.request import SlimRequest
from attar.threads import Choice

if TYPE_CHECKING:
    from attar.condensing.telling import Callback


@dataclass(frozen=True)
class Condense:
    """Condense a labelled image set into one small file."""

    source: Source
    """digits, cifar10, …, folder:DIR, csv:FILE, npz:FILE, hf:NAME or wds:SHARDS; 'attar
    sources' lists them."""
    reading: Annotated[Reading, tyro.conf.arg(name="")]
    request: Annotated[Request, tyro.conf.arg(name="")]
    report: File = None
    """Also write an HTML report of the run here (without evaluation)."""
    watch: bool = False
    """Serve a page, to this machine alone, that shows the set and the run while it goes on."""
    watch_port: Whole = None
    """The port of that page; any that is free where left out."""
    explain: bool = False
    """Say what would be made, how and why, and stop: nothing is written."""
    json: bool = False
    """Print one JSON object about the artefact."""

    def run(self) -> None:
        """Carry it out."""
        condense(self)


def threads_for(
    request: Request | SlimRequest | RelabelRequest,
    outputs: Sequence[Path],
    beside: int | None = None,
) -> Choice:
    """Let the process compute with the threads that the options leave it, and return them.

    Args:
        request: the options.
        outputs: to be written; where they are to be resumed, the number that they began with is
            taken again.
        beside: processes of this machine that share its cores; None for the workers asked for.
    """
    from attar.condensing.checkpoint import threads_of
    from attar.condensing.paths import Paths

    begun = [Paths(path).begun for path in outputs if request.resume]
    found = [threads_of(path) for path in begun if path is not None]
    kept = next((one for one in found if one is not None), None)
    return threads.use(request.threads, kept, beside or getattr(request, "workers", 1))


def explain(options: Condense) -> None:
    """Run `attar condense --explain`."""
    err.print(f"attar condense: reading {options.source}", **PLAIN)
    from attar.condensing.condense import drafted
    from attar.condensing.progress import ProgressBar, describe_plan
    from attar.face.explaining import explained

    bar = ProgressBar(err)
    try:
        plan = drafted(options.request, options.source, bar, **reading_options(options.reading))
    finally:
        bar.stop()
    if options.json:
        print_json(explained(plan))
        return
    if plan.choice is None:
        out.print(f"method {plan.request.chosen.name} decides nothing by itself", **PLAIN)
    for line in (*describe_plan(plan), f"to make it: {plan.command}"):
        out.print(line, **PLAIN)


@contextlib.contextmanager
def watched(options: Condense) -> Iterator[tuple[Callback, ...]]:
    """Serve the page of a run where it is asked for, and say where, until the block ends."""
    if not options.watch and options.watch_port is None:
        yield ()
        return
    from attar.condensing.log import read_log
    from attar.condensing.paths import Paths
    from attar.watching import Watch

    assert options.request.output is not None
    log = read_log(Paths(options.request.output).log) if options.request.resume else []
    watch = Watch(f"attar condense {options.source}", options.watch_port or 0, log)
    err.print(f"watch: {watch.address}", **PLAIN)
    try:
        yield (watch,)
    finally:
        watch.close()


def _among(options: Condense, rank: Rank) -> Condense:
    """Return the options of a run that all ranks share."""
    if options.request.workers != 1:
        asked = f"--workers {options.request.workers}"
        if options.request.ray is not None:
            asked += f" --ray {options.request.ray}"
        raise BadRequest(
            f"{asked}: torchrun has started {rank.count} ranks, and these share the run; leave it "
            "out, or start one process"
        )
    request = dataclasses.replace(options.request, workers=rank.count)
    return dataclasses.replace(options, request=request)


def condense(options: Condense) -> None:
    """Run `attar condense`."""
    rank = rank_of(os.environ)
    if rank is not None:
        options = _among(options, rank)
    if options.explain:
        if rank is None or rank.leads:
            explain(options)
        return
    if options.request.output is None:
        raise BadRequest("-o is missing: name the file to write, such as -o set.safetensors")
    if rank is None:
        _condense(options, options.request.output)
        return
    from attar.condensing.ranked import meeting

    with meeting(rank) as there:
        if rank.leads:
            _condense(options, options.request.output, there)
        else:
            _accompany(options, there)


def _accompany(options: Condense, there: Meeting) -> None:
    """Do a share of the work of rank 0, which alone says something."""
    from attar.condensing.condense import accompany

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        accompany(options.request, options.source, there, **reading_options(options.reading))


def _condense(options: Condense, output: Path, there: Meeting | None = None) -> None:
    """Write a set, with the ranks that a launcher has started, if any."""
    if options.report is not None:
        check_writable(options.report, "--report", "report.html")
    err.print(f"attar condense: reading {options.source}", **PLAIN)
    from attar.condensing.paths import Paths

    if options.request.resume and output.exists() and not Paths(output).unfinished:
        told = f"the run of {output} is complete, and goes on only where more updates are asked for"
        err.print(f"attar condense: {told}", **PLAIN)
    from attar.condensing.condense import carry_out
    from attar.condensing.progress import ProgressBar
    from attar.condensing.telling import Several, Start

    start = Start()
    beside = None if there is None else there.rank.beside
    bar = ProgressBar(err, threads_for(options.request, [output], beside))
    try:
        with watched(options) as callbacks:
            artefact = carry_out(
                options.request,
                options.source,
                Several(bar, *callbacks, *([] if options.report is None else [start])),
                CLOCK.began,
                there,
                **reading_options(options.reading),
            )
    finally:
        bar.stop()
    if options.report is not None:
        reporting.write_one(options.report, output, artefact, [], start.artefact)
    if options.json:
        print_json({"path": str(output), **artefact_facts(artefact)})
    else:
        print_header(artefact, output)
