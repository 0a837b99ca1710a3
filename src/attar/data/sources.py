"""Data by name or from Python: everything that a run can read becomes `Splits`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from attar.data.arrays import ClassNames
from attar.data.collecting import collect
from attar.data.folders import load_folder
from attar.data.images import LabelledImages
from attar.data.named import default_data_dir, load_digits, load_torchvision
from attar.data.npz import load_npz
from attar.data.resizing import Resize, wanted_size
from attar.data.splits import (
    Parts,
    Splits,
    assemble,
    check_zca,
    hold_out,
    parts_from_arrays,
)
from attar.errors import BadRequest, unknown

Size = tuple[int, int] | None


@dataclass(frozen=True)
class Source:
    """One kind of source.

    Args:
        description: one line for listings.
        load: called with what follows the colon, the data folder and the wanted size.
        argument: what must follow the colon (``DIR``, ``FILE``); empty where nothing may.
    """

    description: str
    load: Callable[[str, Path, Size], Parts]
    argument: str = ""


def from_torchvision(name: str, description: str) -> Source:
    """Return the source of one of torchvision's data sets."""

    def load(argument: str, data_dir: Path, size: Size) -> Parts:
        return load_torchvision(name, data_dir, size)

    return Source(description, load)


SOURCES: dict[str, Source] = {
    "digits": Source(
        "1,797 digits of 8×8 pixels that scikit-learn brings along; a fixed 20 % is the test part",
        lambda argument, data_dir, size: load_digits(size),
    ),
    "mnist": from_torchvision("mnist", "70,000 handwritten digits, 28×28 grayscale"),
    "fashion_mnist": from_torchvision(
        "fashion_mnist", "70,000 pieces of clothing, 28×28 grayscale"
    ),
    "svhn": from_torchvision("svhn", "99,289 house-number digits, 32×32 colour (no extra part)"),
    "cifar10": from_torchvision("cifar10", "60,000 photographs of 10 classes, 32×32 colour"),
    "cifar100": from_torchvision("cifar100", "60,000 photographs of 100 classes, 32×32 colour"),
    "folder": Source(
        "your images: one subfolder per class, or these below train and test (or val)",
        lambda argument, data_dir, size: load_folder(argument, size),
        "DIR",
    ),
    "npz": Source(
        "your arrays: x_train, y_train, x_test, y_test or images, labels; class_names optional",
        lambda argument, data_dir, size: load_npz(argument, size),
        "FILE",
    ),
}


def source_rows() -> list[tuple[str, str]]:
    """Return what can be written as a source, and one line about each."""
    return [
        (f"{name}:{source.argument}" if source.argument else name, source.description)
        for name, source in SOURCES.items()
    ]


def load_source(
    source: str, *, data_dir: Path | None = None, resize: Resize = None, zca: str = "none"
) -> Splits:
    """Read a data set by name.

    Args:
        source: one of `source_rows`: ``digits``, ``cifar10``, ``folder:DIR``, ``npz:FILE``, ….
        data_dir: where downloads are looked for and kept; default ``$ATTAR_DATA``, or
            ``~/.cache/attar``.
        resize: pixels; one number for a square, or height and width. Images are cropped at
            the centre to that shape, then scaled.
        zca: ``none``, ``mtt``, ``frepo``, ``rtp`` or ``kip``, fitted on the whole training part.

    Returns:
        Both sets with uint8 images and one preprocessing: the usual constants for a data set
        with a name, the training part's per-channel statistics for any other.

    Raises:
        BadRequest: the source, an option or the data cannot be used; nothing was started.

    Example:
        >>> load_source("digits").train.shape
        (1, 8, 8)
    """
    check_zca(zca)
    size = wanted_size(resize)
    name, colon, argument = source.partition(":")
    if name not in SOURCES:
        raise unknown_source(source, name)
    entry = SOURCES[name]
    if entry.argument and not argument:
        raise BadRequest(f"source {source!r} lacks its path; write {name}:{entry.argument}")
    if colon and not entry.argument:
        raise BadRequest(f"source {source!r}: {name} takes nothing after its name")
    parts = entry.load(argument, data_dir or default_data_dir(), size)
    path = Path(argument).expanduser().absolute()
    label = {"folder": path.name, "npz": path.stem}.get(name) or name
    return assemble(parts, name=label, source=source, zca=zca)


def unknown_source(source: str, name: str) -> BadRequest:
    """Return the refusal of a source, with the prefix that an existing path lacks."""
    path = Path(source).expanduser()
    if path.is_dir():
        return BadRequest(f"source {source!r} is a folder; write folder:{source}")
    if path.is_file():
        return BadRequest(f"source {source!r} is a file; for arrays write npz:{source}")
    return unknown("source", name, [row for row, _ in source_rows()])


