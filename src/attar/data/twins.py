"""Images that are there more than once, told where that matters: between parts and classes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from attar.data.remembered import remembered
from attar.data.rows import Rows, in_parts

Pair = tuple[Rows, Tensor]


def twins_note(train: Pair, others: Mapping[str, Pair]) -> str:
    """Return a note about images that are in several parts or classes; empty where none is.

    Args:
        train: N×C×H×W images and N labels of the training part.
        others: the same of other parts, by name.
    """
    images, labels = train
    prints = fingerprints(images)
    said = []
    several = of_several_classes(prints, labels.cpu())
    if several:
        said.append(f"{several:,} of the images are under several classes")
    for part, (other, _) in others.items():
        if other.dtype == images.dtype and other.shape[1:] == images.shape[1:]:
            shared = int(torch.isin(fingerprints(other), prints).sum())
            if shared:
                said.append(f"{shared:,} of the {part} images are training images, too")
    return "; ".join(said)


def of_several_classes(prints: Tensor, labels: Tensor) -> int:
    """Return how many distinct images have more than one class."""
    distinct, place = torch.unique(prints, return_inverse=True)
    pairs = torch.unique(torch.stack([place, labels]), dim=1)[0]
    return int((torch.bincount(pairs, minlength=len(distinct)) > 1).sum())


def fingerprints(images: Rows) -> Tensor:
    """Return a digest of each of N images, as int64 on the CPU; equal images have equal ones."""
    found = remembered(images, "twins", lambda: b"".join(map(_digests, in_parts(images))).hex())
    digests = bytes.fromhex(found)
    return torch.frombuffer(bytearray(digests), dtype=torch.int64) if digests else torch.empty(0)


def _digests(part: Tensor) -> bytes:
    values = part.cpu().contiguous().flatten(1)
    # bfloat16 has no NumPy type, bytes have
    rows = values.view(torch.uint8).numpy() if values.numel() else np.empty((0, 1), np.uint8)
    return b"".join(hashlib.blake2b(row.data, digest_size=8).digest() for row in rows)
