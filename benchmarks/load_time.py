"""How long `attar.load` takes with checksums, without them, and in an earlier Attar.

    uv run python benchmarks/load_time.py --earlier DIR/src

Writes sets of 2 MB, 20 MB (most of it a whitening) and 200 MB into a folder, each also as files of
version 1 were, without checksums. Every row is a process of its own, the rows of a round one after
the other; the files are in the system's cache. Prints the median over the rounds of the least of
several loads. ``--earlier`` names the ``src`` of a checkout from before there were checksums.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import struct
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro

import attar
from attar.artefact.artefact import Artefact
from attar.artefact.header import Header
from attar.data import Preprocessing
from attar.data.whitening import Whitening
from attar.synthetic import LowRank, Parametrization, Pixels, Synthetic
from beside import print_result, result_of

# file → form, images per class, whether whitened
SETS: dict[str, tuple[Parametrization, int, bool]] = {
    "2 MB, pixels": (Pixels(), 16, False),
    "2 MB, rank 2": (LowRank(2), 128, False),
    "20 MB, whitened": (Pixels(), 10, True),
    "200 MB, pixels": (Pixels(), 1600, False),
}


@dataclass(frozen=True)
class Options:
    """What is measured."""

    folder: Path = Path("load_time")
    """Folder for the files, 450 MB."""
    earlier: Path | None = None
    """The folder src of an earlier Attar, which reads files of version 1."""
    rounds: int = 5
    """Processes for each row."""
    loads: int = 5
    """Loads in each process."""
    threads: int = 1
    """Of the numerical libraries."""
    worker: str = ""
    """Used by the benchmark itself."""


def whitening(features: int) -> Whitening:
    """Return a whitening with a spectrum as that of photographs: 1/f, regularised by 0.1."""
    generator = torch.Generator().manual_seed(0)
    found = torch.randn(features, features, generator=generator)
    basis = torch.linalg.qr(found)[0]
    values = 100 / torch.arange(1, features + 1) ** 1.2
    matrix = (basis * (values + 0.1).rsqrt()) @ basis.T
    return Whitening("mtt", torch.full((features,), 0.5), (matrix + matrix.T) / 2)


def write(path: Path, form: Parametrization, count: int, whitened: bool) -> None:
    """Write a set of ten classes of 3×32×32."""
    header = Header(
        class_names=[str(k) for k in range(10)],
        shape=(3, 32, 32),
        images_per_class=count,
        parametrization=form.describe(),
        mean=[0.5] * 3,
        std=[0.25] * 3,
        zca="mtt" if whitened else "none",
    )
    synthetic = Synthetic(header.layout, form)
    for tensor in synthetic.parameters():
        tensor.data.normal_(generator=torch.Generator().manual_seed(1))
    chosen = whitening(3 * 32 * 32) if whitened else None
    preprocessing = Preprocessing(tuple(header.mean), tuple(header.std), chosen)
    Artefact(header, synthetic.requires_grad_(False), preprocessing).save(path)


def without_checksums(path: Path) -> Path:
    """Write the same as it was in version 1, and return the file."""
    content = path.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    table = json.loads(content[8 : 8 + size])
    header = json.loads(table["__metadata__"]["attar"])
    # fields that earlier versions did not know are left out where they say nothing
    header = {name: value for name, value in header.items() if value is not None}
    header |= {"version": 1, "validation": None}
    table["__metadata__"] = {"attar": json.dumps(header)}
    text = json.dumps(table).encode()
    text += b" " * (-len(text) % 8)
    other = path.with_suffix(".v1.safetensors")
    other.write_bytes(struct.pack("<Q", len(text)) + text + content[8 + size :])
    return other


def measure(path: Path, loads: int) -> float:
    """Return the least seconds that a load takes."""
    found = []
    for _ in range(loads + 1):
        began = time.perf_counter()
        attar.load(path)
        found.append(time.perf_counter() - began)
    # the first imports what is needed
    return min(found[1:])


def main() -> None:
    """Measure every row and print a Markdown table."""
    options = tyro.cli(Options)
    if options.worker:
        print_result({"seconds": measure(Path(json.loads(options.worker)["path"]), options.loads)})
        return
    options.folder.mkdir(parents=True, exist_ok=True)
    rows: dict[str, dict[str, tuple[Path, dict[str, str]]]] = {}
    for name, (form, count, whitened) in SETS.items():
        path = options.folder / f"{name.replace(', ', '-').replace(' ', '')}.safetensors"
        write(path, form, count, whitened)
        older = without_checksums(path)
        rows[name] = {"with": (path, {}), "without": (older, {})}
        if options.earlier is not None:
            rows[name]["earlier"] = (older, {"PYTHONPATH": str(options.earlier.resolve())})
    plain = ["--loads", str(options.loads), "--folder", str(options.folder)]
    told = ", ".join(f"{k} {v}" for k, v in dataclasses.asdict(options).items() if k != "worker")
    print(f"attar {attar.__version__}: {told}\n")
    print("| file | with checksums | without | earlier Attar |\n|---|---|---|---|")
    for name, columns in rows.items():
        found: dict[str, list[float]] = {column: [] for column in columns}
        for _ in range(options.rounds):
            for column, (path, environment) in columns.items():
                job = {"path": str(path)}
                one = result_of(__file__, job, plain, environment, options.threads)
                found[column].append(one["seconds"])
        cells = [
            f"{1000 * statistics.median(found[column]):.1f} ms" if column in found else ""
            for column in ("with", "without", "earlier")
        ]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
