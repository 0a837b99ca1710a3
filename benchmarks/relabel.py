"""Whether soft labels pay per byte, beside as many bytes of further images.

    uv run python benchmarks/relabel.py digits

At every number of images per class a set is made, relabelled in several storages of labels, and
made once more from the bytes that it takes with the labels of the first of these, so that images
stand in place of labels. All are judged by the same updates of the same networks on a tenth of the
training images, which nothing is made from; the test images are not looked at. A finished row is
kept in a file and not measured again.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

import attar
from attar.data import Splits, load_source
from attar.rng import Key

HELD_OUT = 0.1


@dataclass(frozen=True)
class Options:
    """What is run."""

    source: Annotated[str, tyro.conf.Positional] = "digits"
    """The images, as 'attar condense' takes them."""
    counts: tuple[int, ...] = (1, 10, 50)
    """Images per class."""
    methods: tuple[str, ...] = ("random", "fastdm")
    """Of the sets."""
    storage: str = "int8"
    """Of their images."""
    by: Literal["networks", "regression"] = "networks"
    """Where labels come from; all sets are judged under card frepo where by regression."""
    labels: tuple[str, ...] = ("float16", "int8", "int4")
    """Storages of labels; the first says how many bytes more images get."""
    iterations: int = 200
    """Updates of sets that are trained."""
    teachers: int = 3
    """Networks that give labels."""
    epochs: int = 30
    """Of their training."""
    network: str = "convnet2:width=32"
    """Network to match in, to teach and to be judged by."""
    updates: int = 300
    """Of every network that judges."""
    repeats: int = 2
    """Networks that judge."""
    seed: int = 0
    """Of sets and networks."""
    results: Path = Path("relabel.jsonl")
    """Where finished rows are kept."""


def made(options: Options, method: str, data: Splits, count: int) -> attar.Artefact:
    """Return a set without soft labels."""
    trained: dict[str, Any] = (
        {} if method in ("random", "confident") else {"iterations": options.iterations}
    )
    return attar.condense(
        Splits(data.train, None, source=options.source),
        method=method,
        storage=options.storage,
        network=options.network,
        seed=options.seed,
        validation=0,
        synthetic_per_class=count,
        **trained,
    )


def grown(
    options: Options, method: str, count: int, data: Splits, before: int, most: int
) -> attar.Artefact:
    """Return the largest set of at most so many bytes, begun where all images take alike."""
    count = max(count, count * most // before)
    while True:
        found = made(options, method, data, count)
        if found.nbytes <= most or count == 1:
            return found
        count -= 1


def sets(
    options: Options, method: str, count: int, data: Splits
) -> Iterator[tuple[str, attar.Artefact]]:
    """Yield the sets that are compared, by what stands for each in the table."""
    way: dict[str, Any] = {"by": options.by}
    if options.by == "networks":
        way |= {"teachers": options.teachers, "epochs": options.epochs}
    plain = made(options, method, data, count)
    yield "hard labels", plain
    for number, labels in enumerate(options.labels):
        soft = attar.relabel(
            plain,
            Splits(data.train, None, source=options.source),
            labels=labels,
            network=options.network,
            **way,
            seed=options.seed,
        )
        yield f"soft labels, {labels}", soft
        if number == 0:
            yield "more images", grown(options, method, count, data, plain.nbytes, soft.nbytes)


def row(options: Options, found: attar.Artefact, data: Splits) -> dict[str, Any]:
    """Return what was found of a set."""
    judged = attar.evaluate(
        found,
        data,
        networks=options.network,
        card="dsa-1000" if options.by == "networks" else "frepo",
        updates=options.updates,
        repeats=options.repeats,
        seed=options.seed,
    )[0]
    return {
        "images": found.totals.images_per_class,
        "bytes": found.nbytes,
        "accuracies": list(judged.results[0].accuracies),
    }


def main() -> None:
    """Measure every row that is not there yet, and print a Markdown table."""
    options = tyro.cli(Options, description=__doc__)
    whole = load_source(options.source).train
    train, held = whole.split(HELD_OUT, Key(options.seed).fold("held out"))
    data = Splits(train, held, source=options.source)
    unasked = ("counts", "methods", "labels", "results")
    asked = {n: value for n, value in dataclasses.asdict(options).items() if n not in unasked}
    asked["first"] = options.labels[:1]
    there: list[dict[str, Any]] = []
    if options.results.exists():
        there = [json.loads(line) for line in options.results.read_text().splitlines()]
    print("| method | images a class | labels | images | bytes | accuracy |")
    print("|---|---|---|---|---|---|", flush=True)
    for method in options.methods:
        for count in options.counts:
            place = json.loads(json.dumps(asked | {"method": method, "count": count}))
            known = {one["what"]: one for one in there if one["place"] == place}
            wanted = {"hard labels", "more images", *(f"soft labels, {n}" for n in options.labels)}
            found = known.items() if known.keys() >= wanted else sets(options, method, count, data)
            for what, one in found:
                if isinstance(one, attar.Artefact):
                    one = row(options, one, data)
                    kept = json.dumps(one | {"what": what, "place": place})
                    with options.results.open("a") as out:
                        out.write(kept + "\n")
                mean, spread = statistics.fmean(one["accuracies"]), 0.0
                if len(one["accuracies"]) > 1:
                    spread = statistics.stdev(one["accuracies"])
                cells = (method, count, what, one["images"], f"{one['bytes']:,}")
                print(f"| {' | '.join(map(str, cells))} | {mean:.1f} ± {spread:.1f} |", flush=True)


if __name__ == "__main__":
    main()
