"""Some classes of a set by themselves, and their values brought back into the whole.

So classes may be updated in turn, or by several processes: see `Layout.of_classes`.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

from attar.errors import BadRequest
from attar.synthetic.forms.form import Parametrization
from attar.synthetic.layout import Layout
from attar.synthetic.synthetic_set import Synthetic


@torch.no_grad()
def slice_of(whole: Synthetic, labels: Collection[int]) -> Synthetic:
    """Return some classes of a set, with what is stored of them, in memory of their own.

    Raises:
        BadRequest: no such class, or classes that share what is stored.
    """
    layout = whole.layout.of_classes(labels)
    bases, rows = places_apart(whole.parametrization, whole.layout, labels)
    found = Synthetic(layout, whole.parametrization, whole.labels is not None)
    found.load_state_dict(
        {
            name: tensor[bases if name.startswith("images.") else rows]
            for name, tensor in whole.state_dict().items()
        }
    )
    return found.to(whole.class_of_row.device)


@torch.no_grad()
def put_back(part: Synthetic, whole: Synthetic, labels: Collection[int]) -> None:
    """Write the values of a slice into the set that it was taken from.

    Args:
        part: what `slice_of` returned for ``labels``, changed since.
        whole: the set, which is changed.
        labels: of the classes.
    """
    bases, rows = places_apart(whole.parametrization, whole.layout, labels)
    stored = whole.state_dict()
    for name, tensor in part.state_dict().items():
        stored[name][bases if name.startswith("images.") else rows] = tensor.to(stored[name])


def places_apart(
    form: Parametrization, layout: Layout, labels: Collection[int]
) -> tuple[Tensor, Tensor]:
    """Return which stored bases, and which rows, some classes have.

    Raises:
        BadRequest: no such class, or classes that share what is stored with others.
    """
    rows = layout.index_of(labels)
    if form.takes_unequal and form.by_base:
        table, part = form.table(layout), form.table(layout.of_classes(labels))
        bases, place = torch.unique(table.base[rows], return_inverse=True)
        others = torch.ones(layout.rows, dtype=torch.bool).index_fill_(0, rows, False)
        apart = not torch.isin(bases, table.base[others]).any()
        if apart and place.equal(part.base) and table.variant[rows].equal(part.variant):
            return bases, rows
    raise BadRequest(
        f"classes {sorted(set(labels))} share what is stored with others in the form "
        f"{form.name!r} at {layout.per_class} images per class, so they cannot be taken by "
        "themselves; pixels, resized and low_rank can, and tiled where every class fills its "
        "stored images"
    )
