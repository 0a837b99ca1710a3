"""The synthetic set: stored rows, the classes they belong to, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from attar.budget import Ledger
from attar.storage import Storage, sizes_of, storage_of
from attar.synthetic.costs import extra_entries, stored_entry
from attar.synthetic.forms.form import Parametrization
from attar.synthetic.layout import Layout
from attar.synthetic.stores import Store


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
        parametrization.check_shape(layout.shape)
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

    def roles(self) -> Mapping[str, list[nn.Parameter]]:
        """Return the learnt tensors by role; each role has an optimiser of its own."""
        roles = dict(self.images.roles())
        if self.labels is not None:
            roles["labels"] = list(self.labels.parameters())
        return roles

    def ledger(
        self,
        storage: str | Storage = "float32",
        extras: Mapping[str, Tensor] | None = None,
        coded: Mapping[str, Tensor] | None = None,
    ) -> Ledger:
        """Return what the set costs.

        Args:
            storage: how its values are kept.
            extras: further tensors that must be kept, such as a whitening matrix.
            coded: what is kept of the set; where it is missing, the most that it may take.
        """
        storage = storage_of(storage)
        sizes = {} if coded is None else sizes_of(coded)
        entries = []
        for name, tensor in self.state_dict().items():
            shape = tuple(tensor.shape)
            size = sizes[name] if coded is not None else storage.planned(name, shape) or 0
            entries.append(stored_entry(name, shape, storage, self.parametrization, size))
        return Ledger((*entries, *extra_entries(extras)))

    def _one_hot(self, index: Tensor) -> Tensor:
        labels = self.class_of_row[index.to(self.class_of_row.device)]
        return nn.functional.one_hot(labels, self.layout.classes).float()
