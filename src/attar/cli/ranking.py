"""`attar rank`: whether candidates keep their order when they train on a condensed set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro
from rich.box import HORIZONTALS

from attar import threads
from attar.cli.console import PLAIN, Grid, err, out, print_json
from attar.cli.lists import split_networks
from attar.cli.reading import Reading, reading_options
from attar.errors import BadRequest
from attar.options import File, Name, Whole, option

if TYPE_CHECKING:
    from attar.applications.ranking.correlation import Correlation
    from attar.applications.ranking.results import Proxy, Ranking


@dataclass(frozen=True)
class Rank:
    """Rank networks or learning rates by training on an artefact, and tell how well that order
    is the one on the whole training set."""

    artefact: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT.safetensors")]
    """The .safetensors file."""
    reading: Annotated[Reading, tyro.conf.arg(name="")]
    data: Annotated[str | None, option("SOURCE")] = None
    """Source of the real images, with a training and a test part; the one it was made from where
    left out."""
    networks: Annotated[str, option("NAMES")] = ""
    """Candidates, with commas between, such as mlp,convnet3,timm:resnet18; the network it was made
    with where left out."""
    lrs: Annotated[str, option("RATES")] = ""
    """Learning rates with commas between, such as 0.003,0.01,0.03: each network is a candidate at
    each of them."""
    repeats: int = 1
    """Networks of each candidate, their accuracies averaged."""
    beside: Annotated[str, option("NAMES")] = "random"
    """Real images of the same bytes to set beside it: random, coded, random,coded, or none."""
    card: Name = None
    """Evaluation card; the artefact's own where left out."""
    epochs: Whole = None
    """Another number of epochs than the card's, on the small sets."""
    updates: Whole = None
    """Train on every set for this number of updates, in place of epochs."""
    whole_epochs: Whole = None
    """Epochs on the whole training set; left out: about as many updates as on a small set, in 20
    epochs or more."""
    output: Annotated[File, tyro.conf.arg(aliases=["-o"], metavar="FILE.json")] = None
    """Keep what each candidate reached in this .json file."""
    resume: bool = False
    """Go on with what the file has."""
    overwrite: bool = False
    """Replace the file."""
    seed: int = 0
    """Of the networks and the real images."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    json: bool = False
    """Print one JSON object."""

    def run(self) -> None:
        """Carry it out."""
        rank(self)


def rank(options: Rank) -> None:
    """Run `attar rank`."""
    lrs = [_rate(text) for text in options.lrs.split(",") if text.strip()]
    beside = [name.strip() for name in options.beside.split(",") if name.strip()]
    err.print(f"attar rank: reading {options.artefact}", **PLAIN)
    threads.use()
    from attar.applications.ranking.rank import rank as carry_out

    found = carry_out(
        options.artefact,
        options.data,
        networks=[name for name in split_networks(options.networks) if name] or None,
        lrs=lrs,
        repeats=options.repeats,
        beside=[] if beside == ["none"] else beside,
        card=options.card,
        epochs=options.epochs,
        updates=options.updates,
        whole_epochs=options.whole_epochs,
        output=options.output,
        resume=options.resume,
        overwrite=options.overwrite,
        seed=options.seed,
        device=options.device,
        said=lambda line: err.print(line, **PLAIN),
        **reading_options(options.reading),
    )
    if options.json:
        print_json({"path": str(options.artefact), **found.as_dict()})
    else:
        print_ranking(found)


def _rate(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadRequest(f"--lrs {text.strip()}: numbers with commas between are needed") from None


def print_ranking(found: Ranking) -> None:
    """Print what each candidate reached, and how well each set keeps their order."""
    sets = (*found.proxies, found.whole)
    table = Grid(title="test accuracy in %, place in brackets", box=HORIZONTALS)
    table.add_column("candidate", overflow="fold")
    for one in sets:
        table.add_column(one.name, justify="right")
    places = [_places(one) for one in sets]
    for row, name in enumerate(found.candidates):
        cells = [
            f"{one.accuracies[row]:.2f} ({place[row]})"
            for one, place in zip(sets, places, strict=True)
        ]
        table.add_row(name, *cells)
    out.print(table, highlight=False)
    heads = ("training set", "Kendall's τ", "Spearman's ρ", "points lost", "seconds", "faster")
    table = Grid(*heads, title="the order on it beside that on all images", box=HORIZONTALS)
    for one in found.proxies:
        coefficients = [_coefficient(one.kendall), _coefficient(one.spearman)]
        faster = f"{found.faster(one):.1f} times"
        table.add_row(one.name, *coefficients, f"{one.lost:.2f}", f"{one.seconds:.1f}", faster)
    out.print(table, highlight=False)
    from attar.applications.ranking.correlation import INTERVAL

    out.print(f"Intervals: {INTERVAL}.", **PLAIN)
    out.print(
        "Points lost: on all images, between the best candidate and the one that comes first on "
        f"the set. All images took {found.whole.seconds:.1f} seconds.",
        **PLAIN,
    )


def _places(proxy: Proxy) -> list[int]:
    """Return the place of each candidate; equal ones share theirs."""
    return [1 + sum(other > own for other in proxy.accuracies) for own in proxy.accuracies]


def _coefficient(one: Correlation) -> list[str]:
    """Return a coefficient, and its interval in a line of its own."""
    if one.value is None:
        return ["all the same"]
    interval = [] if one.low is None else [f"{one.low:.2f}…{one.high:.2f}"]
    return [f"{one.value:.2f}", *interval]
