"""Data by name: everything that a name can stand for becomes `Splits`."""

from __future__ import annotations

from pathlib import Path

from attar.data.catalogue import SOURCES, source_rows
from attar.data.dividing import wanted_share
from attar.data.reading import HELD_OUT, Columns, Reading, Watch, wanted_keep
from attar.data.resizing import Resize, wanted_size
from attar.data.splits import Splits, Zca, assemble, check_zca
from attar.data.subsets import Classes, wanted_subset
from attar.data.values import Background, ValueRange, range_text, wanted_look
from attar.data.walking import refuse_no_text
from attar.errors import BadRequest, unknown
from attar.options import Auto
from attar.places import default_data_dir


def check_columns(name: str, columns: Columns) -> None:
    """Refuse the name of a column for a source that has none."""
    for column in ("path", "label", "split"):
        value = getattr(columns, column)
        if value is not None and column not in SOURCES[name].columns:
            takers = [one for one, entry in SOURCES.items() if column in entry.columns]
            raise BadRequest(
                f"--{column}-column {value}: {name} has no such column; it goes with "
                f"{' and '.join(f'{one}:' for one in takers)}"
            )


def load_source(
    source: str,
    *,
    data_dir: Path | None = None,
    resize: Resize = None,
    zca: Zca = "none",
    classes: Classes = None,
    per_class: int | None = None,
    value_range: ValueRange = None,
    background: Background = None,
    test_share: float | None = None,
    default_share: float = HELD_OUT,
    watch: Watch | None = None,
    path_column: str | None = None,
    label_column: str | None = None,
    split_column: str | None = None,
    in_memory: Auto = "auto",
) -> Splits:
    """Read a data set by name.

    Args:
        source: one of `source_rows`: ``digits``, ``cifar10``, ``folder:DIR``, ``npz:FILE``, ….
        data_dir: where downloads and decoded images are looked for and kept; default
            ``$ATTAR_DATA``, or ``~/.cache/attar``.
        resize: pixels; one number for a square, or height and width. Images are cropped at
            the centre to that shape, then scaled.
        zca: ``none``, ``mtt``, ``frepo``, ``rtp`` or ``kip``, fitted on the whole training
            part; or a function from the data set's name to one of these.
        classes: a number N takes the first N classes. Names, or indices where no name is a
            number, take these in this order; give a list, or a text with commas between.
        per_class: the most training images of a class: a fixed sample, whatever the seed. The
            test part keeps all images of the chosen classes.
        value_range: the stored values that become 0 (black) and 1 (white), as a pair or a text
            such as ``0:4095``; for pictures and arrays of more than 8 bits, or floats outside
            [0, 1]. Images are then float32.
        background: colour behind transparent pictures, such as ``black`` or ``#ff8800``; white
            where left out.
        test_share: of every class, held out as test where the source has no test part of its
            own: from 0, which keeps none, to below 1. The same share holds out the same images,
            whatever the seed.
        default_share: that share where ``test_share`` is None.
        watch: called with what is done (such as "decoding images"), how many images are done
            and how many there are.
        path_column: of a table: the column of the paths (of hf: the images), where its name is
            not one of the usual.
        label_column: the column of the classes; or several, with commas between, each of which
            is a class and holds 1 for its images and 0 for all others.
        split_column: of a table: the column that says ``train``, ``test`` or ``val``.
        in_memory: ``on`` holds all images in memory; ``off`` reads or decodes each when it is
            needed, which pictures in files and ``npy:`` arrays allow; ``auto`` does so where the
            images take more than half of the memory that can be had. Results are the same.

    Returns:
        Both sets with uint8 images and one preprocessing: the usual constants for a data set
        with a name, the training part's per-channel statistics for any other.

    Raises:
        BadRequest: the source, an option or the data cannot be used; nothing was started.

    Example:
        >>> load_source("digits", classes=3, per_class=10).train.images.shape
        torch.Size([30, 1, 8, 8])
    """
    check_zca(zca)
    refuse_no_text(source, "the source")
    subset = wanted_subset(classes, per_class)
    folder = Path(data_dir).expanduser() if data_dir else default_data_dir()
    look = wanted_look(value_range, background)
    columns = Columns(path_column, label_column, split_column)
    share = wanted_share(test_share)
    size = wanted_size(resize)
    reading = Reading(
        folder, size, subset, watch, look, columns, share, default_share, wanted_keep(in_memory)
    )
    name, colon, argument = source.partition(":")
    if name not in SOURCES:
        raise unknown_source(source, name)
    entry = SOURCES[name]
    if entry.argument and not argument:
        raise BadRequest(f"source {source!r} lacks its path; write {name}:{entry.argument}")
    if colon and not entry.argument:
        raise BadRequest(f"source {source!r}: {name} takes nothing after its name")
    if background is not None and (not entry.argument or name == "npz"):
        raise BadRequest(
            f"--background {background}: {name} holds no transparent pictures; leave it out"
        )
    if look.value_range and not entry.argument:
        raise BadRequest(
            f"--range {range_text(look.value_range)}: what the values of {name} mean is known; "
            "leave it out"
        )
    check_columns(name, columns)
    if in_memory == "off" and not entry.by_index:
        raise BadRequest(
            f"--in-memory off: {name} is read whole; save large arrays with numpy.save, and give "
            "them as npy:DIR"
        )
    parts = entry.load(argument, reading)
    path = Path(argument).expanduser().absolute()
    label = {"folder": path.name, "csv": path.stem, "npz": path.stem}.get(name) or name
    return assemble(parts, name=parts.name or label, source=source, zca=zca)


def kind_of(path: Path) -> str:
    """Return the kind of source that a path is."""
    if path.is_dir():
        return "folder"
    ending = path.suffix.lower()
    return {".csv": "csv", ".tsv": "csv", ".npy": "npy"}.get(ending, "npz")


def unknown_source(source: str, name: str) -> BadRequest:
    """Return the refusal of a source, with the prefix that an existing path lacks."""
    path = Path(source).expanduser()
    if path.is_dir():
        return BadRequest(f"source {source!r} is a folder; write folder:{source}")
    if path.is_file():
        kind = kind_of(path)
        what = "a table" if kind == "csv" else "arrays"
        return BadRequest(f"source {source!r} is a file; for {what} write {kind}:{source}")
    return unknown("source", name, [row for row, _ in source_rows()])