def from_tensors(
    images: Any,
    labels: Any,
    class_names: ClassNames = None,
    test: tuple[Any, Any] | None = None,
    name: str = "data",
    zca: str = "none",
    resize: Resize = None,
) -> Splits:
    """Return splits of tensors or arrays.

    Args:
        images: N×C×H×W or N×H×W (arrays: N×H×W×C too); uint8, or floats in [0, 1]. Floats that
            are whole 255ths are kept as uint8, which loses nothing.
        labels: N class indices 0…K−1.
        class_names: K names; or a mapping from label to name, in the order wanted, which
            renumbers the labels 0…K−1 (for labels such as 3 and 7). Default "0", "1", ….
        test: images and labels of the test part; default a fixed 20 % of every class.
        name: how messages and artefacts call the set.
        zca: see `load_source`.
        resize: see `load_source`.

    Raises:
        BadRequest: see `LabelledImages` and `Splits`.
    """
    check_zca(zca)
    size = wanted_size(resize)
    parts = parts_from_arrays(images, labels, test, class_names, name=name, size=size)
    return assemble(parts, name=name, source=name, zca=zca)


def from_dataset(
    dataset: Dataset[Any],
    test: Dataset[Any] | None = None,
    class_names: ClassNames = None,
    name: str = "data",
    zca: str = "none",
    resize: Resize = None,
) -> Splits:
    """Return splits of map-style data sets of (image, label), read once into memory.

    Args:
        dataset: gives pairs of a Pillow image, C×H×W or H×W tensor, or array, and a whole
            number. A ``classes`` attribute gives the class names.
        test: the test part; default a fixed 20 % of every class of ``dataset``.
        class_names: see `from_tensors`.
        name: how messages and artefacts call the set.
        zca: see `load_source`.
        resize: see `load_source`.

    Raises:
        BadRequest: an item is no such pair, or images of several sizes without ``resize``.
    """
    check_zca(zca)
    size = wanted_size(resize)
    found = getattr(dataset, "classes", None)
    if class_names is None and isinstance(found, Sequence) and not isinstance(found, str):
        class_names = [str(one) for one in found]
    images, labels = collect(dataset, name, size)
    pair = None if test is None else collect(test, f"{name} test", size)
    parts = parts_from_arrays(images, labels, pair, class_names, name=name)
    return assemble(parts, name=name, source=name, zca=zca)


def as_splits(
    data: Any, *, data_dir: Path | None = None, resize: Resize = None, zca: str = "none"
) -> Splits:
    """Return splits of anything that says what to read.

    Args:
        data: `Splits`; a source name; the path of a folder or .npz file; a `LabelledImages`; a
            map-style data set; a pair (images, labels) of tensors or arrays; or a pair
            (train, test) of two of one of the last three. Without a test part a fixed 20 % of
            every class is held out.
        data_dir: see `load_source`.
        resize: see `load_source`; only for what is not made yet.
        zca: see `load_source`; only for what is not made yet.

    Raises:
        BadRequest: none of these, or an option that comes too late.
    """
    if isinstance(data, Path):
        data = f"{'folder' if data.is_dir() else 'npz'}:{data}"
    if isinstance(data, str):
        return load_source(data, data_dir=data_dir, resize=resize, zca=zca)
    made = finished(data)
    if made is not None:
        if resize is not None or zca != "none":
            raise BadRequest(
                f"{made.source} already has its size and preprocessing; give resize and zca to "
                "load_source, from_tensors or from_dataset instead"
            )
        return made
    train: Any
    test: Any
    train, test = data if is_pair(data) else (data, None)
    if isinstance(train, Dataset):
        return from_dataset(train, test, resize=resize, zca=zca)
    if is_pair(train) and is_pair(test):
        return from_tensors(train[0], train[1], test=tuple(test), resize=resize, zca=zca)
    if isinstance(train, Tensor | np.ndarray) and test is not None:
        return from_tensors(train, test, resize=resize, zca=zca)
    raise BadRequest(
        f"{type(data).__name__} is no data; give a source name, a map-style Dataset, a pair of "
        "images and labels (tensors or arrays), LabelledImages or Splits"
    )


def is_pair(data: Any) -> bool:
    """Tell whether this is a tuple or list of two."""
    return isinstance(data, tuple | list) and len(data) == 2


def finished(data: Any) -> Splits | None:
    """Return splits of what has its preprocessing already, or None."""
    if isinstance(data, Splits):
        return data
    if isinstance(data, LabelledImages):
        kept, held = hold_out(data.labels.cpu(), data.class_names, data.name)
        note = "a fixed 20 % of every class is held out as test"
        return Splits(data.subset(kept), data.subset(held), note, data.name)
    if is_pair(data) and all(isinstance(one, LabelledImages) for one in data):
        return Splits(data[0], data[1], "", data[0].name)
    return None
