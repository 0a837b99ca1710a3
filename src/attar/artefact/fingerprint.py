"""A digest of data, by which two runs on the same images know each other."""

from __future__ import annotations

import hashlib

from attar.artefact.artefact import preprocessing_tensors
from attar.data import LabelledImages
from attar.tensors import feed


def fingerprint(data: LabelledImages) -> str:
    """Return a digest of images, labels and preprocessing."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(
        repr((data.images.shape, data.preprocessing.mean, data.preprocessing.std)).encode()
    )
    feed(digest, data.images, data.labels)
    if data.targets is not None:
        feed(digest, data.targets)
    if data.prepared:
        digest.update(b"prepared")
    digest.update(getattr(data.preprocessing.whitening, "kind", "none").encode())
    feed(digest, *preprocessing_tensors(data.preprocessing).values())
    return digest.hexdigest()
