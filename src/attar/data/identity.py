"""A digest of labelled images, whatever a network sees of them."""

from __future__ import annotations

import hashlib

from attar.data.images import LabelledImages
from attar.tensors import feed


def digest_of(data: LabelledImages) -> str:
    """Return a digest of images and labels, as they are before preprocessing."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(repr((data.images.shape, str(data.images.dtype), data.prepared)).encode())
    feed(digest, data.images, data.labels)
    return digest.hexdigest()
