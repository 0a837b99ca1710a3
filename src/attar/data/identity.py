"""A digest of labelled images, whatever a network sees of them."""

from __future__ import annotations

import hashlib
from typing import Any

from torch import Tensor

from attar.data.glimpse import glimpse
from attar.data.images import LabelledImages
from attar.data.remembered import remembered
from attar.data.rows import Rows, in_parts
from attar.tensors import feed

# what a digest begins with that is of a sample of the images
_SAMPLE = "sample-"


def digest_of(data: LabelledImages) -> str:
    """Return a digest of images and labels, as they are before preprocessing.

    Of very many pictures it is of all labels and of a sample (`attar.data.glimpse`), and says so.
    """
    some = glimpse(data.images)
    return ("" if some is data.images else _SAMPLE) + _digest(data, some)


def is_digest_of(kept: object, data: LabelledImages) -> bool:
    """Tell whether a digest is that of data; one of an earlier version is of all images.

    Args:
        kept: what a header, which is not trusted, has in its place; None for nothing.
        data: labelled images.
    """
    if not isinstance(kept, str):
        return False
    of_all = not kept.startswith(_SAMPLE)
    return kept == (_digest(data, data.images) if of_all else digest_of(data))


def _digest(data: LabelledImages, images: Rows) -> str:
    said = repr((data.images.shape, str(data.images.dtype), data.prepared))

    def find() -> str:
        digest = hashlib.blake2b(digest_size=16)
        digest.update(said.encode())
        _feed(digest, images, data.labels)
        return digest.hexdigest()

    return remembered(images, f"digest {said} {of_labels(data)}", find)


def of_labels(data: LabelledImages) -> str:
    """Return a digest of the labels alone."""
    digest = hashlib.blake2b(digest_size=16)
    feed(digest, data.labels)
    return digest.hexdigest()


def feed_stored(digest: Any, data: LabelledImages) -> None:
    """Add images, as they are stored, and labels to a digest of `hashlib`, a part at a time.

    Of very many pictures a sample is added.
    """
    _feed(digest, glimpse(data.images), data.labels)


def _feed(digest: Any, images: Rows, labels: Tensor) -> None:
    for part in in_parts(images):
        feed(digest, part)
    feed(digest, labels)
