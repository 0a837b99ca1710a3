"""Synthetic sets: what is stored, and how it becomes images and labels."""

from attar.storage import STORAGE_TYPES
from attar.synthetic.beginning import Beginning
from attar.synthetic.components import (
    Components,
    as_components,
    components_of,
    first_components,
)
from attar.synthetic.costs import check_storage, content_of, planned_ledger
from attar.synthetic.filling import NEVER, Allowance, Filled, Kept, fill, images_within
from attar.synthetic.forms import (
    PARAMETRIZATIONS,
    Addressed,
    Bounded,
    Decoded,
    Frequency,
    Hallucinated,
    LowRank,
    OrderedSVD,
    Pixels,
    Resized,
    Tiled,
    from_description,
)
from attar.synthetic.forms.addressed import addresses_of
from attar.synthetic.forms.bounded import limits, within
from attar.synthetic.forms.form import DENSE, Leaf, Parametrization, Wrapping
from attar.synthetic.forms.low_rank import with_rank
from attar.synthetic.forms.pixels import PLAIN
from attar.synthetic.layout import Layout
from attar.synthetic.slices import places_apart, put_back, slice_of
from attar.synthetic.stores import Store
from attar.synthetic.synthetic_set import Synthetic
from attar.synthetic.table import Table

__all__ = [
    "DENSE",
    "NEVER",
    "PARAMETRIZATIONS",
    "PLAIN",
    "STORAGE_TYPES",
    "Addressed",
    "Allowance",
    "Beginning",
    "Bounded",
    "Components",
    "Decoded",
    "Filled",
    "Frequency",
    "Hallucinated",
    "Kept",
    "Layout",
    "Leaf",
    "LowRank",
    "OrderedSVD",
    "Parametrization",
    "Pixels",
    "Resized",
    "Store",
    "Synthetic",
    "Table",
    "Tiled",
    "Wrapping",
    "addresses_of",
    "as_components",
    "check_storage",
    "components_of",
    "content_of",
    "fill",
    "first_components",
    "from_description",
    "images_within",
    "limits",
    "places_apart",
    "planned_ledger",
    "put_back",
    "slice_of",
    "with_rank",
    "within",
]
