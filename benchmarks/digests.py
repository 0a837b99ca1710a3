"""What every method makes of the digits, as digests: to show that a change left results alone.

    uv run python benchmarks/digests.py -o before.json
    uv run python benchmarks/digests.py --beside before.json

Every method at two budgets and two seeds, a few updates each, in float32, uncompiled, on one
thread; subsets (``--nested``), a set started from real images, experts, slimmings, merged sets and
an evaluation beside them. A digest is the SHA-256 of the losses and of the tensors of the set in
the order of their names, so the header of a file may change. With ``--beside`` what differs is
printed, and the status is 1 where anything does; what there was not before does not count.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro

import attar
from attar.methods import METHODS

BUDGETS = (1, 3)
SEEDS = (0, 1)
# what makes a few updates of each method cheap: those of its settings that it has
SHORT: dict[str, tuple[str, ...]] = {
    "alignment": ("outer=2", "inner=2", "batch_real=16", "batch_check=16"),
    "classwise": ("batch_real=16", "inner=2", "samples=64"),
    "gradient": ("outer=2", "inner=2", "batch_real=16"),
    "gradient pool": ("batch_real=16", "pool=2"),
    "distribution": ("batch_real=16",),
    "distillation": ("steps=2", "rounds=2", "batch_real=16"),
    "infinite": ("batch_real=16",),
    "kernel": ("pool=2", "batch_real=32"),
    "random_features": ("networks=2", "batch_real=32"),
    "labels": ("batch=8", "batch_real=16", "gap=2"),
    "statistics": ("squeeze_epochs=1", "roll=2"),
    "subspace": ("length=1", "steps=2", "batch_real=16"),
    "trajectory": ("steps=3", "expert_epochs=1", "max_start=1"),
    "unrolled": ("steps=4", "batch=3", "batch_real=8", "bases=4"),
}
OBJECTIVE_OF = {
    **dict.fromkeys(("cafe", "cafe-dsa"), "alignment"),
    **dict.fromkeys(("kip", "kip-labels"), "infinite"),
    "rfad": "random_features",
    **dict.fromkeys(("dc", "dsa", "lodc", "lodsa"), "gradient"),
    **dict.fromkeys(("fastdc", "fastlodc"), "gradient pool"),
    **dict.fromkeys(("dm", "lodm", "kfs", "fastdm", "fastlodm", "fastkfs"), "distribution"),
    **dict.fromkeys(("frepo", "lofrepo", "slimmable"), "kernel"),
    **dict.fromkeys(("mtt", "tesla", "lomtt", "haba", "lohaba"), "trajectory"),
    **dict.fromkeys(("idc", "idc-i", "loidc-i", "loidc"), "classwise"),
    **dict.fromkeys(("remember-the-past", "lortp"), "unrolled"),
    "dd": "distillation",
    **dict.fromkeys(("ld", "ld-or2"), "labels"),
    "esp": "subspace",
    **dict.fromkeys(("sre2l", "cda"), "statistics"),
}
COMMON: dict[str, Any] = {
    "precision": "float32",
    "torch_compile": "off",
    "validations": 1,
    "network": "convnet2:width=8",
}
# a kernel of infinite width needs a network without norms, and is quick without pooling
NETWORK_OF: dict[str, str] = dict.fromkeys(
    ("infinite", "random_features"), "convnet2:width=8,norm=none,pooling=none"
) | {"statistics": "convnet2:width=8,norm=batch"}
# what chooses another method, or a storage
LEFT_OUT = ("best", "coded")


@dataclass(frozen=True)
class Options:
    """What is done with the digests."""

    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Where they are written, as JSON."""
    beside: Path | None = None
    """Earlier ones to compare with."""


class Losses(attar.Callback):
    """Keeps the losses of a run."""

    def __init__(self) -> None:
        self.found: list[float] = []

    def stepped(self, step: int, loss: float, share: float, seconds: float) -> None:
        """Keep one more."""
        del step, share, seconds
        self.found.append(loss)


def digest(made: attar.Artefact, losses: list[float]) -> str:
    """Return the digest of a set and of the losses on the way to it."""
    found = hashlib.sha256(json.dumps(losses).encode())
    for name, tensor in sorted(made.synthetic.state_dict().items()):
        found.update(name.encode())
        found.update(tensor.contiguous().numpy().tobytes())
    for tensor in (made.images, made.labels):
        found.update(tensor.contiguous().numpy().tobytes())
    return found.hexdigest()[:16]


