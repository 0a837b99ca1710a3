"""What a format's reader finds, before it is an artefact; checks that all formats share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from attar.errors import BadRequest
from attar.synthetic import Parametrization


@dataclass(frozen=True)
class Asked:
    """What a reader may need to know beside the files.

    Args:
        factor: tiles along each side of a stored image, or how many times a basis is enlarged; None
            where nothing was said.
        index: which of several sets in a file; negative from the end.
        resize: height and width that images in folders are brought to.

    Raises:
        BadRequest: a factor below 1.
    """

    factor: int | None = None
    index: int = -1
    resize: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.factor is not None and (type(self.factor) is not int or self.factor < 1):
            raise BadRequest(f"--factor {self.factor!r}: a whole number of at least 1 is needed")


@dataclass(frozen=True)
class Found:
    """A set as its authors stored it, rows in their order.

    Args:
        images: N×C×H×W float32; network inputs, or pixels in about [0, 1].
        labels: N class indices, N×K values, or None where rows are class after class.
        method: what made it, as the artefact will call it.
        family: whose constants standardise its pixels, a name in `attar.importing.constants`.
        pixels: whether ``images`` are pixels that are still to be standardised.
        whitening: the kind that the authors' code can apply; empty for none.
        whitened: ``none`` or a kind where the files tell; None where the user must.
        factor: tiles along each side of a stored image.
        class_names: where the files tell them.
        classes: the class of each row, where labels are values that need not tell it.
        constants: mean and deviation of the pixels, where the files tell them.
        learned_lr: learning rate that was learnt with the set.
        form: in which it is stored, where that is neither pictures nor tiles.
        kept: in that form, from which rows to take to the tensors of its store by name.
        notes: what a reader of the artefact should know.
    """

    images: Tensor
    labels: Tensor | None
    method: str
    family: str
    pixels: bool = False
    whitening: str = ""
    whitened: str | None = "none"
    factor: int = 1
    class_names: tuple[str, ...] | None = None
    classes: Tensor | None = None
    constants: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    learned_lr: float | None = None
    form: Parametrization | None = None
    kept: Callable[[Tensor], Mapping[str, Tensor]] | None = None
    notes: tuple[str, ...] = ()

    def noting(self, *notes: str) -> Found:
        """Return the same with further notes."""
        return replace(self, notes=(*self.notes, *notes))


def checked_images(images: object, where: str) -> Tensor:
    """Return images as N×C×H×W float32.

    Raises:
        BadRequest: another shape or type, no pixels, NaN or Inf.
    """
    if not isinstance(images, Tensor) or images.ndim != 4:
        said = f"of shape {tuple(images.shape)}" if isinstance(images, Tensor) else type(images)
        raise BadRequest(f"{where}: images are {said}; a tensor of N×C×H×W is needed")
    if images.shape[1] not in (1, 3) or not images.numel():
        raise BadRequest(
            f"{where}: images have shape {tuple(images.shape)}; N×C×H×W with 1 or 3 channels is "
            "needed"
        )
    if not images.is_floating_point():
        raise BadRequest(f"{where}: images are {images.dtype}; floating values are needed")
    images = images.float()
    finite = torch.isfinite(images).flatten(1).all(dim=1)
    if not bool(finite.all()):
        raise BadRequest(f"{where}: image {int((~finite).nonzero()[0])} holds NaN or Inf")
    return images.contiguous()


def checked_labels(labels: object, count: int, where: str) -> Tensor:
    """Return N int64 class indices, or N×K float32 values; one-hot rows become indices.

    Raises:
        BadRequest: another shape, type or length, NaN or Inf.
    """
    if not isinstance(labels, Tensor) or labels.ndim not in (1, 2) or len(labels) != count:
        said = tuple(labels.shape) if isinstance(labels, Tensor) else type(labels).__name__
        raise BadRequest(f"{where}: {count} images but labels {said}; one label per image")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 1:
        return _indices(labels, where)
    if not labels.numel():
        raise BadRequest(f"{where}: labels of shape {tuple(labels.shape)} hold no values")
    values = labels.float()
    if not bool(torch.isfinite(values).all()):
        raise BadRequest(f"{where}: labels hold NaN or Inf")
    return values


def _indices(labels: Tensor, where: str) -> Tensor:
    if labels.is_floating_point():
        if not bool(torch.isfinite(labels).all()) or not bool((labels == labels.round()).all()):
            raise BadRequest(f"{where}: labels are {labels.dtype}; whole class indices are needed")
    elif labels.dtype == torch.bool:
        raise BadRequest(f"{where}: labels are {labels.dtype}; whole class indices are needed")
    return labels.long()


def hardened(labels: Tensor) -> tuple[Tensor, tuple[str, ...]]:
    """Return class indices where N×K values say no more than these, with a note; else the values.

    That is so for one-hot rows, and for one-hot rows minus 1/K.
    """
    if labels.ndim == 1:
        return labels, ()
    top, classes = labels.argmax(dim=1), labels.shape[1]
    one_hot = functional.one_hot(top, classes).float()
    for offset, said in ((0.0, "one-hot"), (1 / classes, "one-hot, centred")):
        if torch.allclose(labels, one_hot - offset, rtol=0, atol=1e-6):
            return top, (f"labels were {said}: kept as class indices",)
    return labels, ()


def as_probabilities(labels: Tensor) -> tuple[Tensor, tuple[str, ...]]:
    """Return N×K probabilities, with a note where scores (logits) were made into these."""
    total = labels.sum(dim=1)
    if bool((labels >= 0).all()) and bool(((total - 1).abs() < 1e-3).all()):
        return labels, ()
    return labels.softmax(dim=1), ("labels were scores (logits): kept as their softmax",)
