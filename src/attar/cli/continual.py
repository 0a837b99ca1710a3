"""`attar continual`: its options, and what it tells while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import tyro

from attar import threads
from attar.applications.continual.request import Condensing, ContinualRequest
from attar.applications.continual.telling import ContinualCallback
from attar.cli.console import PLAIN, Grid, err, out, print_json
from attar.cli.reading import Reading, Source, reading_options
from attar.errors import BadRequest

if TYPE_CHECKING:
    from rich.console import Console

    from attar.applications.continual.results import ContinualResult, Step


@dataclass(frozen=True)
class Continual:
    """Learn classes that arrive step by step, from a memory of condensed sets alone."""

    source: Source
    """digits, cifar10, …, folder:DIR, csv:FILE, npz:FILE, hf:NAME or wds:SHARDS; 'attar
    sources' lists them."""
    request: Annotated[ContinualRequest, tyro.conf.arg(name="")]
    reading: Annotated[Reading, tyro.conf.arg(name="")]
    condensing: Annotated[Condensing, tyro.conf.arg(name="")]
    json: bool = False
    """Print one JSON object with every accuracy."""

    def run(self) -> None:
        """Carry it out."""
        continual(self)


def continual(options: Continual) -> None:
    """Run `attar continual`."""
    request = options.request
    if request.output is None:
        raise BadRequest("-o is missing: name the folder to write, such as -o continual")
    err.print(f"attar continual: reading {options.source}", **PLAIN)
    from attar.applications.continual.running import PAGE, RESULTS, carry_out

    threads.use(options.condensing.threads)
    result = carry_out(
        request,
        options.condensing,
        options.source,
        Lines(err, request.repeats),
        **reading_options(options.reading),
    )
    if options.json:
        print_json(result.as_dict())
        return
    _print(result)
    for name in (RESULTS, PAGE):
        out.print(str(request.output / name), highlight=False, soft_wrap=True)


def _print(result: ContinualResult) -> None:
    from attar.applications.continual.page import FORGETTING, HEADS, rows, spread

    caption = f"accuracy: mean ± one {spread(result)}. {FORGETTING}"
    table = Grid(box=None, pad_edge=False, title=result.title, caption=caption)
    for head in HEADS:
        table.add_column(head, justify="right")
    for row in rows(result):
        table.add_row(*row)
    out.print(table, highlight=False)
    out.print(f"mean over steps: {result.average:.1f} %", highlight=False)


class Lines(ContinualCallback):
    """Prints one line for what is done, and one for every network."""

    def __init__(self, console: Console, repeats: int) -> None:
        self._console = console
        self._repeats = repeats

    def said(self, line: str) -> None:
        """Print it."""
        self._say(line)

    def step(self, order: int, step: int, classes: Sequence[str]) -> None:
        """Say what arrives."""
        self._say(f"order {order}, step {step}: {', '.join(classes)} arrive")

    def trained(self, repeat: int, accuracy: float | None) -> None:
        """Say how good a network is."""
        if accuracy is not None:
            self._say(f"network {repeat} of {self._repeats}: {accuracy:.2f} %")

    def measured(self, step: Step) -> None:
        """Say what a step came to."""
        self._say(
            f"order {step.order}, step {step.step}: {step.mean:.2f} % of {step.seen} classes seen"
        )

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)
