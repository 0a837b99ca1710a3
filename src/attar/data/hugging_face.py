"""Data sets of the Hugging Face Hub, or of its library on this machine."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from attar.data.hugging_face_rows import list_rows
from attar.data.hugging_face_streaming import Stream
from attar.data.indexed import Index, Listing, load_index
from attar.data.part_names import part_of
from attar.data.reading import Columns, Reading
from attar.data.splits import Parts
from attar.errors import BadRequest, unknown
from attar.hub import asked

# behind a source: its rows are read as they come
STREAMING = ",streaming"
TEST_SPLITS = ("test", "validation", "valid", "val", "dev")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


def load_hf(argument: str, reading: Reading) -> Parts:
    """Read ``NAME[:SPLIT][,streaming]``; see `index_hf`."""
    index, name = index_hf(argument, reading)
    return replace(load_index(index, reading), name=name)


def index_hf(argument: str, reading: Reading) -> tuple[Index, str]:
    """List the rows of ``NAME[:SPLIT][,streaming]``, and return the data set's own name beside.

    NAME is a data set of the Hub (``mnist``, ``uoft-cs/cifar10``), with a third part for one of
    several configurations (``owner/name/configuration``); or a local folder, either saved with
    ``save_to_disk`` or of files that the library reads. SPLIT is the training part; default
    ``train``. The test part is ``test``, else ``validation``, which selects the iterate
    beside a test part; without either, or without labels in them, a fixed share of every class
    is held out. Pictures are
    turned as their EXIF orientation says. With ``streaming`` rows are read as they come, and their
    pictures alone are kept, encoded, in ``data_dir/streamed``.

    Raises:
        BadRequest: the extra is missing, the data set cannot be had, or it has no split, image
            column or label column that can be told.
    """
    argument, streaming = argument.removesuffix(STREAMING), argument.endswith(STREAMING)
    start = 2 if _DRIVE.match(argument) else 0
    name, _, split = argument[start:].partition(":")
    name = argument[:start] + name
    source = f"hf:{name}"
    if streaming:
        stream = open_stream(name, source, reading)
        index = index_splits(stream.splits(), split, source, reading.columns, stream.rows)
    else:
        index = index_splits(open_splits(name, source), split, source, reading.columns)
    return index, short_name(name)


def index_splits(
    splits: dict[str, Any],
    split: str,
    source: str,
    columns: Columns,
    rows: Callable[..., Listing] | None = None,
) -> Index:
    """List the rows of the training split and of the test split.

    Args:
        splits: by name.
        split: the training one; empty for the usual.
        source: how messages call the data set.
        columns: which were asked for by name.
        rows: lists those of a split; None for splits whose rows can be chosen.
    """
    rows = rows or partial(list_rows, columns=columns)
    chosen = training_split(list(splits), split, source)
    train = rows(splits[chosen], f"{source}, split {chosen}")
    if bool((train.labels < 0).any()):
        row = int((train.labels < 0).nonzero()[0])
        raise BadRequest(
            f"{source}, split {chosen}: row {row} has no label; name a labelled split, one of "
            f"{', '.join(splits)}, {_as(source)}"
        )
    found: dict[str, Listing] = {}
    for other in TEST_SPLITS:
        if other == chosen or other not in splits:
            continue
        where = f"{source}, split {other}"
        test = rows(splits[other], where, class_names=train.class_names)
        # test splits of challenges come without labels
        if len(test.labels) and bool((test.labels >= 0).all()):
            check_same_classes(train, test, source)
            found[other] = test
    if not found:
        note = f"split {chosen}; there is no labelled test split"
        return Index(train, None, source, note, source)
    first, *rest = found
    # a validation split is one of its own beside a test split alone
    selects = rest[0] if rest and part_of(first) == "test" else None
    note = f"the splits {chosen} and {first}"
    if selects is not None:
        note = f"the splits {chosen}, {first} and {selects} (as validation)"
    validation = None if selects is None else found[selects]
    return Index(train, found[first], source, note, source, validation=validation)


def open_splits(name: str, source: str) -> dict[str, Any]:
    """Return the splits of a data set by name, downloaded where they are not here."""
    datasets = _library(source)
    folder = Path(name).expanduser()

    def load() -> Any:
        if _is_saved(folder):
            return datasets.load_from_disk(str(folder))
        return datasets.load_dataset(*_location(name))

    found = _loaded(load, name, source)
    return dict(found) if isinstance(found, dict) else {"train": found}


def open_stream(name: str, source: str, reading: Reading) -> Stream:
    """Return a data set whose rows are read as they come."""
    datasets = _library(source)
    if _is_saved(Path(name).expanduser()):
        raise BadRequest(
            f"{source}{STREAMING}: this folder was saved by save_to_disk, and lies there as it is "
            f"read; give {source}"
        )

    def load() -> Any:
        return datasets.load_dataset_builder(*_location(name))

    return Stream(_loaded(load, name, source), reading)


def _library(source: str) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise BadRequest(
            f"{source} needs the library 'datasets': pip install 'attar[hf]'"
        ) from error
    return datasets


def _is_saved(folder: Path) -> bool:
    """Tell whether ``save_to_disk`` wrote a folder."""
    return (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file()


def _location(name: str) -> tuple[str, str | None]:
    """Return a folder, or the name of a data set of the Hub, and its configuration."""
    folder = Path(name).expanduser()
    return (str(folder), None) if folder.exists() else parse_name(name)


def _loaded(load: Callable[[], Any], name: str, source: str) -> Any:
    """Return what the library loads, its errors in words."""
    folder = Path(name).expanduser()
    if name.startswith(("/", ".", "~")) and not folder.exists():
        raise BadRequest(f"{source}: {folder.absolute()} does not exist")
    # of the Hub's library: each of its attempts would be a line of its own
    words = logging.getLogger("huggingface_hub")
    level = words.level
    words.setLevel(logging.ERROR)
    try:
        with contextlib.nullcontext() if folder.exists() else asked():
            return load()
    except ConnectionError as error:
        raise BadRequest(
            f"{source} could not be read ({error}): the Hub cannot be reached, so give a local "
            "folder, hf:FOLDER, or what was downloaded before to the folder that HF_HOME names"
        ) from error
    except Exception as error:  # downloading and parsing raise errors without a common base
        raise BadRequest(
            f"{source} could not be read ({error}). Give the name of a data set of the Hub, a "
            "third part for its configuration (owner/name/configuration) where it has several, "
            "or a local folder; HF_HOME says where downloads are kept"
        ) from error
    finally:
        words.setLevel(level)


def parse_name(name: str) -> tuple[str, str | None]:
    """Split ``owner/name/configuration`` into the name with its owner and the configuration."""
    owner_and_name, configuration = name.split("/")[:2], "/".join(name.split("/")[2:])
    return "/".join(owner_and_name), configuration or None


def short_name(name: str) -> str:
    """Return what a data set is called without owner, configuration or folder."""
    folder = Path(name).expanduser()
    if folder.exists():
        return folder.absolute().name
    return parse_name(name)[0].split("/")[-1]


def training_split(present: list[str], split: str, source: str) -> str:
    """Return the split to condense."""
    if split:
        if split not in present:
            raise unknown(f"split of {source}", split, present)
        return split
    if "train" in present:
        return "train"
    if len(present) == 1:
        return present[0]
    raise BadRequest(
        f"{source} has no split train, but {', '.join(present)}; choose one {_as(source)}"
    )


def _as(source: str) -> str:
    """Return how a split is chosen, of a source by name or of an object."""
    return f"as {source}:SPLIT" if source.startswith("hf:") else "and give it alone"


def check_same_classes(train: Listing, test: Listing, source: str) -> None:
    """Refuse a test part whose labels mean something else."""
    if train.class_names != test.class_names:
        raise BadRequest(
            f"{source}: the classes of the test split ({', '.join(test.class_names[:5])}, …) are "
            f"not those of the training split ({', '.join(train.class_names[:5])}, …)"
        )
