"""A digest of data, by which two runs on the same images know each other."""

from __future__ import annotations

import hashlib

import torch

from attar.artefact.artefact import preprocessing_tensors
from attar.data import LabelledImages
from attar.data.glimpse import glimpse
from attar.data.identity import feed_stored, of_labels
from attar.data.remembered import remembered
from attar.tensors import feed


def fingerprint(data: LabelledImages) -> str:
    """Return a digest of images, of very many pictures of a sample, labels and preprocessing."""
    whitening = data.preprocessing.whitening
    constants = (data.preprocessing.mean, data.preprocessing.std)
    if data.targets is not None or data.prepared or whitening is not None:
        return _fingerprint(data)
    said = f"fingerprint {constants} {of_labels(data)}"
    return remembered(glimpse(data.images), said, lambda: _fingerprint(data))


def _fingerprint(data: LabelledImages) -> str:
    digest = hashlib.blake2b(digest_size=16)
    shape = torch.Size((len(data), *data.shape))
    digest.update(repr((shape, data.preprocessing.mean, data.preprocessing.std)).encode())
    feed_stored(digest, data)
    if data.targets is not None:
        feed(digest, data.targets)
    if data.prepared:
        digest.update(b"prepared")
    digest.update(getattr(data.preprocessing.whitening, "kind", "none").encode())
    feed(digest, *preprocessing_tensors(data.preprocessing).values())
    return digest.hexdigest()
