"""Accuracy of one low-rank set at each width of its values, rounded afterwards or while it is made.

    uv run python benchmarks/storage_bits.py digits --network convnet2:width=32 --iterations 300
    uv run python benchmarks/storage_bits.py npz:cifar10.npz --per-class 400

LoDM condenses one set in float32; every storage without ``train`` keeps that one, rounded. A
storage with ``train`` has a set of its own, condensed in the same way. ``+scales`` behind a storage
rounds afterwards and then learns the scales, so that the features of the rounded images come near
those of the float32 ones in networks drawn at random. All are evaluated by the same card and the
same networks. Writes a file for each row, goes on where it stopped, and prints a table.
"""

from __future__ import annotations

import hashlib
import json
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro

import attar
from attar.artefact.artefact import Artefact
from attar.files import write_text
from attar.networks import make_for
from attar.rng import Key
from attar.storage import storage_of
from attar.storage.integers import SCALES, Integers
from attar.storage.scales import groups_of, kept_scales

STORAGES = (
    *("float32", "float16", "float8", "int8", "int4", "int3", "int2"),
    *("int4:train=0.5", "int3:train=0.5", "int2:train=0.5"),
    *("int3+scales", "int2+scales"),
)
RECALIBRATED = "+scales"


@dataclass(frozen=True)
class Options:
    """What is run."""

    source: Annotated[str, tyro.conf.Positional] = "digits"
    """The images, as 'attar condense' takes them."""
    output: Path = Path("results/storage_bits")
    """Folder for artefacts and figures."""
    storages: tuple[str, ...] = STORAGES
    """Storages to compare."""
    ipc: int = 1
    """Memory of the float32 set in full images per class."""
    per_class: int | None = None
    """Real images per class; all where left out."""
    network: str = "convnet3:width=32"
    """Network to match in and to evaluate with."""
    iterations: int = 200
    """Updates of every set."""
    batch_real: int = 64
    """Real images per class and update."""
    recalibrations: int = 200
    """Updates of the scales of a row of recalibrated ones."""
    epochs: int = 150
    """Of the card dsa-1000, for every row."""
    repeats: int = 3
    """Networks per set."""
    seed: int = 0
    """Of sets and networks."""


def condensed(options: Options, storage: str) -> Artefact:
    """Return the set of a storage that runs know: made, or read from its file."""
    asked = {
        "method": "lodm",
        "init": "real",
        "average": 0.95,
        "storage": storage,
        "settings": {"batch_real": options.batch_real},
        "ipc": options.ipc,
        "network": options.network,
        "iterations": options.iterations,
        "seed": options.seed,
        "per_class": options.per_class,
        "precision": "float32",
        "validation": 0,
    }
    if storage != "float32":
        # the images of the float32 set, in fewer bytes
        count = condensed(options, "float32").header.images_per_class
        asked |= {"ipc": None, "synthetic_per_class": count}
    path = options.output / f"{_digest([options.source, asked])}.safetensors"
    if path.exists():
        return attar.load(path)
    return attar.condense(options.source, **asked, output=path, resume=True)


def _digest(value: Any) -> str:
    told = json.dumps(value, sort_keys=True, default=str).encode()
    return hashlib.blake2b(told, digest_size=6).hexdigest()


def kept(options: Options, storage: str) -> Artefact:
    """Return the set as the storage keeps it."""
    if "train=" in storage:
        return condensed(options, storage)
    whole = condensed(options, "float32")
    plain = storage.removesuffix(RECALIBRATED)
    header = whole.header.model_copy(update={"storage": plain, "budget": {}})
    wanted = whole.images.clone()
    found = Artefact.rounded(header, whole.synthetic, whole.preprocessing)
    return recalibrated(options, found, wanted) if plain != storage else found


def recalibrated(options: Options, found: Artefact, wanted: torch.Tensor) -> Artefact:
    """Return a rounded set with scales learnt so that its images look like those wanted."""
    storage = storage_of(found.header.storage)
    assert isinstance(storage, Integers)
    network = make_for(options.network, found.header.layout.shape, found.header.layout.classes)
    stored = {n: one.clone() for n, one in found.synthetic.images.state_dict().items()}
    scales = {n: found.coded[f"images.{n}{SCALES}"].float() for n in stored}
    factors = {n: torch.zeros_like(one, requires_grad=True) for n, one in scales.items()}
    rows = torch.arange(len(found))

    def values(factor: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {
            name: (one.view(groups_of(one.shape, storage.group)) * factor[name][:, None]).view_as(
                one
            )
            for name, one in stored.items()
        }

    learning = torch.optim.Adam(factors.values(), lr=0.01)
    for step in range(options.recalibrations):
        module: Any = network.draw(Key(options.seed).fold("recalibration", step))
        now = values({name: one.exp() for name, one in factors.items()})
        images = torch.func.functional_call(found.synthetic.images, now, (rows,))
        loss = (module.embed(images) - module.embed(wanted).detach()).square().sum(dim=1).mean()
        learning.zero_grad()
        loss.backward()
        learning.step()
    with torch.no_grad():
        kept = {n: kept_scales(one * factors[n].exp()) / one for n, one in scales.items()}
        found.synthetic.images.load_state_dict(values(kept))
    return Artefact.rounded(found.header, found.synthetic, found.preprocessing)


def row(options: Options, storage: str) -> dict[str, Any]:
    """Return the figures of one row, measured or read from its file."""
    told = {**asdict(options), "storage": storage}
    named = {name: told[name] for name in told if name not in ("storages", "output")}
    path = options.output / f"{_digest(named)}.json"
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    artefact = kept(options, storage)
    (found,) = attar.evaluate(
        artefact,
        card="dsa-1000",
        epochs=options.epochs,
        repeats=options.repeats,
        seed=options.seed,
        precision="float32",
    )
    facts = {
        "storage": storage,
        "images": artefact.header.images_per_class,
        "bytes": artefact.nbytes,
        "accuracies": list(found.results[0].accuracies),
        "asked": named,
    }
    write_text(path, json.dumps(facts, default=str))
    return facts


def main() -> None:
    """Run every row and print a Markdown table."""
    options = tyro.cli(Options)
    options.output.mkdir(parents=True, exist_ok=True)
    print(f"attar {attar.__version__}: {options}\n")
    print("| storage | images per class | bytes | accuracy |\n|---|---|---|---|", flush=True)
    for storage in options.storages:
        facts = row(options, storage)
        found = facts["accuracies"]
        accuracy = f"{statistics.fmean(found):.1f} ± {statistics.pstdev(found):.1f}"
        cells = (f"`{storage}`", str(facts["images"]), f"{facts['bytes']:,}", accuracy)
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
