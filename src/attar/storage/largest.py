"""Labels of which the largest values are kept, and what is left as one mean.

Shape letters: N images, K classes, k values that are kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from attar.errors import BadRequest
from attar.storage.storage import PART, Content, Kept, Storage

PLACES = f"{PART}places"


@dataclass(frozen=True)
class Largest(Storage):
    """Of every label its k largest values and their classes; the others become their mean.

    So the values of a label keep their sum: probabilities stay such, as marginal smoothing of
    stored labels has it (Shen & Xing, A Fast Knowledge Distillation Framework, 2022). A value
    takes 2 bytes, a class 1, 2 or 4 by how many there are.

    Args:
        keep: values of a label that are kept, fewer than there are classes.
    """

    name: ClassVar[str] = "top"

    keep: int = 5

    def __post_init__(self) -> None:
        if self.keep < 1:
            raise BadRequest(f"--storage top:keep={self.keep}: at least 1 value of a label is kept")

    def check(self, content: Content, form: str) -> None:
        """Refuse images."""
        del content, form
        raise BadRequest(
            "--storage top: it keeps labels alone; name the storage of the images before it, such "
            f"as float16:labels=top:keep={self.keep}"
        )

    def check_labels(self, content: Content) -> None:
        """Refuse labels of as few values as are kept."""
        if self.keep >= (classes := len(content.sizes)):
            fewer = f"keep from 1 to {classes - 1}, or " if classes > 1 else ""
            raise BadRequest(
                f"--storage labels=top:keep={self.keep}: a label has {classes} values; {fewer}"
                "take labels=float16, which keeps all"
            )

    def planned(self, name: str, shape: tuple[int, ...]) -> int:
        """Return the bytes of values, means and classes, whatever these are."""
        kept = self.kept(name, shape).values()
        return sum(math.prod(one.shape or ()) * one.dtype.itemsize for one in kept)

    def kept(self, name: str, shape: tuple[int, ...]) -> dict[str, Kept]:
        """Return N×(k+1) values, the mean of the others last, and N×k classes."""
        count, classes = math.prod(shape[:-1]), shape[-1]
        most = min(self.keep, classes)
        return {
            name: Kept(torch.float16, (count, most + 1)),
            f"{name}{PLACES}": Kept(_places(classes), (count, most)),
        }

    def encode(self, tensors: Mapping[str, Tensor], content: Content) -> dict[str, Tensor]:
        """Return the largest values of every label, the largest first."""
        del content
        found: dict[str, Tensor] = {}
        for name, tensor in tensors.items():
            rows = tensor.detach().flatten(0, -2).float()
            classes = rows.shape[1]
            # of equal values the first, so that the same is made everywhere
            order = rows.argsort(dim=1, descending=True, stable=True)
            places = order[:, : min(self.keep, classes)]
            values, others = rows.gather(1, places), rows.gather(1, order[:, places.shape[1] :])
            mean = others.sum(1, keepdim=True) / max(1, others.shape[1])
            found[name] = torch.cat([values, mean], dim=1).half()
            found[f"{name}{PLACES}"] = places.to(_places(classes))
        return found

    def decode(
        self,
        coded: Mapping[str, Tensor],
        shapes: Mapping[str, tuple[int, ...]],
        content: Content,
    ) -> dict[str, Tensor]:
        """Return labels with the mean where no value was kept, float32."""
        del content
        found = {}
        for name, shape in shapes.items():
            values, places = coded[name].float(), coded[f"{name}{PLACES}"].long()
            if places.numel() and not 0 <= int(places.min()) <= int(places.max()) < shape[-1]:
                raise ValueError(f"{name} has a value of a class that there is not")
            rows = values[:, -1:].expand(len(values), shape[-1]).contiguous()
            found[name] = rows.scatter(1, places, values[:, :-1]).view(shape)
        return found


def _places(classes: int) -> torch.dtype:
    """Return the smallest type that tells classes apart."""
    kinds = ((torch.uint8, 2**8), (torch.int16, 2**15))
    return next((kind for kind, most in kinds if classes <= most), torch.int32)
