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
        deviation: σ by which pixels from 0 to 1 were divided to become network inputs, the mean
            over channels, for settings that are published for pixels.
    """

    dataset: str
    ipc: int
    shape: Shape
    classes: int
    deviation: float = 0.2
