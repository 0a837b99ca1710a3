"""Data from Python: tensors, arrays, data sets, or anything that says what to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from attar.data.arrays import ClassNames
from attar.data.collecting import collect
from attar.data.dividing import divide, refuse_share, told, wanted_share
from attar.data.handed import handed, refuse_unknown
from attar.data.hugging_face_given import given_splits, items_of, load_given
from attar.data.images import LabelledImages
from attar.data.pairs import parts_from_arrays
from attar.data.reading import HELD_OUT, Columns, Reading, Watch, wanted_keep
from attar.data.resizing import Resize, wanted_size
from attar.data.sources import SOURCES, kind_of, load_source
from attar.data.splits import Splits, Zca, assemble, check_zca, settled_zca
from attar.data.standardised import classes_of
from attar.data.subsets import Classes, wanted_subset
from attar.data.values import Background, ValueRange, wanted_look, wanted_range
from attar.errors import BadRequest
from attar.options import Auto
from attar.places import default_data_dir


def from_tensors(
    images: Any,
    labels: Any,
    class_names: ClassNames = None,
    test: tuple[Any, Any] | None = None,
    name: str = "data",
    zca: Zca = "none",
    resize: Resize = None,
    classes: Classes = None,
    per_class: int | None = None,
    value_range: ValueRange = None,
    background: Background = None,
    test_share: float | None = None,
) -> Splits:
    """Return splits of tensors or arrays.

    Args:
        images: N×C×H×W or N×H×W (arrays: N×H×W×C too); uint8, or floats in [0, 1]. Floats that
            are whole 255ths are kept as uint8, which loses nothing.
        labels: N class indices 0…K−1.
        class_names: K names; or a mapping from label to name, in the order wanted, which
            renumbers the labels 0…K−1 (for labels such as 3 and 7). Default "0", "1", ….
        test: images and labels of the test part; left out, there is none.
        name: how messages and artefacts call the set.
        zca: see `load_source`.
        resize: see `load_source`.
        classes: see `load_source`.
        per_class: see `load_source`.
        value_range: see `load_source`.
        background: see `load_source`; only for Pillow images.
        test_share: of every class, to hold out as the test part; by default none.

    Raises:
        BadRequest: see `LabelledImages` and `Splits`.
    """
    check_zca(zca)
    size, subset = wanted_size(resize), wanted_subset(classes, per_class)
    if background is not None:
        raise BadRequest(f"background={background!r}: arrays have no transparency; leave it out")
    parts = parts_from_arrays(
        images,
        labels,
        test,
        class_names,
        name=name,
        size=size,
        subset=subset,
        value_range=wanted_range(value_range),
        share=wanted_share(test_share),
    )
    return assemble(parts, name=name, source=source_of(name), zca=zca)


def from_dataset(
    dataset: Dataset[Any],
    test: Dataset[Any] | None = None,
    class_names: ClassNames = None,
    name: str = "data",
    zca: Zca = "none",
    resize: Resize = None,
    classes: Classes = None,
    per_class: int | None = None,
    value_range: ValueRange = None,
    background: Background = None,
    path_column: str | None = None,
    label_column: str | None = None,
    test_share: float | None = None,
) -> Splits:
    """Return splits of map-style data sets of (image, label), read once into memory.

    Args:
        dataset: gives pairs of a Pillow image, C×H×W or H×W tensor, or array, and a whole
            number or a name; or mappings with these as ``image`` (``img``, ``pixel_values``) and
            ``label`` (``labels``, ``fine_label``). A ``classes`` attribute gives the class names.
        test: the test part; left out, there is none.
        class_names: see `from_tensors`.
        name: how messages and artefacts call the set.
        zca: see `load_source`.
        resize: see `load_source`.
        classes: see `load_source`.
        per_class: see `load_source`.
        value_range: see `load_source`.
        background: see `load_source`; only for Pillow images.
        path_column: the key of the image in items that are mappings.
        label_column: the key of the label.
        test_share: of every class, to hold out as the test part; by default none.

    Raises:
        BadRequest: an item is no such pair, or images of several sizes without ``resize``.
    """
    check_zca(zca)
    size, subset = wanted_size(resize), wanted_subset(classes, per_class)
    look = wanted_look(value_range, background)
    columns = Columns(path_column, label_column)
    named = dict[str, int]()
    images, labels = collect(dataset, name, size, look, columns, named)
    pair = None
    if test is not None:
        known = list(named)
        pair = collect(test, f"{name} test", size, look, columns, named)
        refuse_unknown([one for one in named if one not in known], known)
    if named:
        class_names, labels, pair = _by_name(named, labels, pair)
    elif class_names is None:
        class_names = _own_names(dataset, labels)
    share = wanted_share(test_share)
    parts = parts_from_arrays(
        images, labels, pair, class_names, name=name, subset=subset, share=share
    )
    return assemble(parts, name=name, source=source_of(name), zca=zca)


def _by_name(
    named: dict[str, int], labels: Tensor, pair: tuple[Tensor, Tensor] | None
) -> tuple[list[str], Tensor, tuple[Tensor, Tensor] | None]:
    """Return names in their order, and labels that were numbered as the names came."""
    names = sorted(named)
    places = torch.empty(len(names), dtype=torch.int64)
    places[[named[one] for one in names]] = torch.arange(len(names))
    return names, places[labels], None if pair is None else (pair[0], places[pair[1]])


def _own_names(dataset: Any, labels: Tensor) -> list[str] | None:
    """Return the class names that a data set tells, or a whole of which it has every class."""
    found = classes_of(dataset)
    if not isinstance(found, Sequence) or isinstance(found, str):
        return None
    inherited = not hasattr(dataset, "classes")
    if inherited and len(found) != len(labels.unique()):
        return None
    return [str(one) for one in found]


def as_splits(
    data: Any,
    *,
    data_dir: Path | None = None,
    resize: Resize = None,
    zca: Zca = "none",
    classes: Classes = None,
    per_class: int | None = None,
    value_range: ValueRange = None,
    background: Background = None,
    test_share: float | None = None,
    default_share: float | None = None,
    watch: Watch | None = None,
    path_column: str | None = None,
    label_column: str | None = None,
    split_column: str | None = None,
    name: str | None = None,
    in_memory: Auto = "auto",
) -> Splits:
    """Return splits of anything that says what to read.

    Args:
        data: `Splits`; a source name; the path of a folder, .csv or .npz file; a
            `LabelledImages`; a map-style data set, or a ``DataLoader`` over one; a
            ``datasets.DatasetDict``; a pair (images, labels): tensors, arrays or lists, labels as
            numbers or names; a list of pairs; or a pair (train, test) of two of one of these. Of
            ``datasets.Dataset`` the rows are read as those of ``hf:``. Floats are 0…1 or 0…255;
            torchvision's ``Normalize`` is undone, where it comes last. Objects without a test
            part are training images, all of them; for sources by name and paths see
            `load_source`.
        data_dir: see `load_source`.
        resize: see `load_source`; only for what is not made yet.
        zca: see `load_source`; only for what is not made yet.
        classes: see `load_source`; only for what is not made yet.
        per_class: see `load_source`; only for what is not made yet.
        value_range: see `load_source`; only for what is not made yet.
        background: see `load_source`; only for what is not made yet.
        test_share: of every class, to hold out as test where there is no test part.
        default_share: that share where ``test_share`` is None; left out, 0 for objects, and for
            sources by name that of `load_source`.
        watch: see `load_source`.
        path_column: see `load_source`, or `from_dataset`.
        label_column: likewise.
        split_column: see `load_source`.
        name: what an object is, such as ``cifar10``, so that a method has its settings for that
            data set; ``data`` where left out. What has a name already keeps it.
        in_memory: see `load_source`; for sources, and for rows of the library `datasets`.

    Raises:
        BadRequest: none of these, another name than the data have, or an option that comes too
            late.
    """
    options: dict[str, Any] = {
        "resize": resize,
        "zca": zca,
        "classes": classes,
        "per_class": per_class,
        "value_range": value_range,
        "background": background,
    }
    columns: dict[str, Any] = {
        "path_column": path_column,
        "label_column": label_column,
        "split_column": split_column,
    }
    if isinstance(data, Path):
        data = f"{kind_of(data)}:{data}"
    if isinstance(data, str):
        options["default_share"] = HELD_OUT if default_share is None else default_share
        made = load_source(
            data,
            data_dir=data_dir,
            watch=watch,
            test_share=test_share,
            in_memory=in_memory,
            **options,
            **columns,
        )
        return named(made, name)
    made = finished(data, wanted_share(test_share), default_share or 0.0)
    if made is not None:
        options |= columns
        options["zca"] = None if already_whitened(made, zca) else "asked for"
        if any(value not in (None, "none") for value in options.values()):
            raise BadRequest(
                f"{made.source} already has its size and preprocessing; give "
                f"{', '.join(options)} to load_source, from_tensors or from_dataset instead"
            )
        return named(made, name)
    options["name"] = name = "data" if name is None else name
    given = handed(data, value_range, Columns(path_column, label_column))
    data = given.data
    whole = default_share if test_share is None else test_share
    splits = given_splits(data)
    items = None if splits is None else items_of(splits)
    if splits is not None and items is None:
        refuse_columns(columns, "split_column")
        reading = Reading(
            Path(data_dir or default_data_dir()),
            wanted_size(resize),
            wanted_subset(classes, per_class),
            watch,
            wanted_look(value_range, background),
            Columns(path_column, label_column),
            wanted_share(test_share),
            default_share or 0.0,
            wanted_keep(in_memory),
        )
        check_zca(zca)
        parts = load_given(splits, reading, name)
        return given.told(assemble(parts, name=name, source=source_of(name), zca=zca))
    train, test = given.parts
    if items is not None or isinstance(train, Dataset):
        refuse_columns(columns, "split_column")
        train, test, options["class_names"] = items or (train, test, given.class_names)
        options |= {"path_column": path_column, "label_column": label_column}
        options["test_share"] = whole if test is None else test_share
        return given.told(from_dataset(train, test, **options))
    refuse_columns(columns, *columns)
    if not is_pair(train):
        raise BadRequest(
            f"{type(data).__name__} is no data; give a source name, images and labels (arrays, "
            "tensors or lists), a list of pairs, a map-style Dataset, a DataLoader, or Splits"
        )
    options["test_share"] = whole if test is None else test_share
    made = from_tensors(*train, test=test, class_names=given.class_names, **options)
    return given.told(made)


def refuse_columns(columns: dict[str, Any], *names: str) -> None:
    """Refuse the names of columns that these data do not have."""
    for name in names:
        if columns[name] is not None:
            raise BadRequest(f"{name}={columns[name]!r}: these data have no such column")


def source_of(name: str) -> str:
    """Return what stands for the source of an object: its name, where that is no source itself."""
    return "data" if name.partition(":")[0] in SOURCES else name


def named(made: Splits, name: str | None) -> Splits:
    """Refuse another name than data have.

    Raises:
        BadRequest: they have another.
    """
    if name not in (None, made.train.name):
        raise BadRequest(
            f"name={name!r}: these data have the name {made.train.name!r}; leave it out"
        )
    return made


def already_whitened(made: Splits, zca: Zca) -> bool:
    """Tell whether data that have their preprocessing are whitened as is asked for, if at all."""
    wanted = settled_zca(zca, made.train.name, made.train.modality)
    return wanted in ("none", getattr(made.train.preprocessing.whitening, "kind", "none"))


def is_pair(data: Any) -> bool:
    """Tell whether this is a tuple or list of two."""
    return isinstance(data, tuple | list) and len(data) == 2


def finished(data: Any, share: float | None, default: float) -> Splits | None:
    """Return splits of what has its preprocessing already, or None."""
    if isinstance(data, LabelledImages):
        return cut(data, default if share is None else share)
    if isinstance(data, Splits):
        if data.test is None and share:
            made = cut(data.train, share)
            return replace(made, source=data.source, validation=data.validation)
        refuse_share(share, data.source)
        return data
    if is_pair(data) and all(isinstance(one, LabelledImages) for one in data):
        train, test = data
        refuse_share(share, train.name)
        counts = {"train": len(train), "test": len(test)}
        return Splits(train, test, told("", counts, 0.0), train.name)
    return None


def cut(data: LabelledImages, share: float) -> Splits:
    """Return splits of a whole, with a share of every class, 0 for none, as the test part.

    Raises:
        BadRequest: a class has a single image, so that none can be held out.
    """
    division = divide(data.labels.cpu(), None, None, data.class_names, data.name, share=share)
    kept = division.train.index
    held = None if division.test is None else division.test.index
    return Splits(
        data if kept is None else data.subset(kept),
        None if held is None else data.subset(held),
        division.note,
        data.name,
        test_share=division.test_share,
    )
