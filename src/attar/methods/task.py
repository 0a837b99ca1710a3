"""What a method may depend on; free of torch."""

from __future__ import annotations

from dataclasses import dataclass

from attar.shapes import Shape


@dataclass(frozen=True)
class Task:
    """What a recipe may depend on.

    Args:
        dataset: its name, such as ``cifar10``; any other text for a user's own data.
        ipc: the memory in full float32 images per class, one or more.
        shape: of an image: C, H, W; or of another row, such as D of a vector.
        classes: K.
    """

    dataset: str
    ipc: int
    shape: Shape
    classes: int
