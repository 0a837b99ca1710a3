"""Data sets whose transform standardises: their pixels are what Attar wants."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import ConcatDataset, Dataset, Subset

from attar.errors import BadRequest

# undoing leaves pixels this close to [0, 1]
_ROUNDING = 1e-4
# steps that change no value, and may follow
_HARMLESS = ("ToPureTensor",)
# what does all its steps, one after the other; others may leave some out, such as RandomApply
_ALL = ("Compose", "Sequential")


class Undone(Dataset[Any]):
    """A data set whose last step, a standardisation by channel, is taken back.

    Args:
        dataset: gives pairs of C×H×W tensor and label.
        mean: of each channel, or one of all.
        std: likewise.
    """

    def __init__(self, dataset: Any, mean: Any, std: Any) -> None:
        self.dataset = dataset
        self._mean, self._std = (
            torch.as_tensor(one, dtype=torch.float64).reshape(-1, 1, 1) for one in (mean, std)
        )

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Tensor, Any]:
        image, label = self.dataset[index]
        pixels = torch.as_tensor(image).double() * self._std + self._mean
        inside = pixels.clamp(0, 1)
        return (
            inside if bool((pixels - inside).abs().max() < _ROUNDING) else pixels
        ).float(), label


def plain_pixels(dataset: Any, notes: list[str]) -> Any:
    """Return a data set whose images are not standardised by torchvision's ``Normalize``.

    Args:
        dataset: map-style, such as an ``ImageFolder`` or a ``Subset`` of one.
        notes: told what was undone.

    Raises:
        BadRequest: it standardises in the midst of other steps, or its parts in several ways.
    """
    found = {_constants(one) for one in _innermost(dataset)}
    if found <= {None}:
        return dataset
    if len(found) > 1:
        raise BadRequest(
            f"{type(dataset).__name__}: its parts are standardised (Normalize) in several ways; "
            "leave Normalize out of their transforms, since Attar standardises by itself"
        )
    (constants,) = found
    assert constants is not None
    mean, std = constants
    told = ("/".join(f"{value:g}" for value in one) for one in constants)
    notes.append("Normalize({}, {}) of the data set is undone".format(*told))
    return Undone(dataset, mean, std)


def classes_of(dataset: Any) -> Any:
    """Return the ``classes`` that a data set names, or the one that it is a part of."""
    while not hasattr(dataset, "classes") and isinstance(dataset, Subset | Undone):
        dataset = dataset.dataset
    return getattr(dataset, "classes", None)


def _innermost(dataset: Any) -> Iterator[Any]:
    """Yield the data sets that hold the images of a part or of several joined."""
    if isinstance(dataset, ConcatDataset):
        for one in dataset.datasets:
            yield from _innermost(one)
    elif isinstance(dataset, Subset):
        yield from _innermost(dataset.dataset)
    else:
        yield dataset


def _constants(dataset: Any) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Return mean and deviation of a standardisation that comes last; None where there is none."""
    whole = list(_steps(getattr(dataset, "transform", None)))
    steps = [one for one, _ in whole]
    places = [place for place, one in enumerate(steps) if type(one).__name__ == "Normalize"]
    if not places:
        return None
    last = steps[places[-1]]
    after = [type(one).__name__ for one in steps[places[-1] + 1 :]]
    known = type(last).__module__.startswith("torchvision.") and whole[places[-1]][1]
    if not known or len(places) > 1 or not set(after) <= set(_HARMLESS):
        raise BadRequest(
            f"{type(dataset).__name__}: its transform standardises (Normalize) "
            f"{'before ' + after[0] if after and known else 'in a way that cannot be undone'}; "
            "leave Normalize out, since Attar standardises by itself"
        )
    mean, std = (
        torch.as_tensor(one, dtype=torch.float64).flatten().tolist()
        for one in (last.mean, last.std)
    )
    return tuple(mean), tuple(std)


def _steps(transform: Any, always: bool = True) -> Iterator[tuple[Any, bool]]:
    """Yield the steps of a transform, those inside others too, and whether each is always done."""
    inside = getattr(transform, "transforms", None)
    if isinstance(transform, torch.nn.Sequential):
        inside = list(transform)
    if not isinstance(inside, list | tuple | torch.nn.ModuleList):
        yield transform, always
        return
    always = always and type(transform).__name__ in _ALL
    for one in inside:
        yield from _steps(one, always)
