"""`attar federated`: its options, and what it tells while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import tyro

from attar import threads
from attar.applications.continual.request import Condensing
from attar.applications.federated.request import FederatedRequest
from attar.applications.federated.telling import FederatedCallback
from attar.cli.console import PLAIN, Grid, err, out, print_json
from attar.cli.continual import Lines as Bars
from attar.cli.reading import Reading, Source, reading_options
from attar.errors import BadRequest

if TYPE_CHECKING:
    from attar.applications.federated.results import FederatedResult, Refusal, Round


@dataclass(frozen=True)
class Federated:
    """Let clients send condensed sets over a thin line; merge what arrives and train on it."""

    source: Source
    """digits, cifar10, …, folder:DIR, csv:FILE, npz:FILE, hf:NAME or wds:SHARDS; 'attar
    sources' lists them."""
    request: Annotated[FederatedRequest, tyro.conf.arg(name="")]
    reading: Annotated[Reading, tyro.conf.arg(name="")]
    condensing: Annotated[Condensing, tyro.conf.arg(name="")]
    json: bool = False
    """Print one JSON object with every accuracy."""

    def run(self) -> None:
        """Carry it out."""
        federated(self)


def federated(options: Federated) -> None:
    """Run `attar federated`."""
    request = options.request
    if request.output is None:
        raise BadRequest("-o is missing: name the folder to write, such as -o federated")
    err.print(f"attar federated: reading {options.source}", **PLAIN)
    from attar.applications.federated.running import PAGE, carry_out
    from attar.applications.folders import RESULTS

    threads.use(options.condensing.threads)
    lines = Lines(request.repeats)
    try:
        result = carry_out(
            request, options.condensing, options.source, lines, **reading_options(options.reading)
        )
    finally:
        lines.stop()
    if options.json:
        print_json(result.as_dict())
        return
    _print(result)
    for name in (RESULTS, PAGE):
        out.print(str(request.output / name), highlight=False, soft_wrap=True)


def _print(result: FederatedResult) -> None:
    from attar.applications.federated.page import COUNTED, HEADS, SPREAD, remarks, rows

    caption = f"Accuracy is the mean ± one {SPREAD}, in %. {COUNTED}"
    table = Grid(box=None, pad_edge=False, title=result.title, caption=caption)
    # on the page there is room for this as well
    skipped = HEADS.index("all")
    for head in HEADS[:skipped] + HEADS[skipped + 1 :]:
        table.add_column(head, justify="right", no_wrap=True)
    for row in rows(result):
        table.add_row(*row[:skipped], *row[skipped + 1 :])
    out.print(table, highlight=False)
    for line in remarks(result):
        out.print(line, highlight=False, soft_wrap=True)


class Lines(FederatedCallback):
    """Prints one line for what is done, and one for every network; a bar while one condenses."""

    def __init__(self, repeats: int) -> None:
        self._bars = Bars(err, repeats)
        self.reading = self._bars.reading
        self.condensing = self._bars.condensing
        self.trained = self._bars.trained
        self.stop = self._bars.stop
        self.said = self._bars.said

    def round(self, contender: str, participants: int) -> None:
        """Say what is asked for."""
        self.said(f"{contender}, round of {participants}: asking the clients")

    def failed(self, client: int, error: Exception) -> None:
        """Say what its owner can mend."""
        self.stop()
        self.said(f"client {client}: {error}")

    def refused(self, refusal: Refusal) -> None:
        """Say who is left out."""
        self.stop()
        self.said(f"client {refusal.client} is left out: {refusal.why}")

    def measured(self, one: Round) -> None:
        """Say what a round came to."""
        mean = "nothing arrived" if one.mean is None else f"{one.mean:.2f} %"
        self.said(f"{one.contender}, round of {one.participants}: {mean}")
