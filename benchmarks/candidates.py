"""What serves best at equal bytes and minutes: every candidate on held-out training images.

    uv run python benchmarks/candidates.py cifar10 --bytes 122880 --minutes 2
    uv run python benchmarks/candidates.py cifar10 --family frepo --minutes 10 --results frepo.jsonl
    uv run python benchmarks/candidates.py cifar10 --family kd --minutes 5 --updates 2000

Each candidate is a call of `attar.condense` under the same bytes; those that are trained have the
same wall minutes. All are judged by the same number of updates of the same networks on a tenth of
the training images, which no set is made from; the test images are not looked at. A finished row is
kept in a file and not measured again. `--family frepo` has FRePo and DM over forms that hold more
images, at the memory of so many images per class as the papers count it, which leaves labels out;
the table has all bytes. `--family kd` has coarse and fine images beside a teacher that labels them.
Each set is judged under the card of its method.
"""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro

import attar
from attar.coding import codecs_there
from attar.data import Splits, load_source
from attar.rng import Key

HELD_OUT = 0.1


@dataclass(frozen=True)
class Options:
    """What is run."""

    source: Annotated[str, tyro.conf.Positional] = "cifar10"
    """The images, as 'attar condense' takes them."""
    bytes: int = 122_880
    """Memory of every set, all counted."""
    minutes: float = 2.0
    """Wall minutes of those that are trained."""
    network: str = "convnet3:width=64"
    """Network to match in, and to be judged by."""
    updates: int = 400
    """Of every network."""
    repeats: int = 1
    """Networks of every candidate."""
    family: Literal["all", "frepo", "kd"] = "all"
    """Which candidates: everything, FRePo and DM over forms, or images beside a teacher."""
    ipc: int = 1
    """Images per class whose memory FRePo's family has, in place of --bytes."""
    zca: Literal["none", "frepo"] = "none"
    """Whitening under FRePo."""
    lr: float = 0.003
    """Learning rate of FRePo's images, factors and bases; that of its method is for weeks."""
    batch_real: int = 512
    """Real images in a step of FRePo."""
    only: tuple[str, ...] = ()
    """Names of candidates; all where left out."""
    seed: int = 0
    """Of sets and networks."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Whether networks are compiled."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the networks."""
    results: Path = Path("candidates.jsonl")
    """Where finished rows are kept."""


def epochs_of(images: int, minutes: float) -> int:
    """Return how long a teacher of 64 channels may learn from 32×32 images: 90,000 a minute."""
    return max(1, round(90_000 * minutes / images))


def candidates(side: int, epochs: int) -> dict[str, dict[str, Any]]:
    """Return the options of every candidate, by its name, for images of a side in pixels.

    Those that are chosen by a trained network have it trained for some epochs.
    """
    half = f"resized:side={-(-side // 2)}"
    most = f"resized:side={-(-3 * side // 4)}"
    codec = next(name for name in ("avif", "webp") if name in codecs_there())
    pool: dict[str, Any] = {"method": "fastdm"}
    studied = {"epochs": epochs}
    return {
        "random, float32": {"method": "random"},
        "random, coded, half": {"method": "random", "form": half, "storage": f"{codec}:quality=35"},
        "random, coded, 3/4": {"method": "random", "form": most, "storage": f"{codec}:quality=25"},
        "random, coded, full": {"method": "random", "storage": f"{codec}:quality=25"},
        "herding, coded, 3/4": {
            "method": "herding",
            "form": most,
            "storage": f"{codec}:quality=25",
            "settings": studied,
        },
        "confident, coded, half": {
            "method": "confident",
            "form": half,
            "storage": f"{codec}:quality=35",
            "settings": studied,
        },
        "confident, coded, 3/4": {
            "method": "confident",
            "form": most,
            "storage": f"{codec}:quality=25",
            "settings": studied,
        },
        "confident, coded, full": {
            "method": "confident",
            "storage": f"{codec}:quality=25",
            "settings": studied,
        },
        "kd, coded, full": {
            "method": "kd",
            "storage": f"{codec}:quality=25",
            "settings": studied,
        },
        "taught, coded, 3/4": {
            "method": "taught",
            "form": most,
            "storage": f"{codec}:quality=25,labels=int4:rate=1",
            "settings": studied,
        },
        "DM, float32": pool,
        "DM, int4": {**pool, "storage": "int4:rate=3.5"},
        "DM, half, int4": {**pool, "form": half, "storage": "int4:rate=3.5"},
        "DM, half, int3": {**pool, "form": half, "storage": "int3:rate=2.5"},
        "DM, frequency, int4": {
            **pool,
            "form": "frequency:keep=0.15",
            "storage": "int4:rate=2.5",
        },
        "LoDM, int4": {"method": "fastlodm", "storage": "int4:rate=3.5"},
        "LoDM, int3": {"method": "fastlodm", "storage": "int3:rate=2.5"},
        "KFS, float16": {"method": "fastkfs", "storage": "float16"},
        "DM from coded, 3/4": {
            **pool,
            "form": most,
            "storage": f"{codec}:quality=25",
            "init": "confident",
            "settings": {"epochs": 1},
        },
    }


