"""Synthetic sets: what is stored, and how it becomes images and labels."""

from attar.synthetic.layout import Layout
from attar.synthetic.parametrization import (
    PARAMETRIZATIONS,
    Decoded,
    LowRank,
    OrderedSVD,
    Parametrization,
    Pixels,
    Tiled,
    from_description,
    with_components,
)
from attar.synthetic.stores import Store
from attar.synthetic.synthetic_set import STORAGE_TYPES, Synthetic, images_within, planned_ledger

__all__ = [
    "PARAMETRIZATIONS",
    "STORAGE_TYPES",
    "Decoded",
    "Layout",
    "LowRank",
    "OrderedSVD",
    "Parametrization",
    "Pixels",
    "Store",
    "Synthetic",
    "Tiled",
    "from_description",
    "images_within",
    "planned_ledger",
    "with_components",
]
