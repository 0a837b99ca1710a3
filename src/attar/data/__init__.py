"""Labelled images: where they come from, how they are held, what networks see of them."""

from __future__ import annotations

from attar.data.images import LabelledImages, channel_statistics
from attar.data.preprocessing import Preprocessing
from attar.data.sources import (
    SOURCES,
    Splits,
    as_splits,
    from_dataset,
    from_tensors,
    load_source,
    source_rows,
)
from attar.data.whitening import KINDS, Whitening, fit_whitening

__all__ = [
    "KINDS",
    "SOURCES",
    "LabelledImages",
    "Preprocessing",
    "Splits",
    "Whitening",
    "as_splits",
    "channel_statistics",
    "fit_whitening",
    "from_dataset",
    "from_tensors",
    "load_source",
    "source_rows",
]
