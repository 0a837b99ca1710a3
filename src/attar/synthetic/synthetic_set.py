"""The synthetic set: stored rows, the classes they belong to, and what they cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from attar.budget import Budget, Entry, Ledger
from attar.errors import BadRequest
from attar.synthetic.layout import Layout
from attar.synthetic.ordered import BESIDE
from attar.synthetic.parametrization import Parametrization
from attar.synthetic.stores import Store

STORAGE_TYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


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
        self.images: Store = parametrization.build(layout)
        self.labels: Store | None = None
        self.register_buffer("class_of_row", layout.class_of_row(), persistent=False)
        if learned_labels:
            self.labels = parametrization.build_labels(layout, self.images)
            self.labels.fit(self._one_hot(torch.arange(len(layout))))

    def __len__(self) -> int:
        return len(self.layout)

    def forward(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return images (B×C×H×W, network inputs) and labels (B×K) of the rows at ``index``."""
        labels = self._one_hot(index) if self.labels is None else self.labels(index)
        return self.images(index), labels

    def settle(self) -> None:
        """Bring what is stored into the order in which it is kept; the rows stay as they are."""
        self.images.settle(self.labels)

    def round_to(self, storage: str) -> None:
        """Round every value as it is when stored in one of `STORAGE_TYPES`."""
        dtype = STORAGE_TYPES[storage]
        values = {name: tensor.to(dtype).float() for name, tensor in self.state_dict().items()}
        self.load_state_dict(values)

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
    paper = name.startswith("images.") and name not in BESIDE
    why = "images or their factors" if paper else BESIDE.get(name, "learned labels")
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
    entries = [stored_entry("images.*", (parametrization.values(layout),), dtype)]
    if beside := parametrization.beside(layout):
        whole = stored_entry(next(iter(BESIDE)), (beside,), dtype)
        entries.append(replace(whole, name="images.beside"))
    if learned_labels:
        values = parametrization.label_values(layout)
        entries.append(stored_entry("labels.*", (values,), dtype))
    return Ledger((*entries, *extra_entries(extras)))


def images_within(ipc: int, layout: Layout, parametrization: Parametrization, storage: str) -> int:
    """Return how many images per class the memory of ``ipc`` full float32 images per class holds.

    Args:
        ipc: the memory, as the papers count.
        layout: classes and shape of the images.
        parametrization: the form in which they are stored.
        storage: the type of the stored values.

    Raises:
        BadRequest: not even one image fits.
    """

    def cost(images: int) -> Ledger:
        rows = replace(layout, per_class=images)
        return planned_ledger(rows, parametrization, storage)

    return Budget(ipc=ipc).images(layout.classes, layout.shape, cost)
