"""What a folder of many pictures costs: listing, the first step, the next start, the peak memory.

    uv run python benchmarks/folders.py cifar10 --count 100000 --size 224 --folder /tmp/many

Pictures are made of real ones: enlarged to ``--size``, each once as a JPEG under many names (hard
links, so that the disk holds ``--distinct`` files; their decoded rows are all kept). A second start
finds rows and digests on disk.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import tyro

from attar.data import load_source

CHILD = """
import json, resource, sys, time
begin = time.perf_counter()
import attar
from attar.data.folders import index_folder

class Telling(attar.Callback):
    first, spent = 0.0, 0.0
    def stepped(self, step, loss, share, seconds):
        Telling.first = Telling.first or time.perf_counter() - begin
        Telling.spent = Telling.spent or time.process_time()

listed = time.perf_counter()
index_folder(sys.argv[1])
listed = time.perf_counter() - listed
attar.condense("folder:" + sys.argv[1], data_dir=sys.argv[2], in_memory="off", method="dm",
    ipc=1, iterations=1, validation=0, settings={"batch_real": 8}, network="convnet3:width=16",
    callback=Telling(), torch_compile="off")
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"listing": listed, "first step": Telling.first, "in CPU s": Telling.spent,
    "peak MB": peak / 1024}))
"""


@dataclass(frozen=True)
class Options:
    """What is measured.

    Args:
        source: of real images.
        folder: where pictures and cache are made.
        count: pictures.
        size: their height and width.
        distinct: different ones among them.
    """

    source: tyro.conf.Positional[str]
    folder: Path
    count: int = 100_000
    size: int = 224
    distinct: int = 2_000


def main(options: Options) -> None:
    """Make the pictures, and start twice."""
    pictures = options.folder / "pictures"
    if not pictures.exists():
        begin = time.perf_counter()
        make(options, pictures)
        print(f"{options.count:,} pictures made in {time.perf_counter() - begin:.0f} s")
    for start in ("first start", "second start"):
        command = [sys.executable, "-c", CHILD, str(pictures), str(options.folder / "data")]
        found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        told = json.loads(found.splitlines()[-1])
        print(start, ", ".join(f"{name} {value:.1f}" for name, value in told.items()))


def make(options: Options, folder: Path) -> None:
    """Write the distinct pictures, and link the others to them."""
    from PIL import Image

    train = load_source(options.source).train
    each = options.count // train.classes
    for label, own in enumerate(train.indices_of_class):
        place = folder / f"{label:04}"
        place.mkdir(parents=True)
        distinct = min(each, len(own), max(1, options.distinct // train.classes))
        for number, index in enumerate(own[:distinct].tolist()):
            pixels = train.images[index : index + 1][0]
            array = pixels.permute(1, 2, 0).numpy()
            picture = Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)
            picture.convert("RGB").resize((options.size, options.size)).save(
                place / f"{number:06}.jpg", quality=90
            )
        for number in range(distinct, each):
            os.link(place / f"{number % distinct:06}.jpg", place / f"{number:06}.jpg")


if __name__ == "__main__":
    main(tyro.cli(Options))
