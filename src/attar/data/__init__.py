"""Labelled images: where they come from, how they are held, what networks see of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

# sources by name are plain data, which `attar sources` lists before torch could be imported
from attar.data.catalogue import SOURCES, source_rows
from attar.lazy import importer

if TYPE_CHECKING:
    from attar.data.given import as_splits, from_dataset, from_tensors
    from attar.data.images import LabelledImages
    from attar.data.preprocessing import Preprocessing
    from attar.data.reading import as_texts, bearing
    from attar.data.rows import Rows
    from attar.data.sources import load_source
    from attar.data.splits import Splits
    from attar.data.statistics import channel_statistics
    from attar.data.subsets import Subset, classes_text
    from attar.data.whitening import KINDS, Whitening, fit_whitening

__all__ = [
    "KINDS",
    "SOURCES",
    "LabelledImages",
    "Preprocessing",
    "Rows",
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

_HOMES = {
    "KINDS": "attar.data.whitening",
    "LabelledImages": "attar.data.images",
    "Preprocessing": "attar.data.preprocessing",
    "Rows": "attar.data.rows",
    "Splits": "attar.data.splits",
    "Subset": "attar.data.subsets",
    "Whitening": "attar.data.whitening",
    "as_splits": "attar.data.given",
    "as_texts": "attar.data.reading",
    "bearing": "attar.data.reading",
    "channel_statistics": "attar.data.statistics",
    "classes_text": "attar.data.subsets",
    "fit_whitening": "attar.data.whitening",
    "from_dataset": "attar.data.given",
    "from_tensors": "attar.data.given",
    "load_source": "attar.data.sources",
}
__getattr__ = importer(__name__, _HOMES)
