"""A digest of labelled images, whatever a network sees of them."""

from __future__ import annotations

import hashlib
from typing import Any

from attar.data.images import LabelledImages
from attar.data.remembered import remembered
from attar.data.rows import in_parts
from attar.tensors import feed


def digest_of(data: LabelledImages) -> str:
    """Return a digest of images and labels, as they are before preprocessing."""
    said = repr((data.images.shape, str(data.images.dtype), data.prepared))

    def find() -> str:
        digest = hashlib.blake2b(digest_size=16)
        digest.update(said.encode())
        feed_stored(digest, data)
        return digest.hexdigest()

    return remembered(data.images, f"digest {said} {of_labels(data)}", find)


def of_labels(data: LabelledImages) -> str:
    """Return a digest of the labels alone."""
    digest = hashlib.blake2b(digest_size=16)
    feed(digest, data.labels)
    return digest.hexdigest()


def feed_stored(digest: Any, data: LabelledImages) -> None:
    """Add images, as they are stored, and labels to a digest of `hashlib`, a part at a time."""
    for part in in_parts(data.images):
        feed(digest, part)
    feed(digest, data.labels)
