"""The plain files of a set, read whole and in their order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from attar.data import exports
from attar.data.arrays import to_type
from attar.data.decoding import decode_parts
from attar.data.folders import list_images
from attar.data.npz import class_names
from attar.data.npz_file import Arrays
from attar.errors import BadRequest


@dataclass(frozen=True)
class Plain:
    """What lies in the plain files of a set.

    Args:
        pixels: N×C×H×W float32, 0 black and 1 white, in any range; N×D vectors in their units.
        labels: N class indices, or N×K values.
        classes: the class of each row.
        class_names: K names.
        constants: mean, deviation and the name of the whitening, where they are told.
        inputs: N×C×H×W network inputs, where they are there.
    """

    pixels: Tensor
    labels: Tensor
    classes: Tensor
    class_names: tuple[str, ...]
    constants: tuple[list[float], list[float], str] | None = None
    inputs: Tensor | None = None


def read_plain(path: Path) -> Plain:
    """Return what `attar.export` wrote.

    Raises:
        BadRequest: it is no export, or was changed since.
    """
    return _of_folder(path) if path.is_dir() else _of_arrays(path)


def _of_folder(folder: Path) -> Plain:
    told, listed = exports.read_told(folder), list_images(folder)
    if told is None:
        (images,) = decode_parts([listed.pictures], None)
        pixels = to_type(images[:], torch.float32)
        return Plain(pixels, listed.labels, listed.labels, listed.class_names)
    exports.check_told(told, folder, len(listed.class_names), len(listed.pictures))
    (images,) = decode_parts([listed.pictures], None, look=told.look)
    labels = listed.labels
    if told.labels is not None:
        labels = _values(folder / told.labels, told)
    return Plain(
        to_type(told.pixels(images[:]), torch.float32),
        labels,
        listed.labels,
        tuple(told.class_names),
        (told.mean, told.std, told.zca),
    )


def _values(path: Path, told: exports.Told) -> Tensor:
    """Return the label values beside pictures."""
    try:
        # mapped, so that a header that tells of more than there is takes no memory
        found = np.array(np.load(path, mmap_mode="r", allow_pickle=False))
    except (OSError, ValueError, EOFError) as error:
        raise BadRequest(f"{path} cannot be read ({error}); export the set again") from error
    return _checked(found, told.images, len(told.class_names), str(path))


def _of_arrays(path: Path) -> Plain:
    stored = Arrays(path)
    lacking = [name for name in ("images", "labels", "class_names") if name not in stored.files]
    if lacking:
        raise BadRequest(f"{path} lacks the array {lacking[0]!r}; export the set again")
    images = exports.channels_first(stored["images"])
    names = tuple(class_names(stored["class_names"], path))
    labels = stored["labels"]
    classes = labels if labels.ndim == 1 else stored.get(exports.CLASSES, labels)
    if classes.ndim != 1 or classes.dtype.kind not in "iu" or len(classes) != len(images):
        raise BadRequest(f"{path} does not say the class of each image; export the set again")
    whole = torch.from_numpy(classes.astype(np.int64))
    inputs = exports.INPUTS in stored.files
    return Plain(
        to_type(images, torch.float32),
        whole if labels.ndim == 1 else _checked(labels, len(images), len(names), str(path)),
        whole,
        names,
        exports.constants_in(stored),
        exports.channels_first(stored[exports.INPUTS]) if inputs else None,
    )


def _checked(values: np.ndarray, rows: int, classes: int, where: str) -> Tensor:
    """Return N×K label values as they are."""
    fine = values.dtype == np.float32 and values.shape == (rows, classes)
    if not fine or not np.isfinite(values).all():
        raise BadRequest(
            f"{where}: label values are {values.dtype} of {values.shape}; finite float32 of "
            f"{rows}×{classes} are needed: export the set again"
        )
    return torch.from_numpy(values)
