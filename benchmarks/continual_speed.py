"""CPU seconds of class-incremental learning on random memories, beside the DM authors' script.

    uv run python benchmarks/continual_speed.py --dm DIR --source npz:cifar100.npz --epochs 30

``--dm`` is a clone of VICO-UoE/DatasetCondensation; the ``main`` of its ``CL_DM.py`` is called as
it is, on the same images kept in memory: five orders of the classes, ConvNet-3, a new network after
every step, trained from scratch on the memory with the same augmentation and tested on the classes
seen. Both run in a process of their own on one thread; reading the images is not counted.
Accuracies after each step are means over orders, in percent.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from beside import arguments_of, print_result, restore_old_scipy, result_of

ORDERS = 5


@dataclass(frozen=True)
class Options:
    """What is run."""

    source: str
    """Images, as attar condense takes them."""
    dm: Path | None = None
    """Clone of the authors' repository; only ours where left out."""
    classes: int = 20
    """The first classes of the source."""
    per_class: int = 100
    """Training images of a class."""
    test: int = 50
    """Test images of a class."""
    steps: int = 5
    """Groups in which the classes arrive."""
    ipc: int = 20
    """Images of each class in the memory."""
    epochs: int = 30
    """Of every network."""
    networks: int = 1
    """After every step."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Compile ours."""
    worker: str = ""
    """For internal use: whose side this process measures."""


def data_of(options: Options) -> Any:
    """Return a training and a test part."""
    import torch

    import attar

    splits = attar.load_source(options.source, classes=options.classes, per_class=options.per_class)
    test = splits.test
    assert test is not None
    rows = [torch.where(test.labels == own)[0][: options.test] for own in range(options.classes)]
    return splits.train, test.subset(torch.cat(rows))


def theirs(options: Options, train: Any, test: Any) -> Iterator[float]:
    """Run the authors' script; yield the accuracy after each step."""
    import torch

    restore_old_scipy()
    sys.path.insert(0, str((options.dm or Path()).resolve()))
    script = __import__("CL_DM")

    def pairs(part: Any) -> list[tuple[Any, int]]:
        images = part.take(torch.arange(len(part)))
        return list(zip(images, part.labels.tolist(), strict=True))

    own = pairs(train), pairs(test)
    channels, *size = train.shape
    script.get_dataset = lambda *given: (
        *(channels, tuple(size), options.classes, train.class_names, None, None),
        *own,
        None,
    )
    said = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(said):
        sys.argv = [
            *("CL_DM.py", "--ipc", str(options.ipc), "--steps", str(options.steps)),
            *("--num_eval", str(options.networks), "--data_path", folder),
            *("--epoch_eval_train", str(options.epochs)),
        ]
        script.main()
    yield from map(float, re.findall(r"& ([0-9.]+)\$", said.getvalue()))


def ours(options: Options, train: Any, test: Any) -> Iterator[float]:
    """Run ours; yield the accuracy after each step."""
    import attar

    result = attar.continual(
        (train, test),
        options.steps,
        f"{options.ipc}ipc",
        method="random",
        orders=ORDERS,
        repeats=options.networks,
        epochs=options.epochs,
        torch_compile=options.compile,
        device="cpu",
    )
    yield from (point.mean for point in result.points)


def main(options: Options) -> None:
    """Print what both sides take and reach."""
    if options.worker:
        import torch

        torch.set_num_threads(1)
        what = json.loads(options.worker)["what"]
        data = data_of(options)
        began = time.process_time()
        found = list((theirs if what == "authors" else ours)(options, *data))
        print_result({"cpu": time.process_time() - began, "accuracies": found})
        return
    passed = ["source", "classes", "per_class", "test", "steps", "ipc", "epochs", "networks"]
    arguments = arguments_of(options, [*passed, "compile"])
    if options.dm is not None:
        arguments += ["--dm", str(options.dm)]
    print(f"{options}\n")
    found = {}
    for name in ("ours", *(["authors"] if options.dm is not None else [])):
        found[name] = result_of(__file__, {"what": name}, arguments, threads=1)
        steps = " ".join(f"{one:.1f}" for one in found[name]["accuracies"])
        print(f"{name}: {found[name]['cpu']:.1f} CPU s, {steps}", flush=True)
    if "authors" in found:
        print(f"{found['authors']['cpu'] / found['ours']['cpu']:.2f} times as fast")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
