"""`attar slim`: a smaller artefact from an artefact alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from attar.budget import format_bytes
from attar.cli.clock import CLOCK
from attar.cli.condensing import threads_for
from attar.cli.console import PLAIN, Grid, err, out, print_json
from attar.errors import BadRequest
from attar.slimming.request import SlimRequest

if TYPE_CHECKING:
    from attar.slimming.slimming import Slimmed


@dataclass(frozen=True)
class Slim:
    """Make a smaller artefact from an artefact, without the data that it was made from."""

    artefact: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="IN.safetensors")]
    """The .safetensors file; it is left as it is."""
    request: Annotated[SlimRequest, tyro.conf.arg(name="")]
    json: bool = False
    """Print one JSON object about what was made."""

    def run(self) -> None:
        """Carry it out."""
        slim(self)


def slim(options: Slim) -> None:
    """Run `attar slim`."""
    request = options.request
    if request.output is None:
        raise BadRequest("-o is missing: name the file to write, such as -o smaller.safetensors")
    sizes = request.sizes()
    err.print(f"attar slim: reading {options.artefact}", **PLAIN)
    from attar.condensing.progress import ProgressBar
    from attar.condensing.telling import Callback
    from attar.slimming.slimming import carry_out

    bars: list[ProgressBar] = []
    outputs = [path for size in sizes if (path := request.output_of(size)) is not None]
    chosen = threads_for(request, outputs)

    def callback(size: int) -> Callback:
        if len(sizes) > 1:
            err.print(f"to {size} per class", highlight=False)
        bars.append(ProgressBar(err, chosen))
        return bars[-1]

    def done(one: Slimmed) -> None:
        if bars:
            bars[-1].stop()

    try:
        made = carry_out(options.artefact, request, callback, done, CLOCK.began)
    finally:
        for bar in bars:
            bar.stop()
    if options.json:
        print_json({"slimmed": [_facts(one, request) for one in made]})
    else:
        out.print(_table(made, request), highlight=False)


def _facts(one: Slimmed, request: SlimRequest) -> dict[str, object]:
    totals = one.artefact.totals
    return {
        "ipc": one.ipc,
        "path": str(request.output_of(one.ipc)),
        "images_per_class": totals.images_per_class,
        "paper_bytes": totals.paper,
        "all_bytes": totals.all,
        "step": one.artefact.header.step if request.trains else 0,
        "seconds": round(one.seconds, 3),
    }


def _table(made: list[Slimmed], request: SlimRequest) -> Grid:
    table = Grid(box=None, pad_edge=False)
    for name in ("per class", "images", "bytes (paper)", "bytes (all)", "updates", "seconds"):
        table.add_column(name, justify="right")
    table.add_column("file", overflow="fold")
    for one in made:
        facts, totals = _facts(one, request), one.artefact.totals
        table.add_row(
            str(one.ipc),
            one.artefact.header.count,
            format_bytes(totals.paper),
            format_bytes(totals.all),
            str(facts["step"]),
            f"{one.seconds:.1f}",
            str(facts["path"]),
        )
    return table
