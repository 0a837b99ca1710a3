"""A labelled image set, read by index and indexed by class, wherever its images lie."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from attar.data.modality import Modality, modality_of, rows_of
from attar.data.preprocessing import Preprocessing
from attar.data.rows import Rows, in_memory, in_parts, picked, size_of, told
from attar.data.values import range_advice
from attar.errors import BadRequest, unknown
from attar.rng import Key
from attar.shapes import Shape, is_picture


@dataclass(frozen=True)
class LabelledImages:
    """Images, or rows of any other shape, with their class labels.

    What reads real images outside of `attar.data` takes them by index, as network inputs
    (`take`), and never all of them at once, since they may lie in a file or be still to be decoded.

    Args:
        images: N×C×H×W, uint8 in 0…255 or floating in [0, 1]; N×D vectors or N arrays of several
            axes, floating in any range. A tensor, or any other `attar.data.rows.Rows`.
        labels: N class indices, int64 in 0…K−1.
        class_names: K names.
        preprocessing: what turns pixels into network inputs.
        name: how messages and artefacts call this set.
        may_lack_classes: allow classes without images, as a test set may have.
        prepared: whether ``images`` are network inputs already, in any range, as those of an
            artefact are.
        targets: N×K label values, float32, where there are more than class indices.
        any_range: allow pixels outside [0, 1], as those of a condensed set may be.

    Raises:
        BadRequest: no class, an empty class, a label out of range, NaN or Inf,
            values outside [0, 1] in a floating set, or shapes that do not fit together.
    """

    images: Rows
    labels: Tensor
    class_names: tuple[str, ...]
    preprocessing: Preprocessing
    name: str = "data"
    may_lack_classes: bool = False
    prepared: bool = False
    targets: Tensor | None = None
    any_range: bool = False

    def __post_init__(self) -> None:
        check_images(
            self.images,
            self.labels,
            len(self.class_names),
            self.name,
            may_lack_classes=self.may_lack_classes,
            any_range=self.prepared or self.any_range,
            # what lies elsewhere was looked at when it was opened
            values=in_memory(self.images),
        )
        if len(set(self.class_names)) < len(self.class_names):
            twice = next(one for one in self.class_names if self.class_names.count(one) > 1)
            raise BadRequest(f"{self.name}: the class name {twice!r} is given twice")
        if self.targets is not None and self.targets.shape != (len(self.labels), self.classes):
            raise BadRequest(
                f"{self.name}: label values of shape {tuple(self.targets.shape)}; "
                f"{len(self.labels)}×{self.classes} are needed"
            )
        if not self.modality.bounded and not self.preprocessing.as_tensors:
            constants = dataclasses.replace(self.preprocessing, as_tensors=True)
            object.__setattr__(self, "preprocessing", constants)
        if len(self.preprocessing.mean) != self.images.shape[1]:
            raise BadRequest(
                f"{self.name}: these are {rows_of(self.shape)}, but the preprocessing is for "
                f"{len(self.preprocessing.mean)} along their first axis"
            )

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> int:
        """Number of classes K."""
        return len(self.class_names)

    @property
    def shape(self) -> Shape:
        """Of one image: channels, height and width; the length of a vector."""
        return tuple(self.images.shape[1:])

    @property
    def modality(self) -> Modality:
        """What suits these rows."""
        return modality_of(self.shape)

    @property
    def device(self) -> torch.device:
        """Where the images are."""
        return self.images.device

    @property
    def nbytes(self) -> int:
        """Bytes that all images take in memory, as they are stored and not as network inputs."""
        return size_of(self.images)

    @property
    def told(self) -> str:
        """Where the images lie that are not in memory, as a part of a sentence; else empty."""
        return told(self.images)

    @cached_property
    def indices_of_class(self) -> tuple[Tensor, ...]:
        """For each class, the indices of its images, in order, on the CPU."""
        labels = self.labels.cpu()
        return tuple(torch.nonzero(labels == c).flatten() for c in range(self.classes))

    def take(self, index: Tensor) -> Tensor:
        """Return network inputs (B×C×H×W, or other rows, float32) of the images at ``index``."""
        stored = self.images[index.to(self.images.device)]
        if self.prepared:
            return stored.float()
        pixels = stored.float().div_(255) if stored.dtype == torch.uint8 else stored.float()
        return self.preprocessing.apply(pixels)

    def target(self, index: Tensor) -> Tensor:
        """Return the label values (B×K float32) at ``index``: one-hot where there are none."""
        if self.targets is not None:
            return self.targets[index.to(self.targets.device)]
        labels = self.labels[index.to(self.labels.device)]
        return torch.nn.functional.one_hot(labels, self.classes).float()

    def draw(self, label: int, count: int, key: Key) -> Tensor:
        """Return ``count`` distinct indices of one class; all of them where it has fewer."""
        own = self.indices_of_class[label]
        # sampling a permutation's head costs the class size: draw with rejection when sparse
        if count * 4 >= len(own):
            return own[torch.randperm(len(own), generator=key.generator())[:count]]
        generator = key.generator()
        chosen: dict[int, None] = {}
        while len(chosen) < count:
            drawn = torch.randint(len(own), (count - len(chosen),), generator=generator)
            chosen.update(dict.fromkeys(drawn.tolist()))
        return own[torch.tensor(list(chosen), dtype=torch.int64)]

    def drawn(self, count: int) -> int:
        """Return how many images `draw` gives of all classes together."""
        return sum(min(count, len(own)) for own in self.indices_of_class)

    def subset(self, index: Tensor) -> LabelledImages:
        """Return the set of the images at ``index``, with the same preprocessing."""
        targets = None if self.targets is None else self.targets[index.to(self.targets.device)]
        return dataclasses.replace(
            self,
            images=picked(self.images, index),
            labels=self.labels[index.to(self.labels.device)],
            targets=targets,
        )

    def of_classes(self, names: Sequence[str]) -> LabelledImages:
        """Return the set of the images of some classes, numbered in this order.

        Raises:
            BadRequest: an unknown name, one given twice, or none.
        """
        positions = []
        for name in names:
            if name not in self.class_names:
                raise unknown("class (of_classes)", name, self.class_names)
            positions.append(self.class_names.index(name))
        own = [self.indices_of_class[label] for label in positions]
        sizes = torch.tensor([len(index) for index in own])
        found = torch.cat([*own, torch.empty(0, dtype=torch.int64)])
        device = self.labels.device
        targets = None
        if self.targets is not None:
            targets = self.targets[found.to(self.targets.device)][:, positions]
        return dataclasses.replace(
            self,
            images=picked(self.images, found),
            labels=torch.arange(len(own)).repeat_interleave(sizes).to(device),
            class_names=tuple(names),
            targets=targets,
        )

    def split(self, fraction: float, key: Key) -> tuple[LabelledImages, LabelledImages]:
        """Split off a validation set: ``fraction`` of every class, at least one image of each.

        Both parts are views of one new tensor; nothing else keeps this set's images.

        Raises:
            BadRequest: a class has a single image and so cannot be in both parts, or the
                fraction is not between 0 and 1.
        """
        if not 0 < fraction < 1:
            raise BadRequest(f"the part to hold out is {fraction}; it must be above 0 and below 1")
        for name, own in zip(self.class_names, self.indices_of_class, strict=True):
            if len(own) == 1:
                raise BadRequest(
                    f"class {name!r} of {self.name} has one image, so no validation image can "
                    "be held out; add images or use --validation 0"
                )
        kept, held = stratified(self.indices_of_class, fraction, key)
        both = self.subset(torch.cat([kept, held]))
        # two views of one tensor, so that the images are there once
        slices = slice(len(kept)), slice(len(kept), None)
        parts = [picked(both.images, own) for own in slices]
        labels = both.labels.split([len(kept), len(held)])
        targets = [None, None]
        if both.targets is not None:
            targets = both.targets.split([len(kept), len(held)])
        train, validation = (
            dataclasses.replace(self, images=images, labels=own, targets=values)
            for images, own, values in zip(parts, labels, targets, strict=True)
        )
        return train, validation

    def to(self, device: str | torch.device) -> LabelledImages:
        """Return the set with its images and labels on ``device``.

        Images that are not in memory stay where they are, and are read by index from there.
        """
        targets = None if self.targets is None else self.targets.to(device)
        return dataclasses.replace(
            self,
            images=self.images.to(device) if in_memory(self.images) else self.images,
            labels=self.labels.to(device),
            targets=targets,
        )


def stratified(
    indices_of_class: Sequence[Tensor], fraction: float, key: Key
) -> tuple[Tensor, Tensor]:
    """Return sorted indices kept and held out: ``fraction`` of each class, one at least.

    A class keeps one image at least, so a class of one image is only in the kept part.
    """
    kept, held = [], []
    for label, own in enumerate(indices_of_class):
        order = own[torch.randperm(len(own), generator=key.fold(label).generator())]
        count = min(max(1, round(fraction * len(own))), max(len(own) - 1, 0))
        held.append(order[:count])
        kept.append(order[count:])
    return torch.cat(kept).sort().values, torch.cat(held).sort().values


def check_images(
    images: Rows,
    labels: Tensor,
    classes: int,
    name: str,
    *,
    may_lack_classes: bool = False,
    any_range: bool = False,
    values: bool = True,
) -> None:
    """Refuse what is no labelled image set; see `LabelledImages`.

    With ``values`` every floating value is looked at, a part at a time.
    """
    pictures = is_picture(tuple(images.shape[1:]))
    # of 8 bits they are pictures that lack an axis
    if not pictures and (len(images.shape) < 2 or images.dtype == torch.uint8):
        raise BadRequest(
            f"{name}: images have shape {tuple(images.shape)}; N×C×H×W is needed "
            "(grayscale: one channel), or floats N×D for feature vectors"
        )
    if math.prod(images.shape) == 0:
        raise BadRequest(f"{name}: there are no pixels in images of shape {tuple(images.shape)}")
    if images.dtype != torch.uint8 and not images.dtype.is_floating_point:
        raise BadRequest(f"{name}: images are {images.dtype}; uint8 (0…255) or floats in [0, 1]")
    if labels.ndim != 1 or len(labels) != len(images):
        raise BadRequest(
            f"{name}: {len(images)} images but labels of shape {tuple(labels.shape)}; "
            "one class index per image is needed"
        )
    check_labels(labels, classes, name, may_lack_classes=may_lack_classes)
    if values and images.dtype.is_floating_point:
        check_float_range(images, name, any_range=any_range or not pictures)


def check_labels(
    labels: Tensor, classes: int, name: str, *, may_lack_classes: bool = False
) -> None:
    """Refuse labels that are not class indices 0…K−1 with images in every class."""
    if labels.is_floating_point() or labels.dtype == torch.bool:
        raise BadRequest(f"{name}: labels are {labels.dtype}; whole class indices are needed")
    if classes < 1:
        raise BadRequest(f"{name}: there is no class; name one or more")
    if int(labels.min()) < 0 or int(labels.max()) >= classes:
        raise BadRequest(
            f"{name}: labels run from {int(labels.min())} to {int(labels.max())}; "
            f"with {classes} classes they must be 0…{classes - 1}"
        )
    empty = (torch.bincount(labels.cpu(), minlength=classes) == 0).nonzero().flatten().tolist()
    if empty and not may_lack_classes:
        listed = ", ".join(map(str, empty[:5])) + (", …" if len(empty) > 5 else "")
        raise BadRequest(
            f"{name}: no images of class {listed} of 0…{classes - 1}; every class needs some. "
            "Leave the class out and number the others 0, 1, 2, … without gaps"
        )


def check_float_range(images: Rows, name: str, *, any_range: bool = False) -> None:
    """Refuse floating images with NaN, Inf or, but for ``any_range``, values outside [0, 1]."""
    row = modality_of(tuple(images.shape[1:])).row
    low, high, done = math.inf, -math.inf, 0
    for part in in_parts(images):
        finite = torch.isfinite(part).flatten(1).all(dim=1)
        if not bool(finite.all()):
            raise BadRequest(f"{name}: {row} {done + int((~finite).nonzero()[0])} holds NaN or Inf")
        done += len(part)
        low, high = min(low, float(part.min())), max(high, float(part.max()))
    if not any_range and (low < 0 or high > 1):
        hint = "; of standardised ones, leave Normalize out" if low < 0 else ""
        raise BadRequest(
            f"{name}: floating images run from {low:g} to {high:g}; scale them to [0, 1], "
            f"or {range_advice(low, high)}{hint}"
        )
