"""Learnt labels kept otherwise than the images: each in a storage of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from attar.budget import LABELS
from attar.errors import BadRequest
from attar.storage.coded_pictures import CodedPictures
from attar.storage.storage import Content, Kept, Storage


@dataclass(frozen=True)
class Apart(Storage):
    """Labels in one storage, all else in another; not registered, since its text names both.

    Args:
        images: of the images, or what they are made of.
        labels: of the labels.

    Raises:
        BadRequest: labels as pictures, or in two storages themselves.
    """

    images: Storage
    labels: Storage

    def __post_init__(self) -> None:
        if isinstance(self.labels, CodedPictures | Apart):
            raise BadRequest(
                f"--storage {self.images.name}: labels={self.labels.name} keeps no labels; choose "
                "int4, int8, float16 or another that is no picture codec"
            )

    @property
    def name(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """That of the images' storage."""
        return self.images.name

    @property
    def exact(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Where both are."""
        return self.images.exact and self.labels.exact

    @property
    def whole(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """As of the images."""
        return self.images.whole

    @property
    def fixed(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Where both are."""
        return self.images.fixed and self.labels.fixed

    def of(self, name: str) -> Storage:
        """Return that of the labels, or that of the images."""
        return self.labels if name.startswith(LABELS) else self.images

    def settled(self) -> Storage:
        """Return both without what only a run needs."""
        return Apart(self.images.settled(), self.labels.settled())

    def coarser(self) -> Sequence[Storage]:
        """Return those of the images, with the same labels."""
        return [Apart(one, self.labels) for one in self.images.coarser()]

    def check(self, content: Content, form: str) -> None:
        """Refuse images, or labels, that cannot be kept so."""
        self.images.check(content, form)
        self.labels.check_labels(content)

    def planned(self, name: str, shape: tuple[int, ...]) -> int | None:
        """Return what the tensor's own storage plans."""
        return self.of(name).planned(name, shape)

    def least(self, name: str, shape: tuple[int, ...]) -> int:
        """Return the least of the tensor's own storage."""
        return self.of(name).least(name, shape)

    def kept(self, name: str, shape: tuple[int, ...]) -> dict[str, Kept]:
        """Return what the tensor's own storage keeps."""
        return self.of(name).kept(name, shape)

    def encode(self, tensors: Mapping[str, Tensor], content: Content) -> dict[str, Tensor]:
        """Return what each storage keeps of its own tensors."""
        images = {name: one for name, one in tensors.items() if not name.startswith(LABELS)}
        labels = {name: one for name, one in tensors.items() if name not in images}
        return self.images.encode(images, content) | self.labels.encode(labels, content)

    def decode(
        self,
        coded: Mapping[str, Tensor],
        shapes: Mapping[str, tuple[int, ...]],
        content: Content,
    ) -> dict[str, Tensor]:
        """Return what each storage decodes of its own tensors."""
        images = {name: one for name, one in shapes.items() if not name.startswith(LABELS)}
        labels = {name: one for name, one in shapes.items() if name not in images}
        found = self.images.decode(coded, images, content)
        try:
            return found | self.labels.decode(coded, labels, content)
        except ValueError as error:
            raise ValueError(f"labels as {self.labels.name}: {error}") from error
