"""A fixed sample of pictures that are too many to be gone through before the first step.

It depends on their number alone, and not on where they lie: the same pictures give the same
constants and the same identity, whether a machine holds them in memory or decodes them as needed.
"""

from __future__ import annotations

import torch

from attar.data.rows import Rows, picked, size_of
from attar.rng import Key
from attar.shapes import is_picture

# more pictures than FROM, of BYTES or more decoded, are known by SIZE of them
FROM, BYTES, SIZE = 20_000, 4 * 2**30, 4_000


def is_glimpsed(images: Rows) -> bool:
    """Tell whether pictures are so many that a sample stands for all."""
    pictures = is_picture(tuple(images.shape[1:]))
    return pictures and len(images) > max(FROM, SIZE) and size_of(images) >= BYTES


def glimpse(images: Rows) -> Rows:
    """Return the sample in the order of the pictures; all of them where they are few."""
    if not is_glimpsed(images):
        return images
    drawn = torch.randperm(len(images), generator=Key(0).fold("glimpse").generator())
    return picked(images, drawn[:SIZE].sort().values)


def glimpse_note(images: Rows) -> str:
    """Return what is known of a sample alone, as a part of a sentence; empty where all is."""
    if not is_glimpsed(images):
        return ""
    return (
        f"mean, deviation and digest are of {SIZE:,} of the {len(images):,} pictures, drawn by a "
        "key, and none is looked for that is there twice"
    )
