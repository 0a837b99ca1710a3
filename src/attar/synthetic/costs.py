"""What a set costs: the lines of its ledger, whether it is there or only planned."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from attar.budget import Entry, Ledger
from attar.errors import BadRequest
from attar.synthetic.forms.form import Parametrization
from attar.synthetic.layout import Layout

STORAGE_TYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


_PREPROCESSING = "preprocessing: needed to show the images and to test on real ones"
_LEARNT = "learnt beside the set"


def stored_entry(name: str, shape: tuple[int, ...], dtype: str, form: Parametrization) -> Entry:
    """Return the ledger's line of one tensor of a set."""
    beside = form.uncounted
    paper = name.startswith("images.") and name not in beside
    why = "images or their factors" if paper else beside.get(name, "learned labels")
    return Entry(
        name=name,
        shape=shape,
        dtype=dtype,
        bytes=math.prod(shape) * STORAGE_TYPES[dtype].itemsize,
        paper=paper,
        why=why,
    )


def extra_entries(extras: Mapping[str, Tensor] | None) -> list[Entry]:
    """Return the ledger's lines of tensors that the papers do not count."""
    return [
        Entry(
            name=name,
            shape=tuple(tensor.shape),
            dtype=str(tensor.dtype).removeprefix("torch."),
            bytes=tensor.numel() * tensor.element_size(),
            paper=False,
            why=_LEARNT if name.startswith("learned.") else _PREPROCESSING,
        )
        for name, tensor in (extras or {}).items()
    ]


def planned_ledger(
    layout: Layout,
    parametrization: Parametrization,
    dtype: str,
    learned_labels: bool = False,
    extras: Mapping[str, Tensor] | None = None,
) -> Ledger:
    """Return the cost of a set from its settings alone, without building it.

    Raises:
        BadRequest: an unknown storage type, or rows that the form cannot keep.
    """
    parametrization.check_shape(layout.shape)
    if dtype not in STORAGE_TYPES:
        raise BadRequest(f"--storage {dtype!r}: one of {', '.join(STORAGE_TYPES)}")
    entries = [stored_entry("images.*", (parametrization.values(layout),), dtype, parametrization)]
    if beside := parametrization.beside(layout):
        why = "; ".join(parametrization.uncounted.values()) or "beside the images"
        size = beside * STORAGE_TYPES[dtype].itemsize
        entries.append(Entry("images.beside", (beside,), dtype, size, False, why))
    if learned_labels:
        values = parametrization.label_values(layout)
        entries.append(stored_entry("labels.*", (values,), dtype, parametrization))
    return Ledger((*entries, *extra_entries(extras)))
