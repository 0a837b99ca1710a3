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
    from attar.condensing.telling import Callback


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
    from attar.applications.continual.running import PAGE, carry_out
    from attar.applications.folders import RESULTS

    threads.use(options.condensing.threads)
    lines = Lines(err, request.repeats)
    try:
        result = carry_out(
            request,
            options.condensing,
            options.source,
            lines,
            **reading_options(options.reading),
        )
    finally:
        lines.stop()
    if options.json:
        print_json(result.as_dict())
        return
    _print(result)
    for name in (RESULTS, PAGE):
        out.print(str(request.output / name), highlight=False, soft_wrap=True)


def _print(result: ContinualResult) -> None:
    from attar.applications.continual.page import FORGETTING, HEADS, rows, spread

    caption = f"Accuracy is the mean ± one {spread(result)}, in %. {FORGETTING}"
    table = Grid(box=None, pad_edge=False, title=result.title, caption=caption)
    for head in HEADS:
        table.add_column(head, justify="right", no_wrap=True)
    for row in rows(result):
        table.add_row(*row)
    out.print(table, highlight=False)
    out.print(f"mean over steps: {result.average:.1f} %", highlight=False)


class Lines(ContinualCallback):
    """Prints one line for what is done, and one for every network; a bar while one condenses."""

    def __init__(self, console: Console, repeats: int) -> None:
        from attar.condensing.progress import ProgressBar

        self._console = console
        self._repeats = repeats
        self._bar = ProgressBar(console)

    def reading(self, what: str, done: int, total: int) -> None:
        """Show how far reading is, where it takes long."""
        self._bar.reading(what, done, total)

    def condensing(self) -> Callback:
        """Return a new bar."""
        from attar.condensing.progress import ProgressBar

        self.stop()
        self._bar = ProgressBar(self._console, brief=True)
        return self._bar

    def stop(self) -> None:
        """End the bar, whatever happened."""
        self._bar.stop()

    def said(self, line: str) -> None:
        """Print it."""
        self._say(line)

    def step(self, order: int, step: int, classes: Sequence[str]) -> None:
        """Say what arrives."""
        self._say(f"order {order}, step {step}: {', '.join(classes)} arrive")

    def trained(self, repeat: int, accuracy: float | None) -> None:
        """Say how good a network is."""
        self.stop()
        if accuracy is not None:
            self._say(f"network {repeat} of {self._repeats}: {accuracy:.2f} %")

    def measured(self, step: Step) -> None:
        """Say what a step came to."""
        self._say(
            f"order {step.order}, step {step.step}: {step.mean:.2f} % of {step.seen} classes seen"
        )

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)
