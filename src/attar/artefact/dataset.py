"""A condensed set as the data sets of torchvision are, and as other libraries want it."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from attar.artefact.grid import grid_html
from attar.artefact.header import Header
from attar.artefact.preparing import Preparation
from attar.data.modality import Modality, modality_of
from attar.data.preprocessing import Preprocessing
from attar.data.values import PLAIN, wanted_look
from attar.errors import BadRequest

# of one image, on its way to the network
Transform = Callable[[Tensor], Any]
# what a set is made of; all else follows from it
_SET = (
    *("header", "synthetic", "preprocessing", "checked", "learned", "carried", "_coded"),
    "item_transform",
)


class CondensedDataset(Dataset[tuple[Any, Tensor]]):
    """What an `Artefact` offers as a data set; it has the images and labels."""

    header: Header
    preprocessing: Preprocessing
    images: Tensor
    labels: Tensor
    pixels: Tensor
    item_transform: Transform | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in _SET and not name.startswith("__"):
            known = [one for one in dir(type(self)) if not one.startswith("_")]
            near = difflib.get_close_matches(name, known, n=1)
            what = f"did you mean {near[0]!r}? " if near and near[0] != name else ""
            raise AttributeError(
                f"{name!r} of an Artefact cannot be set; {what}with_transform(f) returns the set "
                f"with another transform of its items. There is: {', '.join(known)}"
            )
        super().__setattr__(name, value)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, Tensor]:
        image = self.images[index]
        own = self.item_transform
        return (image if own is None else own(image)), self.labels[index]

    @property
    def modality(self) -> Modality:
        """What suits its rows."""
        return modality_of(self.header.shape)

    @property
    def classes(self) -> list[str]:
        """The class names; class k is the k-th."""
        return list(self.header.class_names)

    @property
    def class_to_idx(self) -> dict[str, int]:
        """The number of each class."""
        return {name: index for index, name in enumerate(self.header.class_names)}

    @property
    def targets(self) -> list[int]:
        """The class of each image; where labels were learnt, that of the largest value."""
        return self._targets().tolist()

    def _targets(self) -> Tensor:
        return self.labels if self.labels.ndim == 1 else self.labels.argmax(dim=1)

    @property
    def transform(self) -> Preparation:
        """What a real image needs before a network that was trained on this set sees it.

        Give it to a data set of real images: ``ImageFolder(folder, transform=artefact.transform)``.
        It takes Pillow images, arrays and tensors. What is done to the items of the set itself is
        ``transform=`` of `attar.load`, kept as ``item_transform``.
        """
        reading = self.header.provenance.get("reading")
        told = reading if isinstance(reading, dict) else {}
        try:
            look = wanted_look(told.get("value_range"), told.get("background"))
        except BadRequest:  # a file may say anything
            look = PLAIN
        return Preparation(self.preprocessing, tuple(self.header.shape), look)

    def with_transform(self, transform: Transform | None) -> Self:
        """Return the same set, whose items go through a transform of their own.

        Args:
            transform: takes one image as network inputs, such as C×H×W float32, and returns what an
                item holds in its place; `images` stay as they are. None for no transform.
        """
        if transform is not None and not callable(transform):
            raise BadRequest(f"transform={transform!r}: a function of one image is needed")
        made = copy.copy(self)
        made.item_transform = transform
        return made

    def as_tensors(self) -> tuple[Tensor, Tensor]:
        """Return images and labels: N×C×H×W network inputs; N classes, or N×K where learnt."""
        return self.images, self.labels

    def as_numpy(self, *, flat: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """Return ``X, y`` as scikit-learn takes them.

        Args:
            flat: N×D rows; False leaves images N×C×H×W.

        Returns:
            Network inputs, float32, and N class indices, int64: of learnt labels, which `labels`
            holds whole, the largest (`targets`). Copies, free to be changed.
        """
        images = self.images.flatten(1) if flat else self.images
        return images.numpy().copy(), self._targets().numpy().copy()

    def as_datasets(self) -> Any:
        """Return a ``datasets.Dataset``.

        Its columns are ``pixel_values``, the network inputs; ``label``, a class; ``soft_label``, K
        values, where labels were learnt; and ``image``, a picture of 8 bits to be looked at, in
        which values below black and above white are clipped, where there are 1 or 3 channels.

        Raises:
            BadRequest: the library is missing.
        """
        from attar.artefact.to_datasets import to_datasets

        return to_datasets(self)

    def _repr_html_(self) -> str:
        """Show the first images of the first classes in a notebook."""
        return grid_html(repr(self), self)
