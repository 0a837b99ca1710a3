"""Floats of 0…255, told from those of 0…1."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from attar.data.array_files import file_of

# floats above this, and up to 255, cannot be meant in [0, 1]
_HALF = 127


def on_one_scale(made: list[Any], notes: list[str]) -> list[Any]:
    """Return parts with floats of 0…255 on the scale of 8 bits; the training part decides."""
    images = made[0][0] if isinstance(made[0], tuple) and len(made[0]) == 2 else None
    if not isinstance(images, Tensor | np.ndarray) or images.ndim < 3 or not _are_floats(images):
        return made
    if isinstance(images, np.ndarray) and file_of(images) is not None:
        return made
    low, high = float(images.min()), float(images.max())
    # NaN compares false, and is refused by name where it is looked at
    if not (low >= 0 and _HALF < high <= 255):
        return made
    notes.append(f"floats from {low:g} to {high:g} are taken for 0…255")
    return [
        (_of_255(part[0]), part[1]) if isinstance(part, tuple) and _are_floats(part[0]) else part
        for part in made
    ]


def _are_floats(images: Any) -> bool:
    if isinstance(images, Tensor):
        return images.is_floating_point()
    return isinstance(images, np.ndarray) and images.dtype.kind == "f"


def _of_255(images: Any) -> Any:
    """Return floats of 0…255 as whole numbers of 8 bits, or, where they are none, in [0, 1]."""
    if (
        bool((images == images.round()).all())
        and float(images.min()) >= 0
        and float(images.max()) <= 255
    ):
        return images.to(torch.uint8) if isinstance(images, Tensor) else images.astype(np.uint8)
    return images / 255
