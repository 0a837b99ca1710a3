"""Arrays in one .npz file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from attar.data.npz_file import Arrays
from attar.data.pairs import parts_from_arrays
from attar.data.reading import Reading
from attar.data.splits import Parts
from attar.errors import BadRequest

SPLIT_KEYS = ("x_train", "y_train", "x_test", "y_test")
WHOLE_KEYS = ("images", "labels")


def load_npz(argument: str, reading: Reading) -> Parts:
    """Read ``x_train, y_train, x_test, y_test`` or ``images, labels`` from a file.

    Images are N×H×W, N×H×W×C or N×C×H×W; ``class_names`` may come along. Without a test part
    a fixed 20 % of every class is held out.

    Raises:
        BadRequest: no such file, not an .npz file, or arrays that are missing or unusable.
    """
    path = Path(argument).expanduser()
    if not path.is_file():
        what = "is a folder, not a file" if path.exists() else "does not exist"
        raise BadRequest(f"npz:{argument}: {path.absolute()} {what}; give an .npz file")
    return read(Arrays(path), path, reading)


def read(stored: Arrays, path: Path, reading: Reading) -> Parts:
    """Return the parts in a file."""
    present = set(stored.files)
    names = class_names(stored["class_names"], path) if "class_names" in present else None
    test = None
    if present >= set(SPLIT_KEYS):
        images, labels = stored["x_train"], stored["y_train"]
        test = (stored["x_test"], stored["y_test"])
    elif present >= set(WHOLE_KEYS) and not present & set(SPLIT_KEYS):
        images, labels = stored["images"], stored["labels"]
    else:
        raise BadRequest(
            f"{path} holds the arrays {', '.join(sorted(present)) or '(none)'}; needed are "
            f"{', '.join(SPLIT_KEYS)}, or {' and '.join(WHOLE_KEYS)} (a test part is then held out)"
        )
    return parts_from_arrays(
        images,
        labels,
        test,
        names,
        name=path.stem,
        size=reading.size,
        subset=reading.subset,
        value_range=reading.look.value_range,
    )


def class_names(stored: np.ndarray, path: Path) -> list[str]:
    """Return stored names as text.

    Raises:
        BadRequest: they are no list.
    """
    if stored.ndim != 1:
        raise BadRequest(
            f"{path}: class_names has shape {stored.shape}; one name per class is needed, in the "
            "order of the labels"
        )
    return [one.decode() if isinstance(one, bytes) else str(one) for one in stored.tolist()]
