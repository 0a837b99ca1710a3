"""`attar condense`: its options, and what it does with the library."""

from __future__ import annotations

import contextlib
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


def threads_for(request: Request | SlimRequest | RelabelRequest, outputs: Sequence[Path]) -> Choice:
    """Let the process compute with the threads that the options leave it, and return them.

    Args:
        request: the options.
        outputs: to be written; where they are to be resumed, the number that they began with is
            taken again.
    """
    from attar.condensing.checkpoint import threads_of
    from attar.condensing.paths import Paths

    begun = [Paths(path).begun for path in outputs if request.resume]
    found = [threads_of(path) for path in begun if path is not None]
    kept = next((one for one in found if one is not None), None)
    return threads.use(request.threads, kept, getattr(request, "workers", 1))


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


def condense(options: Condense) -> None:
    """Run `attar condense`."""
    if options.explain:
        explain(options)
        return
    if options.request.output is None:
        raise BadRequest("-o is missing: name the file to write, such as -o set.safetensors")
    if options.report is not None:
        check_writable(options.report, "--report", "report.html")
    err.print(f"attar condense: reading {options.source}", **PLAIN)
    from attar.condensing.condense import carry_out
    from attar.condensing.progress import ProgressBar
    from attar.condensing.telling import Several, Start

    start = Start()
    bar = ProgressBar(err, threads_for(options.request, [options.request.output]))
    try:
        with watched(options) as callbacks:
            artefact = carry_out(
                options.request,
                options.source,
                Several(bar, *callbacks, *([] if options.report is None else [start])),
                CLOCK.began,
                **reading_options(options.reading),
            )
    finally:
        bar.stop()
    if options.report is not None:
        reporting.write_one(options.report, options.request.output, artefact, [], start.artefact)
    if options.json:
        print_json({"path": str(options.request.output), **artefact_facts(artefact)})
    else:
        print_header(artefact, options.request.output)
