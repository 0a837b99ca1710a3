"""Small pictures in files, for the tests of data sources."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

RANDOM = np.random.default_rng(0)


def write_picture(path: Path, size: tuple[int, int] = (4, 6), mode: str = "RGB") -> np.ndarray:
    """Write a picture of height × width and return its pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (*size, 3) if mode == "RGB" else size
    array = RANDOM.integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(array).save(path)
    return array


def write_folder(root: Path, counts: dict[str, int], **options: Any) -> None:
    """Write so many pictures of each class into its subfolder."""
    for name, count in counts.items():
        for index in range(count):
            write_picture(root / name / f"{index:02}.png", **options)
