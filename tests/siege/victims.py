"""Files of every kind that Attar writes, each with how it is read and what must hold then."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attar.artefact.artefact import Artefact
from attar.artefact.loading import load
from attar.artefact.snapshots import Snapshots, load_snapshots
from attar.condensing import checkpoint
from attar.condensing.checkpoint import Progress
from attar.condensing.log import read_log
from attar.evaluation import ceiling
from attar.evaluation.record import Evaluation, keep, read_record
from attar.evaluation.results import Result
from attar.evaluation.rows import Row
from attar.experts import open_experts, train_experts
from attar.experts.store import path_of
from attar.networks import build
from attar.synthetic import LowRank, OrderedSVD, Tiled
from attar.tensors import flatten
from catalogue import (
    NETWORK,
    OBJECTIVES,
    PARAMETRIZATIONS,
    prepared_data,
    tiny_data,
    tiny_problem,
    tiny_run,
)
from test_partial import make

FORMS = {
    **PARAMETRIZATIONS,
    "low-rank tiles": LowRank(2, Tiled(2)),
    "low-rank components": LowRank(2, OrderedSVD(share="class")),
    "low-rank codes": LowRank(2, PARAMETRIZATIONS["decoded"]),
}


@dataclass(frozen=True)
class Victim:
    """A file to be changed.

    Args:
        kind: artefact, snapshots, checkpoint, experts, or text.
        name: of this one.
        path: the file.
        read: reads it and returns what must be equal to what is read of the original.
        check: tells what is wrong with what was read of a forged file; None for nothing.
    """

    kind: str
    name: str
    path: Path
    read: Callable[[], Any]
    check: Callable[[Any], str | None] = lambda found: None


def facts(artefact: Artefact) -> dict[str, Any]:
    """Return what must be the same of two artefacts."""
    if 4 * len(artefact) * math.prod(artefact.header.shape) > 2**26:
        return {"artefact": artefact, "card": artefact.header.model_dump(mode="json")}
    header = artefact.header.model_dump(mode="json")
    whitening = artefact.preprocessing.whitening
    return {
        "artefact": artefact,
        "card": header,
        "images": artefact.images,
        "labels": artefact.labels,
        "matrix": torch.zeros(0) if whitening is None else whitening.matrix,
        "checked": artefact.checked,
    }


def wrong_set(found: dict[str, Any]) -> str | None:
    """Tell what is inconsistent or infinite in an artefact that was loaded."""
    artefact: Artefact = found["artefact"]
    header, unused = artefact.header, artefact.totals.unused
    if "images" not in found:
        return None
    wrong = {
        "images are infinite": not bool(artefact.images.isfinite().all()),
        "labels are infinite": not bool(artefact.labels.isfinite().all()),
        "images of another shape": artefact.images.shape != (len(artefact), *header.shape),
        "labels of another number": len(artefact.labels) != len(artefact),
        "classes are there twice": len(set(header.class_names)) < len(header.class_names),
        "the budget is exceeded": unused is not None and unused < 0,
        "pixels are no numbers": bool(artefact.pixels.isnan().any()),
        "the version is no number": type(header.version) is not int,
        "it cannot be described": not repr(artefact),
    }
    return next((said for said, is_so in wrong.items() if is_so), None)


def _artefacts(folder: Path) -> list[Victim]:
    found = []
    for number, (name, form) in enumerate(FORMS.items()):
        for zca, storage in (("none", "float32"), ("mtt", "bfloat16")):
            path = folder / f"{number}-{zca}.safetensors"
            plain = name in ("pixels", "low_rank")
            made = make(
                form,
                shape=(1, 8, 8),
                zca=zca,
                storage=storage,
                labels=zca == "none",
                nested=plain,
                budget={"ipc": 50, "count": "all", "limit": 38_400},
                settings={"card": "dc-300"},
            )
            made.save(path)
            title = f"{name}, zca {zca}, {storage}"
            found.append(Victim("artefact", title, path, lambda p=path: facts(load(p)), wrong_set))
            if plain or "svd" in name or "components" in name:
                part = Victim("part", title, path, lambda p=path: facts(load(p, ipc=2)), wrong_set)
                found.append(part)
    return found


def _snapshots(folder: Path) -> Victim:
    path = folder / "a.snapshots.safetensors"
    kept = Snapshots(path, (0, 1, 2))
    for step in range(3):
        kept.add(make(LowRank(2), shape=(1, 8, 8), zca="mtt", step=step), 1.0)

    def check(found: list[dict[str, Any]]) -> str | None:
        return next(filter(None, map(wrong_set, found)), None)

    return Victim(
        "snapshots", "three", path, lambda: [facts(one) for one in load_snapshots(path)], check
    )


def _checkpoint(folder: Path, objective: str) -> Victim:
    path = folder / f"{objective}.checkpoint.safetensors"
    identity = {"method": objective, "seed": 0, "settings": {"lr": 0.1}}

    def fresh() -> Any:
        data = prepared_data() if objective == "parameters" else tiny_data()
        learned = objective in ("kernel", "parameters")
        problem = tiny_problem(data)
        return tiny_run(OBJECTIVES[objective], problem, learned_labels=learned, steps=9)

    run = fresh()
    for _ in range(3):
        run.advance()
    best = {name: tensor.clone() for name, tensor in run.iterate.state_dict().items()}
    progress = Progress(3.0, 1, 1, 50.0, 40.0, best, run.learned_copies())
    checkpoint.save(path, run, progress, identity)

    def read() -> Any:
        again = fresh()
        progress = checkpoint.restore(path, again, identity)
        before = again.state_dict()
        # it goes on
        return dataclasses.asdict(progress), flatten(before), again.advance()

    def check(found: Any) -> str | None:
        _, (tensors, _), _ = found
        images = [one for name, one in tensors.items() if name.startswith("synthetic")]
        return None if all(bool(one.isfinite().all()) for one in images) else "infinite"

    return Victim("checkpoint", objective, path, read, check)


def _experts(folder: Path) -> list[Victim]:
    place, data = folder / "experts", tiny_data()
    train_experts(data, output=place, count=2, epochs=2, network=NETWORK, batch=16)
    network = build(NETWORK, 1, (8, 8), 3)

    def read() -> Any:
        store = open_experts(place, network, data.preprocessing)
        parts = [store.segment(expert, 1, 1) for expert in range(store.count)]
        whole = [store.segment(expert, 0, 2) for expert in range(store.count)]
        return store.accuracies(), parts, whole

    def check(found: Any) -> str | None:
        _, parts, whole = found
        return None if all(bool(one.isfinite().all()) for one in parts + whole) else "infinite"

    first = Victim("experts", "expert", path_of(place, 0), read, check)
    return [first, Victim("experts", "header", place / "experts.json", read, check)]


def _texts(folder: Path) -> list[Victim]:
    """Files without checksums: what they say may change, but nothing may break."""
    log = folder / "a.log.jsonl"
    log.write_text("".join(json.dumps({"step": n, "loss": 1.0}) + "\n" for n in range(9)))
    kept = folder / "ceiling.json"
    document = {"format": ceiling.FORMAT, "version": 1, "accuracies": [50.0], "seconds": 1.0}
    kept.write_text(json.dumps(document))
    row = Row("a", 1, 96, 96, (Result("convnet3", "dc-300", (50.0, 60.0), 1.0),))
    record = keep(folder / "a.safetensors", 64 * "0", Evaluation("dc-300", "digits", (row,)))
    return [
        Victim("text", "log", log, lambda: read_log(log)),
        Victim("text", "ceiling", kept, lambda: ceiling.read(kept)),
        Victim("text", "evaluation", record, lambda: read_record(record)),
    ]


def victims(folder: Path) -> list[Victim]:
    """Write one file of each kind into a folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    checkpoints = ("distribution", "gradient", "kernel", "nested", "subspace", "trajectory")
    return [
        *_artefacts(folder),
        _snapshots(folder),
        *(_checkpoint(folder, name) for name in checkpoints),
        *_experts(folder),
        *_texts(folder),
    ]


def same(one: Any, other: Any) -> bool:
    """Tell whether two things that were read are equal, bit for bit."""
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        if not isinstance(other, dict) or one.keys() != other.keys():
            return False
        return all(same(one[key], other[key]) for key in one if key != "artefact")
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other
