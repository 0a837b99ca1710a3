"""What suits the rows of a data set: pictures are mirrored and shown, feature vectors are not."""

from __future__ import annotations

from dataclasses import dataclass

from attar.shapes import Shape, is_picture, shape_text


@dataclass(frozen=True)
class Modality:
    """What suits rows of a kind.

    Args:
        name: of the kind, in the plural.
        row: of one, in the singular.
        bounded: whether stored values have a range that is known, 0…255 or [0, 1]. Where they have
            none, every value of a row is standardised by itself, by constants that an artefact
            keeps as tensors.
        augments: whether there are augmentations of such rows, and mixing of two.
        whitens: whether there are whitenings of such rows.
        network: that serves by default; empty for a method's own.
        gallery: whether rows can be shown and exported as pictures.
    """

    name: str
    row: str
    bounded: bool
    augments: bool
    whitens: bool
    network: str
    gallery: bool


PICTURES = Modality("pictures", "image", True, True, True, "", True)
VECTORS = Modality("feature vectors", "vector", False, False, False, "mlp", False)
ARRAYS = Modality("arrays", "array", False, False, False, "mlp", False)


def modality_of(shape: Shape) -> Modality:
    """Return what suits rows of a shape.

    Example:
        >>> modality_of((3, 32, 32)).name, modality_of((64,)).network
        ('pictures', 'mlp')
    """
    if is_picture(shape):
        return PICTURES
    return VECTORS if len(shape) == 1 else ARRAYS


def rows_of(shape: Shape) -> str:
    """Return rows of a shape in words, such as ``feature vectors of 64``."""
    return f"{modality_of(shape).name} of {shape_text(shape)}"
