"""The synthetic set: stored rows, the classes they belong to, and what they cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from attar.budget import Entry, Ledger
from attar.errors import BadRequest
from attar.synthetic.parametrization import Parametrization
from attar.synthetic.stores import Dense, Store

STORAGE_TYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


@dataclass(frozen=True)
class Layout:
    """Which rows there are: what an objective may know of a synthetic set.

    Args:
        classes: K.
        per_class: images per class n; row i belongs to class i // n.
        shape: C, H, W of one image.
    """

    classes: int
    per_class: int
    shape: tuple[int, int, int]

    def __len__(self) -> int:
        return self.classes * self.per_class

    def class_of_row(self) -> Tensor:
        """Return the class of every row, int64."""
        return torch.arange(self.classes).repeat_interleave(self.per_class)


class Synthetic(nn.Module):
    """Images and labels made from a store, class after class.

    Args:
        layout: the rows.
        parametrization: the form in which images are stored.
        learned_labels: store K label values per image in place of its class; they start at
            the one-hot of the class.
    """

    class_of_row: Tensor

    def __init__(
        self, layout: Layout, parametrization: Parametrization, learned_labels: bool = False
    ) -> None:
        super().__init__()
        self.layout = layout
        self.parametrization = parametrization
        self.images: Store = parametrization.build(len(layout), layout.shape)
        self.labels: Store | None = None
        self.register_buffer("class_of_row", layout.class_of_row(), persistent=False)
        if learned_labels:
            self.labels = Dense(len(layout), (layout.classes,))
            self.labels.fit(self._one_hot(torch.arange(len(layout))))

    def __len__(self) -> int:
        return len(self.layout)

    def forward(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return images (B×C×H×W, network inputs) and labels (B×K) of the rows at ``index``."""
        labels = self._one_hot(index) if self.labels is None else self.labels(index)
        return self.images(index), labels

    def roles(self) -> Mapping[str, list[nn.Parameter]]:
        """Return the learnt tensors by role; each role has an optimiser of its own."""
        roles = dict(self.images.roles())
        if self.labels is not None:
            roles["labels"] = list(self.labels.parameters())
        return roles

    def ledger(self, dtype: str = "float32", extras: Mapping[str, Tensor] | None = None) -> Ledger:
        """Return what the set costs when stored as ``dtype``.

        Args:
            dtype: one of `STORAGE_TYPES`.
            extras: further tensors that must be kept, such as a whitening matrix.
        """
        entries = [
            stored_entry(name, tuple(tensor.shape), dtype)
            for name, tensor in self.state_dict().items()
        ]
        return Ledger((*entries, *extra_entries(extras)))

    def _one_hot(self, index: Tensor) -> Tensor:
        labels = self.class_of_row[index.to(self.class_of_row.device)]
        return nn.functional.one_hot(labels, self.layout.classes).float()


def stored_entry(name: str, shape: tuple[int, ...], dtype: str) -> Entry:
    """Return the ledger's line of one tensor of a set."""
    images = name.startswith("images.")
    return Entry(
        name=name,
        shape=shape,
        dtype=dtype,
        bytes=math.prod(shape) * STORAGE_TYPES[dtype].itemsize,
        paper=images,
        why="images or their factors" if images else "learned labels",
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
            why="preprocessing: needed to show the images and to test on real ones",
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
        BadRequest: an unknown storage type.
    """
    if dtype not in STORAGE_TYPES:
        raise BadRequest(f"--storage {dtype!r}: one of {', '.join(STORAGE_TYPES)}")
    # not len(): a request or a header may speak of more rows than an index can count
    rows = layout.classes * layout.per_class
    values = parametrization.values(rows, layout.shape)
    entries = [stored_entry("images.*", (values,), dtype)]
    if learned_labels:
        entries.append(stored_entry("labels.values", (rows, layout.classes), dtype))
    return Ledger((*entries, *extra_entries(extras)))
