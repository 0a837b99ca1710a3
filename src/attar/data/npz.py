"""Arrays in one .npz file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from attar.data import exports
from attar.data.npz_file import Arrays
from attar.data.pairs import parts_from_arrays
from attar.data.reading import Reading
from attar.data.splits import Parts
from attar.errors import BadRequest

# images and labels of the training part, and of others; as Keras, MedMNIST and NumPy's users have
# them
KEYS = {
    ("x_train", "y_train"): (("x_test", "y_test"), ("x_val", "y_val")),
    ("train_images", "train_labels"): (
        ("test_images", "test_labels"),
        ("val_images", "val_labels"),
    ),
    ("images", "labels"): (),
}
# the names of images among these
IMAGES = {pair[0] for keys, others in KEYS.items() for pair in (keys, *others)}


def load_npz(argument: str, reading: Reading) -> Parts:
    """Read ``x_train, y_train, x_test, y_test`` or ``images, labels`` from a file.

    MedMNIST's ``train_images, train_labels, …`` are read too. Images are N×H×W, N×H×W×C or
    N×C×H×W; ``class_names`` may come along. Without a test part
    a fixed share of every class is held out.

    Raises:
        BadRequest: no such file, not an .npz file, or arrays that are missing or unusable.
    """
    path = Path(argument).expanduser()
    if not path.is_file():
        what = "is a folder, not a file" if path.exists() else "does not exist"
        raise BadRequest(f"npz:{argument}: {path.absolute()} {what}; give an .npz file")
    return read(Arrays(path), path, reading)


def read(stored: Mapping[str, Any], path: Path, reading: Reading) -> Parts:
    """Return the parts in a file, or in a folder of files."""
    present = set(stored)
    keys = chosen_keys(present, path)
    names = class_names(stored["class_names"], path) if "class_names" in present else None
    images, labels = (stored[key] for key in keys)
    note = ""
    if keys == ("images", "labels") and labels.ndim == 2 and exports.CLASSES in present:
        labels, note = stored[exports.CLASSES], exports.LABELS_LEFT
    of_test, of_validation = KEYS[keys] or (None, None)
    test = pair_in(stored, of_test, path)
    validation = pair_in(stored, of_validation, path)
    if test is None and validation is not None:
        # as everywhere: the test part where there is no other
        test, validation, note = validation, None, "the validation arrays are the test part"
    told = exports.constants_in(stored)
    if told is not None:
        exports.check_look(reading.look, f"npz:{path}")
        images = exports.channels_first(images)
    parts = parts_from_arrays(
        images,
        labels,
        test,
        names,
        name=path.stem,
        size=reading.size,
        subset=reading.subset,
        value_range=reading.look.value_range,
        validation=validation,
        note=note,
        share=reading.test_share,
        default=reading.default_share,
    )
    return parts if told is None else exports.with_constants(parts, *told)


def chosen_keys(present: set[str], path: Path) -> tuple[str, str]:
    """Return the names of the images and labels of the training part.

    Raises:
        BadRequest: none of the usual pairs is there, or several are.
    """
    found = [keys for keys in KEYS if present & set(keys)]
    whole = [keys for keys in found if present >= set(keys)]
    if len(whole) == len(found) == 1:
        return whole[0]
    listed = ", or ".join(" and ".join(keys) for keys in KEYS)
    raise BadRequest(
        f"{path} holds the arrays {', '.join(sorted(present)) or '(none)'}; needed are "
        f"{listed}, and of one kind alone (x_test and y_test, or test_images and test_labels, "
        "are the test part)"
    )


def pair_in(
    stored: Mapping[str, Any], keys: tuple[str, str] | None, path: Path
) -> tuple[Any, Any] | None:
    """Return images and labels of a further part, where they are there.

    Raises:
        BadRequest: one of them is missing.
    """
    missing = [key for key in keys or () if key not in stored]
    if keys is None or len(missing) == 2:
        return None
    if missing:
        raise BadRequest(f"{path} lacks {missing[0]}, which belongs to its other arrays; add it")
    return stored[keys[0]], stored[keys[1]]


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
