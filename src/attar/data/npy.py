"""Arrays in .npy files, one file for each, which may be larger than the memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from attar.capacity import check_memory
from attar.data import npz
from attar.data.array_files import open_array
from attar.data.keeping import holds
from attar.data.reading import Reading
from attar.data.splits import Parts
from attar.errors import BadRequest
from attar.options import Auto

_ENDING = ".npy"
# what files stand for that are listed: those of the training part, and of the test part
_LISTED = {2: ("images", "labels"), 4: ("x_train", "y_train", "x_test", "y_test")}


class Files(Mapping[str, Any]):
    """Arrays by name, each in a file of its own.

    Images are `ArrayFile` where they stay in their files, and NumPy arrays where they do not.

    Args:
        paths: of the files.
        keep: whether images are read into memory: ``on``, ``off``, or ``auto``, where they take
            less than half of what can be had.
    """

    def __init__(self, paths: Mapping[str, Path], keep: Auto) -> None:
        self._paths = paths
        self._images = {name: open_array(paths[name]) for name in npz.IMAGES & paths.keys()}
        needed = sum(one.nbytes for one in self._images.values())
        self._reads = holds(needed, keep)
        if self._reads:
            remedy = "leave it out, so that they are read as they are needed"
            check_memory(needed, "--in-memory on: the images", remedy)

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, name: str) -> Any:
        found = self._images.get(name)
        if found is None:
            return open_array(self._paths[name]).whole()
        return found.whole() if self._reads else found


def load_npy(argument: str, reading: Reading) -> Parts:
    """Read a folder of ``images.npy, labels.npy`` (or as `attar.data.npz.KEYS` names them), or
    files that are listed: images and labels, and those of the test part where there is one.

    Raises:
        BadRequest: as `attar.data.npz.load_npz` does.
    """
    listed = [Path(one.strip()).expanduser() for one in argument.split(",")]
    if len(listed) == 1 and listed[0].is_dir():
        folder = listed[0]
        # class_names.npy among them
        paths = {one.stem: one for one in sorted(folder.glob(f"*{_ENDING}"))}
        parts = npz.read(Files(paths, reading.in_memory), folder, reading)
        return replace(parts, name=folder.resolve().name)
    keys = _LISTED.get(len(listed))
    if keys is None:
        raise BadRequest(
            f"npy:{argument}: give a folder of images.npy and labels.npy, or the files, with "
            "commas between: images and labels, and those of the test part where there is one"
        )
    paths = dict(zip(keys, listed, strict=True))
    parts = npz.read(Files(paths, reading.in_memory), listed[0], reading)
    return replace(parts, name=listed[0].stem)
