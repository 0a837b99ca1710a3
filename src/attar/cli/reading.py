"""The options of commands that read real images to learn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from attar.options import (
    READING,
    Auto,
    Background,
    Classes,
    Folder,
    Name,
    Number,
    ValueRange,
    Whole,
    option,
)

InMemory = Annotated[Auto, tyro.conf.arg(metavar="auto|on|off")]
Source = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")]


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which columns of a table are read; for commands to inherit."""

    path_column: Name = None
    """Column of a csv: table that names the images, or of an hf: data set that holds them."""
    label_column: Annotated[str | None, option("NAME or NAMES")] = None
    """Column of the classes; several with commas between are columns with a 1 for the class. In
    wds: shards the ending of the file of the class, or its name in .json."""
    split_column: Name = None
    """Column of a csv: table that says train, test or val."""


@dataclass(frozen=True)
class Reading(Columns):
    """How the real images are read."""

    data_dir: Folder = None
    """Where named data sets and decoded images lie (else $ATTAR_DATA or ~/.cache/attar)."""
    in_memory: InMemory = "auto"
    """on holds all images in memory; off reads or decodes each picture or .npy row when it is
    needed, with the same results; auto does so where they take more than half of the memory."""
    resize: Whole = None
    """Bring all images to this height and width in pixels."""
    classes: Classes = None
    """Take these classes only, in this order: names with commas between, such as cat,dog, or
    indices where no name is a number. A number alone takes the first N."""
    per_class: Whole = None
    """Take at most this many training images of a class: a fixed sample, whatever the seed."""
    value_range: ValueRange = None
    """The values that are black and white, such as 0:4095, of images with other values than the
    0…255 of 8 bits (floats: 0…1)."""
    background: Background = None
    """The colour behind transparent pictures, such as black or #ff8800; white where left out."""
    test_share: Number = None
    """Share of every class to hold out as test where the source has no test part of its own; 0
    takes all images. Left out: 0.2. 'attar evaluate' tests on what was held out."""


def reading_options(wanted: Any) -> dict[str, Any]:
    """Return what `attar.load_source` takes, from the options of a command of these names."""
    # what a source is called is known
    return {name: getattr(wanted, name) for name in READING if name != "name"}
