"""`attar audit`: what a set tells of the images that it was made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from attar import threads
from attar.cli.console import PLAIN, Grid, err, out, print_json
from attar.cli.reading import Reading, reading_options
from attar.errors import BadRequest
from attar.files import check_writable
from attar.options import File, Number, Whole, option

if TYPE_CHECKING:
    from attar.applications.auditing.found import Audit as Found
    from attar.applications.auditing.rates import Attack


@dataclass(frozen=True)
class Audit:
    """Try to tell from an artefact which images it was made from: membership inference."""

    artefact: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT.safetensors")]
    """The .safetensors file."""
    reading: Annotated[Reading, tyro.conf.arg(name="")]
    data: Annotated[str | None, option("SOURCE")] = None
    """Source of the real images, with a training part (members) and a test part (unseen images);
    the one it was made from where left out."""
    members: File = None
    """File of the indices of those training images that count as members: .npy, or a text with
    one in each line. All where left out."""
    shadows: int = 0
    """Also make the likelihood ratio attack, with this even number of sets of the same method,
    each made from half of all images."""
    minutes: Number = None
    """Wall minutes for the making of all shadow sets together; 10 where left out."""
    iterations: Whole = None
    """Updates of each shadow set, in place of --minutes."""
    repeats: int = 1
    """Networks that the likelihood ratio attack trains on each set."""
    epochs: Whole = None
    """Their epochs, in place of the card's."""
    picture: File = None
    """Also write a picture here: images of the set beside the real ones nearest to them."""
    seed: int = 0
    """Of shadow sets, networks and samples."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps; of the networks."""
    json: bool = False
    """Print one JSON object."""

    def run(self) -> None:
        """Carry it out."""
        audit(self)


def audit(options: Audit) -> None:
    """Run `attar audit`."""
    if options.picture is not None:
        if options.picture.suffix != ".png":
            raise BadRequest(f"--picture {options.picture}: the name must end in .png")
        check_writable(options.picture, "--picture", "nearest.png")
    err.print(f"attar audit: reading {options.artefact}", **PLAIN)
    threads.use()
    from attar.applications.auditing.audit import audit as carry_out
    from attar.artefact.loading import load
    from attar.pictures.neighbours import check_shown, neighbours

    artefact = load(options.artefact)
    if options.picture is not None:
        check_shown(artefact, "--picture")
    found = carry_out(
        artefact,
        options.data,
        members=options.members,
        shadows=options.shadows,
        minutes=options.minutes,
        iterations=options.iterations,
        repeats=options.repeats,
        epochs=options.epochs,
        seed=options.seed,
        device=options.device,
        said=lambda line: err.print(line, **PLAIN),
        **reading_options(options.reading),
    )
    if options.picture is not None:
        near = found.neighbours
        drawn = neighbours(options.artefact.stem, near.images, near.distances, options.picture.stem)
        drawn.save(options.picture.parent)
    if options.json:
        print_json({"path": str(options.artefact), **found.as_dict()})
    else:
        print_found(found)


def print_found(found: Found) -> None:
    """Print what was found, and what it does not prove."""
    table = Grid("attack", "tested", "unseen", "AUC", "95 %", box=None, pad_edge=False)
    shares = [one.false_alarms for one in found.nearest.hits]
    for share in shares:
        table.add_column(f"found at {share:.1%} false")
    for name, one in found.attacks.items():
        table.add_row(*_cells(name, one, len(shares)))
    out.print(table, highlight=False)
    for name, one in found.attacks.items():
        out.print(f"{name}: {one.what}", **PLAIN)
    out.print(
        f"Of {found.rows:,} images of the set, {found.exact:,} are training images to the last "
        f"bit, {found.copies:,} the same in 8 bits, and {found.close:,} nearer to a training image "
        "than 99 % of unseen images are.",
        **PLAIN,
    )
    for line in found.notes:
        out.print(line, **PLAIN)
    from attar.applications.auditing.found import NOT_PROVEN
    from attar.applications.auditing.rates import INTERVAL

    out.print(f"Intervals: {INTERVAL}. What this does not prove:", **PLAIN)
    for line in NOT_PROVEN:
        out.print(f"- {line}", **PLAIN)


def _cells(name: str, one: Attack, shares: int) -> list[str]:
    hits = [f"{each.share:.1%} ({each.low:.1%}…{each.high:.1%})" for each in one.hits]
    hits += ["–"] * (shares - len(hits))
    return [
        name,
        f"{one.members:,}",
        f"{one.others:,}",
        f"{one.auc:.3f}",
        f"{one.low:.3f}…{one.high:.3f}",
        *hits[:shares],
    ]