def condensed(method: str, experts: Path, **more: Any) -> str:
    """Return the digest of a few updates of a method."""
    losses = Losses()
    options = COMMON | more
    if not METHODS[method].coreset:
        options |= {"iterations": 3}
        options["settings"] = (*SHORT[OBJECTIVE_OF[method]], *more.get("settings", ()))
        if OBJECTIVE_OF[method] in ("trajectory", "subspace"):
            options |= {"experts": experts, "zca": "none"}
        if OBJECTIVE_OF[method] in NETWORK_OF:
            options |= {"network": NETWORK_OF[OBJECTIVE_OF[method]], "zca": "none"}
    elif method != "random":
        options["settings"] = ("epochs=1",)
    if method == "kd":
        # the memory of so few images does not hold the network that travels
        options["synthetic_per_class"] = options.pop("ipc")
    return digest(attar.condense("digits", method=method, callback=losses, **options), losses.found)


def digests(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield what was made, and its digest."""
    experts = folder / "experts"
    attar.train_experts(
        "digits", network=COMMON["network"], count=2, epochs=3, output=experts, torch_compile="off"
    )
    stored = hashlib.sha256()
    for path in sorted(experts.rglob("*.safetensors")):
        stored.update(path.read_bytes()[8 + int.from_bytes(path.read_bytes()[:8], "little") :])
    yield "experts", stored.hexdigest()[:16]
    for method in [name for name in METHODS if name not in LEFT_OUT]:
        for ipc in BUDGETS:
            for seed in SEEDS:
                found = condensed(method, experts, ipc=ipc, seed=seed)
                yield f"{method}, ipc {ipc}, seed {seed}", found
        if not METHODS[method].coreset:
            yield f"{method}, from real images", condensed(method, experts, ipc=2, init="real")
    for method in ("dm", "dc", "lodsa"):
        yield f"{method}, nested", condensed(method, experts, ipc=3, nested=True)
    yield "dm, float16, averaged", condensed("dm", experts, ipc=2, storage="float16", average=0.9)
    yield from evaluated(folder)


def evaluated(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the digests of what is done with a set."""
    path = folder / "set.safetensors"
    made = attar.condense(
        "digits",
        method="frepo",
        ipc=4,
        iterations=3,
        settings=SHORT["kernel"],
        output=path,
        **COMMON,
    )
    training = COMMON | {"iterations": 3}
    del training["validations"]
    for name, options in {
        "learning-free": {"learning_free": True},
        "random": {"random": True},
        "matched": {**training, "settings": ("pool=2",)},
        "matched, by class": {**training, "settings": ("pool=2",), "share": "class"},
        "again by dm": {**training, "method": "dm"},
    }.items():
        smaller = attar.slim(path, 2, **options)
        assert isinstance(smaller, attar.Artefact)
        yield f"slimmed, {name}", digest(smaller, [])
    plain = attar.condense("digits", method="random", ipc=1)
    yield "merged", digest(attar.merge(plain, plain, shared="join"), [])
    rows = attar.evaluate(
        made,
        "digits",
        repeats=2,
        epochs=2,
        networks=COMMON["network"],
        baselines=("random",),
        precision="float32",
        torch_compile="off",
    )
    told = json.dumps([result.accuracies for row in rows for result in row.results])
    yield "evaluation", hashlib.sha256(told.encode()).hexdigest()[:16]


def main(options: Options) -> int:
    """Make, write and compare the digests; return how many differ, as a status."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        found: dict[str, str] = {}
        for name, value in digests(Path(folder)):
            print(f"{value}  {name}", flush=True)
            found[name] = value
    if options.output is not None:
        options.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if options.beside is None:
        return 0
    before = json.loads(options.beside.read_text(encoding="utf-8"))
    others = [name for name in before if before[name] != found.get(name)]
    for name in others:
        print(f"differs: {name}: {before[name]} before, {found.get(name)} now")
    print(f"{len(others)} of {len(before)} differ, {len(found.keys() - before.keys())} are new")
    return int(bool(others))


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__)))