def frepo_forms(options: Options) -> dict[str, dict[str, Any]]:
    """Return FRePo and DM over forms that store more images in the same bytes, KFS among them."""
    frepo: dict[str, Any] = {
        "method": "frepo",
        "zca": options.zca,
        "settings": {"batch_real": options.batch_real},
    }
    stepped = frepo | {"lr": options.lr}
    both = "low_rank:rank=2,base=tiled:factor=2"
    return {
        "FRePo": stepped,
        "FRePo, low rank": stepped | {"method": "lofrepo"},
        "FRePo, tiled": stepped | {"form": "tiled"},
        "FRePo, bases": stepped | {"form": "addressed"},
        "FRePo, low rank over tiled": stepped | {"form": both},
        # codes and decoders have learning rates of their own
        "FRePo, decoded": frepo | {"form": "decoded"},
        "DM, low rank": {"method": "fastlodm"},
        "DM, tiled": {"method": "fastdm", "form": "tiled"},
        "DM, bases": {"method": "fastdm", "form": "addressed"},
        "DM, low rank over tiled": {"method": "fastdm", "form": both},
        "KFS": {"method": "kfs"},
        "KFS, networks kept": {"method": "fastkfs"},
    }


def labelled(side: int, epochs: int) -> dict[str, dict[str, Any]]:
    """Return images of several qualities beside a teacher; arguments as those of `candidates`."""
    codec = next(name for name in ("avif", "webp") if name in codecs_there())
    most = f"resized:side={-(-3 * side // 4)}"
    studied = {"settings": {"epochs": epochs}}
    rows: dict[str, dict[str, Any]] = {}
    for quality in (18, 25, 35, 45, 60):
        coded = {"storage": f"{codec}:quality={quality}"}
        rows[f"kd, {quality}, full"] = {"method": "kd"} | coded | studied
        rows[f"kd, {quality}, 3/4"] = {"method": "kd", "form": most} | coded | studied
        rows[f"confident, {quality}, full"] = {"method": "confident"} | coded | studied
    return rows


def chosen(options: Options, side: int, epochs: int) -> dict[str, dict[str, Any]]:
    """Return the candidates that are asked for; arguments as those of `candidates`."""
    if options.family == "frepo":
        whole = frepo_forms(options)
    else:
        whole = (labelled if options.family == "kd" else candidates)(side, epochs)
    return {name: one for name, one in whole.items() if not options.only or name in options.only}


def made(options: Options, asked: dict[str, Any], data: Splits) -> attar.Artefact:
    """Return the set of a candidate."""
    kept = asked["method"] in ("random", "herding", "confident", "taught", "kd")
    limits: dict[str, Any] = {} if kept else {"minutes": options.minutes, "validation": 0}
    size: dict[str, Any] = {"max_bytes": options.bytes}
    if options.family == "frepo":
        size = {"ipc": options.ipc}
    return attar.condense(
        Splits(data.train, None, source=options.source),
        **asked,
        **limits,
        **size,
        network=options.network,
        seed=options.seed,
        torch_compile=options.compile,
        precision=options.precision,
    )


def row(options: Options, name: str, asked: dict[str, Any], data: Splits) -> dict[str, Any]:
    """Return what was found of a candidate."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = made(options, asked, data)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    judged = attar.evaluate(
        found,
        data,
        networks=options.network,
        updates=options.updates,
        repeats=options.repeats,
        seed=options.seed,
        torch_compile=options.compile,
        precision=options.precision,
    )[0]
    return {
        "candidate": name,
        "images": found.totals.images_per_class,
        "bytes": found.totals.all,
        "updates": found.header.step,
        "wall": round(wall, 1),
        "cpu": round(cpu, 1),
        "accuracies": list(judged.results[0].accuracies),
    }


def main() -> None:
    """Measure every candidate that is not there yet, and print a Markdown table."""
    options = tyro.cli(Options, description=__doc__)
    whole = load_source(options.source).train
    train, held = whole.split(HELD_OUT, Key(options.seed).fold("held out"))
    data = Splits(train, held, source=options.source)
    epochs = epochs_of(len(train), options.minutes)
    asked = {
        name: getattr(options, name)
        for name in ("source", "bytes", "minutes", "network", "updates", "repeats", "seed")
    }
    if options.family == "frepo":
        asked |= {n: getattr(options, n) for n in ("ipc", "zca", "lr", "batch_real")}
    there: dict[str, dict[str, Any]] = {}
    if options.results.exists():
        kept = [json.loads(line) for line in options.results.read_text().splitlines()]
        there = {one["candidate"]: one for one in kept if one["asked"] == asked}
    print(f"attar {attar.__version__}, torch {torch.__version__}: {asked}\n")
    print("| candidate | images a class | bytes | updates | wall s | CPU s | accuracy |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for name, given in chosen(options, min(train.shape[1:]), epochs).items():
        if name not in there:
            try:
                there[name] = row(options, name, given, data) | {"asked": asked}
            except attar.AttarError as error:
                print(f"| {name} | | | | | | {error} |", flush=True)
                continue
            with options.results.open("a") as out:
                out.write(json.dumps(there[name]) + "\n")
        one = there[name]
        cells = [str(one[key]) for key in ("images", "bytes", "updates", "wall", "cpu")]
        accuracy = f"{statistics.fmean(one['accuracies']):.1f}"
        if len(one["accuracies"]) > 1:
            accuracy += f" ± {statistics.stdev(one['accuracies']):.1f}"
        print(f"| {' | '.join([name, *cells, accuracy])} |", flush=True)


if __name__ == "__main__":
    main()
