"""Labelled images: where they come from, how they are held, what networks see of them."""

from __future__ import annotations

from attar.data.given import as_splits, from_dataset, from_tensors
from attar.data.images import LabelledImages, channel_statistics
from attar.data.preprocessing import Preprocessing
from attar.data.reading import as_texts, bearing
from attar.data.sources import SOURCES, load_source, source_rows
from attar.data.splits import Splits
from attar.data.subsets import Subset, classes_text
from attar.data.whitening import KINDS, Whitening, fit_whitening

__all__ = [
    "KINDS",
    "SOURCES",
    "LabelledImages",
    "Preprocessing",
    "Splits",
    "Subset",
    "Whitening",
    "as_splits",
    "as_texts",
    "bearing",
    "channel_statistics",
    "classes_text",
    "fit_whitening",
    "from_dataset",
    "from_tensors",
    "load_source",
    "source_rows",
]
